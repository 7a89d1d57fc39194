"""Labels of the drawn faces: by a detector for `noisy`, by careful people for all other splits.

The detector of `noisy` is one of two. The systematic one errs for reasons that can be seen
(`systematic_detector`). The other errs independently of all but how hard an image is: oftener on
faint AUs, turned, hidden or blurred faces, and it misses AUs about as often as it invents them,
which makes rare AUs wrong in both ways. A network averages such errors away.
"""

import numpy as np

from au_jax import aus
from au_jax.data import systematic_detector
from au_jax.data.made_splits import generator
from au_jax.data.synthetic_faces.conditions import conditions
from au_jax.data.synthetic_faces.config import SYSTEMATIC
from au_jax.data.synthetic_faces.population import AUS, ImageSpec

# Share of labels that the careful annotators of `opt` left open.
UNKNOWN_SHARE = 0.03
# The independent detector's log-odds of an error: on absent and on present AUs, how much more where
# the AU is just at the threshold, and how much more on a hard image (see `_difficulty`).
_FALSE_ALARM, _MISS, _FAINT, _HARD = -3.1, -1.9, 1.7, 1.3

_DETECTED = aus.positions(AUS, systematic_detector.DETECTED)


def written_labels(
    spec: ImageSpec, seed: int, split: str, number: int, noise: str, strength: float
) -> np.ndarray:
    """The labels stored with a record: int8 [23], -1 unknown.

    `test` and the clips are right and complete; `opt` right with open places; `noisy` knows only
    the AUs of `aus.EMOTIONET_2018` and is wrong about a fifth of the time.

    Args:
      noise: whose labels those of `noisy` are, one of `config.NOISES`.
      strength: of systematic noise, see `systematic_detector.detected`.
    """
    rng = generator(seed, split, number, 2)
    true = spec.labels()
    if split not in ("opt", "noisy"):
        return true
    if split == "opt":
        return np.where(rng.random(len(AUS)) < UNKNOWN_SHARE, np.int8(-1), true)
    labels = np.full_like(true, -1)
    if noise == SYSTEMATIC:
        labels[_DETECTED] = systematic_detector.detected(
            spec.activation, conditions(spec), strength, "drawn"
        )
    else:
        wrong = rng.random(len(AUS)) < error_chance(spec)
        labels[_DETECTED] = np.where(wrong, 1 - true, true)[_DETECTED]
    return labels


def error_chance(spec: ImageSpec) -> np.ndarray:
    """The independent detector's chance to be wrong about each AU of this image: float [23]."""
    present = spec.labels() == 1
    # 1 at the threshold, 0 from two and a half steps of intensity on.
    faint = (1 - np.abs(spec.activation - 1.5) / 2.5).clip(0, 1)
    faint = np.where(spec.activation == 0, 0.15, faint)
    logit = np.where(present, _MISS, _FALSE_ALARM) + _FAINT * faint + _HARD * _difficulty(spec)
    return 1 / (1 + np.exp(-logit))


def _difficulty(spec: ImageSpec) -> float:
    """0 for a frontal, sharp, open face, 1 for one that is hard to read."""
    turned = float(np.abs(spec.angles).max()) / 45
    hidden = 0.0 if spec.occluder == "none" else 0.6
    return min(1.0, turned + hidden + 0.4 * spec.blur)
