"""Confidence in the prediction for a face, and the doubts that lower it.

AUs are told most surely of a face that is found for sure, large, turned to the camera, and of which
the networks of a selection say the same. Each of these is a number of 0 to 1; the confidence is
their product, and a doubt is one that is low. The ranges are ours. No number is a probability of
being right: that of an AU is told by the report's reliability diagram.
"""

import numpy as np

from au_jax.ensemble.selection import Selection
from au_jax.faces.face import Face
from au_jax.metrics import probabilities

NOT_SURELY_FOUND = "not surely found"  # hidden, dark, or no face at all
SMALL, TURNED, DISAGREED = "small", "turned", "members disagree"
_DOUBTED = 0.7  # below which there is a doubt
# Between what each goes from nothing to all, or back: pixels of the box's shorter side, degrees.
_SIZE, _PITCH, _YAW = (16.0, 64.0), (25.0, 60.0), (35.0, 80.0)


def grounds(face: Face, disagreement: float) -> dict[str, float]:
    """What the confidence in a face is the product of, each 0 to 1, by the doubt where it is low.

    An unknown pose raises no doubt.

    Args:
      disagreement: see `disagreements`.
    """
    pitch, yaw, _ = np.abs(np.nan_to_num(face.pose)).tolist()
    return {
        NOT_SURELY_FOUND: face.confidence,
        SMALL: float(np.interp(face.box[2:].min(), _SIZE, (0, 1))),
        TURNED: float(min(np.interp(pitch, _PITCH, (1, 0)), np.interp(yaw, _YAW, (1, 0)))),
        DISAGREED: 1 - disagreement,
    }


def confidence(of: dict[str, float]) -> float:
    """The confidence of some `grounds`."""
    return float(np.prod(list(of.values())))


def doubts(of: dict[str, float]) -> str:
    """The doubts of some `grounds`, separated by semicolons; "" for none."""
    return "; ".join(name for name, value in of.items() if value < _DOUBTED)


def disagreements(
    chosen: Selection, member_aus: list[tuple[str, ...]], logits: list[np.ndarray]
) -> np.ndarray:
    """How far the members part on each of N faces: float64 [N], 0 alike to 1 opposite.

    It is the mean over the AUs of twice the standard deviation of the probabilities, of those
    members that have a weight on the AU; 0 where no AU has two of them.

    Args:
      member_aus: the AUs of each member of `chosen`. logits: [N, A_m] of each.
    """
    spreads = []
    for column, au in enumerate(chosen.aus):
        said = [
            probabilities(of_member[:, aus.index(au)])
            for aus, of_member, weight in zip(
                member_aus, logits, chosen.weights[:, column], strict=True
            )
            if weight
        ]
        if len(said) > 1:
            spreads.append(2 * np.std(np.asarray(said, np.float64), axis=0))
    return np.mean(spreads, axis=0) if spreads else np.zeros(len(logits[0]))
