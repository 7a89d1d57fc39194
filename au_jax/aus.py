"""The vocabulary of facial action units (AUs), and the alignment of label arrays by AU name.

Everywhere in this package an AU is named by its zero-padded code (`AU01`), and a label is int8:
1 present, 0 absent, -1 unknown. Left and right are the person's own.
"""

from collections.abc import Sequence

import numpy as np

from au_jax.errors import UserError, unknown

PRESENT, ABSENT, UNKNOWN = 1, 0, -1

# Names as in the Facial Action Coding System (Ekman, Friesen and Hager, 2002).
MEANING: dict[str, str] = {
    "AU01": "inner brow raiser",
    "AU02": "outer brow raiser",
    "AU04": "brow lowerer",
    "AU05": "upper lid raiser",
    "AU06": "cheek raiser",
    "AU07": "lid tightener",
    "AU09": "nose wrinkler",
    "AU10": "upper lip raiser",
    "AU11": "nasolabial deepener",
    "AU12": "lip corner puller",
    "AU14": "dimpler",
    "AU15": "lip corner depressor",
    "AU16": "lower lip depressor",
    "AU17": "chin raiser",
    "AU18": "lip pucker",
    "AU20": "lip stretcher",
    "AU22": "lip funneler",
    "AU23": "lip tightener",
    "AU24": "lip pressor",
    "AU25": "lips part",
    "AU26": "jaw drop",
    "AU27": "mouth stretch",
    "AU28": "lip suck",
    "AU43": "eyes closed",
    "AU45": "blink",
    "AU51": "head turn left",
    "AU52": "head turn right",
    "AU53": "head up",
    "AU54": "head down",
    "AU55": "head tilt left",
    "AU56": "head tilt right",
}

# A horizontal flip of the image turns each of these into the other.
MIRROR: dict[str, str] = {"AU51": "AU52", "AU52": "AU51", "AU55": "AU56", "AU56": "AU55"}


def names(*numbers: int) -> tuple[str, ...]:
    """The AUs of these numbers: `names(1, 12)` is ("AU01", "AU12")."""
    return tuple(f"AU{n:02d}" for n in numbers)


POSE = names(51, 52, 53, 54, 55, 56)
EMOTIONET_2018 = names(1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43)
EMOTIONET = names(1, 2, 4, 5, 6, 9, 10, 12, 15, 17, 18, 20, 24, 25, 26, 28, 43) + POSE
EXPRESSION = EMOTIONET[:17]

# One emotion vocabulary for all data sets (AffectNet's order); -1 is unknown.
EMOTIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")


def group(aus: Sequence[str], name: str) -> tuple[str, ...]:
    """Returns those of `aus` in a group.

    Args:
      name: "expression", "pose", "emotionet_2018" (the 12 of that year's challenge) or "all".

    Raises:
      UserError: `name` is none of these.
    """
    if name == "all":
        return tuple(aus)
    if name == "emotionet_2018":
        return tuple(au for au in aus if au in EMOTIONET_2018)
    if name not in ("expression", "pose"):
        raise unknown("AU group", name, ("expression", "pose", "emotionet_2018", "all"))
    return tuple(au for au in aus if (au in POSE) == (name == "pose"))


def check(aus: Sequence[str]) -> tuple[str, ...]:
    """Returns `aus` as a tuple when every name is known.

    Raises:
      UserError: a name is not in `MEANING`, or stands there twice.
    """
    for au in aus:
        if au not in MEANING:
            raise unknown("AU", au, MEANING)
        if list(aus).count(au) > 1:
            raise UserError(f"the list of AUs has {au} twice; delete one")
    return tuple(aus)


def positions(source: Sequence[str], target: Sequence[str]) -> np.ndarray:
    """Where each AU of `target` stands in `source`: int [len(target)], -1 where it is missing."""
    index = {au: i for i, au in enumerate(source)}
    return np.array([index.get(au, -1) for au in target], np.int64)


def align(labels: np.ndarray, source: Sequence[str], target: Sequence[str]) -> np.ndarray:
    """Reorders the last axis of `labels` from the AU list `source` to `target`, by name.

    Args:
      labels: int8 [..., len(source)].

    Returns:
      int8 [..., len(target)]; AUs that `source` lacks are -1 (unknown).
    """
    where = positions(source, target)
    padded = np.concatenate([labels, np.full((*labels.shape[:-1], 1), UNKNOWN, labels.dtype)], -1)
    return padded[..., where]


def mirror_permutation(aus: Sequence[str]) -> np.ndarray:
    """The permutation p for which `labels[..., p]` are a flipped image's labels: int [len(aus)].

    An AU whose mirror image is not in the list keeps its place; its flipped label is then not
    known from the list, which `mirror_known` tells.
    """
    index = {au: i for i, au in enumerate(aus)}
    return np.array([index.get(MIRROR.get(au, au), i) for i, au in enumerate(aus)], np.int64)


def mirror_known(aus: Sequence[str]) -> np.ndarray:
    """Whether a flip leaves each AU known: bool [len(aus)], False where its mirror is absent."""
    return np.array([MIRROR.get(au, au) in aus for au in aus], bool)
