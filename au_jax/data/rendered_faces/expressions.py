"""Which action units (AUs) a rendered face shows, and how strongly.

Three kinds of pictures: an emotion's prototype with AUs of chance beside it; a wild combination of
one action of the brows, one of the eyes, one of the nose and one of the mouth, whatever the
emotion; and a single AU alone. The last two keep a network from reading an AU off those that go
with it. AUs that keep each other out are never both there.
"""

import numpy as np

from au_jax import aus
from au_jax.data.rendered_faces.scene import COLUMN, NUMBERS, PRESENT_FROM

# Shares of the kinds of pictures that are not of an emotion.
WILD, SINGLE = 0.24, 0.16
# How often each emotion is shown, in the order of `aus.EMOTIONS`.
_EMOTION_RATE = np.array([0.25, 0.33, 0.11, 0.09, 0.05, 0.05, 0.08, 0.04])
# After the EMFACS prototypes (Ekman, Friesen and Hager, 2002).
PROTOTYPES: dict[str, tuple[int, ...]] = {
    "neutral": (),
    "happy": (6, 12, 25),
    "sad": (1, 4, 15, 17),
    "surprise": (1, 2, 5, 25, 26),
    "fear": (1, 2, 4, 5, 20, 25, 26),
    "disgust": (4, 9, 10, 17, 24),
    "anger": (4, 5, 7, 10, 17, 23, 24),
    "contempt": (14,),
}
_OF_PROTOTYPE = 0.75  # chance of each AU of the prototype
# Chance of each AU besides the emotion.
_BY_CHANCE = {
    1: 0.04, 2: 0.03, 4: 0.06, 5: 0.02, 6: 0.03, 7: 0.06, 9: 0.02, 10: 0.03, 12: 0.05, 14: 0.04,
    15: 0.03, 17: 0.04, 18: 0.07, 20: 0.02, 23: 0.02, 24: 0.03, 25: 0.14, 26: 0.07, 28: 0.05,
    43: 0.07,
}  # fmt: skip
# Wild combinations: one of each line, each as likely as the others of its line.
_WILD = (
    ((), (1,), (2,), (1, 2), (4,), (1, 4), (1, 2, 4)),
    ((), (), (5,), (6,), (7,), (43,)),
    ((), (), (9,), (10,)),
    (
        (), (12,), (14,), (15,), (17,), (18,), (20,), (23,), (24,), (25,), (28,), (12, 25),
        (25, 26), (26,), (15, 17), (17, 24), (20, 25), (12, 17), (10, 25), (12, 25, 26),
    ),
)  # fmt: skip
# Pairs of which a face shows only one.
EXCLUSIVE = (
    (43, 5), (28, 25), (28, 26), (28, 18), (28, 20), (28, 10), (18, 20), (18, 12), (18, 24),
    (24, 25), (24, 26), (24, 28), (23, 25), (23, 26), (23, 28), (24, 23), (12, 15), (20, 12),
)  # fmt: skip
# AUs that either side of a face can show alone, or more strongly.
SIDED = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 20, 43)
_LOPSIDED = 0.12  # share of the pictures in which sides differ

# An AU that is there is 2 + 3 Beta(1.4, 1.5) strong, one that is not 0 or faint, up to 1.5.
_STRENGTH, _FAINT = (1.4, 1.5), 1.5
_FAINTLY, _FAINTLY_OF_PROTOTYPE = 0.22, 0.5  # chances to be faint


def sample(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """A still picture's expression.

    Returns:
      Intensity float [N, 2], 0 to 5, of each of `scene.NUMBERS` on the right and the left side, and
      the emotion's position in `aus.EMOTIONS`, -1 where none is shown.
    """
    kind = rng.random()
    if kind < WILD:
        return _sides(rng, _strengths(rng, _wild(rng), ())), -1
    if kind < WILD + SINGLE:
        return _sides(rng, _strengths(rng, {int(rng.choice(NUMBERS))}, ())), -1
    emotion = int(rng.choice(len(aus.EMOTIONS), p=_EMOTION_RATE))
    strength = sample_of(rng, emotion)
    one_sided = (12, 14) if aus.EMOTIONS[emotion] == "contempt" else ()
    return _sides(rng, strength, one_sided), emotion


def sample_of(rng: np.random.Generator, emotion: int) -> np.ndarray:
    """The stronger side's intensities under an emotion: float [N], 0 to 5."""
    prototype = PROTOTYPES[aus.EMOTIONS[emotion]]
    shown = {
        number
        for number in NUMBERS
        if rng.random() < (_OF_PROTOTYPE if number in prototype else _BY_CHANCE[number])
    }
    if 12 in shown and rng.random() < 0.35:
        shown.add(6)
    if 26 in shown and rng.random() < 0.85:
        shown.add(25)
    return _strengths(rng, shown, prototype)


def _wild(rng: np.random.Generator) -> set[int]:
    return {number for line in _WILD for number in line[rng.integers(len(line))]}


def _strengths(rng: np.random.Generator, shown: set[int], prototype: tuple[int, ...]) -> np.ndarray:
    """Intensities of the AUs shown, once none keeps another out, and of those faintly there."""
    shown = without_exclusive(rng, shown, prototype)
    strength = np.zeros(len(NUMBERS))
    for column, number in enumerate(NUMBERS):
        faintly = _FAINTLY_OF_PROTOTYPE if number in prototype else _FAINTLY
        present = PRESENT_FROM + (5 - PRESENT_FROM) * rng.beta(*_STRENGTH)
        faint = rng.uniform(0, _FAINT) * (rng.random() < faintly)
        strength[column] = present if number in shown else faint
    return _closed(strength)


def without_exclusive(
    rng: np.random.Generator, shown: set[int], prototype: tuple[int, ...]
) -> set[int]:
    """The AUs of `shown` less one of every pair in `EXCLUSIVE`: that which is no prototype's."""
    kept = set(shown)
    for one, other in EXCLUSIVE:
        if one in kept and other in kept:
            ours = [number for number in (one, other) if number not in prototype]
            kept.remove(ours[0] if len(ours) == 1 else (one, other)[rng.integers(2)])
    return kept


def _closed(strength: np.ndarray) -> np.ndarray:
    """Faint traces of open lips and jaw taken away where the mouth cannot show them."""
    present = {number for number in NUMBERS if strength[COLUMN[number]] >= PRESENT_FROM}
    if present & {23, 24, 28}:
        strength[[COLUMN[25], COLUMN[26]]] = 0
    elif not present & {25, 26}:
        strength[COLUMN[26]] = min(strength[COLUMN[26]], 0.8)
    if 43 in present:
        strength[COLUMN[5]] = 0
    return strength


def _sides(
    rng: np.random.Generator, strength: np.ndarray, one_sided: tuple[int, ...] = ()
) -> np.ndarray:
    """The right and the left side's intensities, of which the stronger one is `strength`."""
    share = np.ones((len(NUMBERS), 2))
    lopsided = rng.random() < _LOPSIDED
    weaker = rng.integers(2)
    for number in SIDED:
        less = rng.uniform(0, 0.8)
        if number in one_sided:
            share[COLUMN[number], weaker] = 0.5 * less
        elif lopsided and number != 43 and rng.random() < 0.6:
            share[COLUMN[number], weaker] = less
    return strength[:, None] * share
