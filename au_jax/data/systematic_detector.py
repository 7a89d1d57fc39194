"""A detector of action units that errs systematically, and labels `noisy` of the made faces.

It is a function of what a picture shows, without any chance, and wrong for reasons that can be
seen: it takes AUs for others that look like them, is dull, and sees more or less of an AU with
pose, light, skin, make-up, glasses, beard and the looks of a face at rest. A network that learns
its labels learns its errors, as it would those of the algorithm that labelled EmotioNet, whereas
errors drawn by chance average out.

The tables are ours, and fitted to no detector. At strength 1 a fifth of its labels are wrong, as
Wang et al. (2020) report of EmotioNet's: of all labels of all 12 AUs, those that are not the truth.
"""

import numpy as np

from au_jax import aus

# Whose intensities it is given: the AUs of drawn and of rendered faces start with them.
AUS = aus.EMOTIONET
COLUMN = {int(au[2:]): column for column, au in enumerate(AUS)}
DETECTED = aus.EMOTIONET_2018

# All in steps of intensity. The share of an AU's own steps that the detector does not see.
DULL = 0.5
# How many steps of an AU it sees for a step of another that looks like it; negative: that hides it.
LOOKS_LIKE: dict[int, dict[int, float]] = {
    1: {2: 0.8, 4: -0.4},
    2: {1: 0.7, 5: 0.4},
    4: {9: 0.8, 1: -0.4, 43: 0.4},
    5: {2: 0.6, 1: 0.4},
    6: {12: 0.8, 9: 0.5, 43: 0.4},
    9: {4: 0.6, 10: 0.8},
    12: {6: 0.7, 20: 0.6, 10: 0.4},
    17: {24: 0.9, 15: 0.6, 28: 0.5},
    20: {12: 0.4, 15: 0.5, 25: 0.4},
    25: {26: -0.3, 18: 0.6, 10: 0.4},
    26: {25: 0.8, 12: -0.3},
    43: {6: 0.5, 4: 0.4, 54: 0.5},
}
# How many steps more it sees of each AU under a condition; each kind of made faces tells from what
# it shows how far each of them is the case.
SHIFTS: dict[str, dict[int, float]] = {
    "turned": {2: -1.2, 9: 1.0, 12: -1.2, 20: 1.5},
    "head up": {1: 1.8, 5: -1.2, 26: 1.5},
    "head down": {1: -1.2, 4: 1.8, 17: 1.2, 43: 1.8},
    "hidden in part": {1: -1.0, 12: -1.5, 20: 1.0, 25: -1.5},
    "blurred": {4: -1.0, 6: -1.0, 9: -0.8},
    "dim": {6: -1.5, 25: 0.8, 26: 1.0},
    "lit from the side": {6: 1.2, 9: 1.5, 12: 1.0},
    "dark skin": {4: -1.8, 6: -1.5, 17: 1.2, 20: 1.2},
    "make-up": {5: 1.8, 25: 1.2, 43: -1.2},
    "glasses": {4: 1.8, 5: -1.5, 6: -1.8, 43: 1.5},
    "beard": {12: -1.2, 17: -1.8, 20: 1.5, 26: 1.5},
    "resting wrinkles": {1: 1.2, 4: 1.5, 6: 1.5, 9: 1.0},
    "high brows": {1: 1.8, 2: 1.8, 4: -1.0},
    "low brows": {2: -1.2, 4: 1.5, 9: 1.0},
    "large eyes": {5: 1.8},
    "small eyes": {5: -1.2, 43: 1.8},
    "resting smile": {6: 0.6, 12: 1.8},
    "full lips": {20: 0.6, 25: 1.2},
    "thin lips": {17: 1.8, 25: -1.0},
}
CONDITIONS = tuple(SHIFTS)
# How many steps more it asks of each AU than the truth does, by the kind of faces: how often AUs
# and conditions come together differs.
STRICT: dict[str, dict[int, float]] = {
    "drawn": {
        1: 0.9, 2: 1.0, 4: 0.4, 5: 1.3, 6: 0.7, 9: 2.4, 12: 0.8, 17: 1.7, 20: 2.9, 25: 0.0, 26: 2.0,
        43: 2.3,
    },
    "rendered": {
        1: 0.9, 2: 0.4, 4: 0.3, 5: 0.9, 6: 0.7, 9: 2.4, 12: 0.8, 17: 1.1, 20: 2.7, 25: 0.2, 26: 1.2,
        43: 2.0,
    },
}  # fmt: skip

_NUMBERS = [int(au[2:]) for au in DETECTED]
_OWN = [COLUMN[number] for number in _NUMBERS]
_SHIFTS = np.array([[SHIFTS[name].get(number, 0.0) for number in _NUMBERS] for name in CONDITIONS])
_STRICT = {
    kind: np.array([strict[number] for number in _NUMBERS]) for kind, strict in STRICT.items()
}
# An intensity is a whole number once it is rounded, and an AU there from 2 on (DISFA's rule).
_SEEN_FROM = 2


def share(value: float, low: float, high: float) -> float:
    """How far `value` has come from `low` to `high`, which may be the smaller one: 0 to 1."""
    return float(np.clip((value - low) / (high - low), 0, 1))


def _looks_like() -> np.ndarray:
    """How many steps of each detected AU are seen for a step of each AU: float [A, 12]."""
    table = np.zeros((len(AUS), len(DETECTED)))
    for column, number in enumerate(_NUMBERS):
        table[COLUMN[number], column] = -DULL
        for other, steps in LOOKS_LIKE[number].items():
            table[COLUMN[other], column] = steps
    return table


_LOOKS_LIKE = _looks_like()


def detected(activation: np.ndarray, held: np.ndarray, strength: float, kind: str) -> np.ndarray:
    """The detector's labels of a picture, or of many: int8 [..., 12], 1 or 0, of `DETECTED`.

    Args:
      activation: float [..., 23], 0 to 5, of each of `AUS`.
      held: float [..., C], how far each of `CONDITIONS` is the case, 0 to 1.
      strength: of its errors; 0 for the truth.
      kind: a key of `STRICT`, the kind of faces.
    """
    error = activation @ _LOOKS_LIKE + held @ _SHIFTS - _STRICT[kind]
    seen = activation[..., _OWN] + strength * error
    return (np.rint(seen) >= _SEEN_FROM).astype(np.int8)
