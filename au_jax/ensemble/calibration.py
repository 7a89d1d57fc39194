"""Calibration of probabilities, AU by AU: temperature scaling and Platt scaling.

A calibrated probability is sigmoid(slope * logit(p) + offset) of the probability p. The slope is
above 0, so that the order of the examples, and with it every decision, stays what it was.
"""

import dataclasses

import numpy as np
import scipy.special

from au_jax.errors import unknown

# Platt (1999) fits slope and offset; Guo et al. (2017), section 4.2, the slope alone, which is one
# over their temperature.
KINDS = ("none", "temperature", "platt")
# Ours: with fewer examples of a class than these an AU keeps its probabilities.
LEAST = 10
# The least and the most probability in float32 between 0 and 1, so that logits are finite.
_EDGES = np.finfo(np.float32).tiny, 1 - np.finfo(np.float32).epsneg


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """The maps of A AUs; slope 1 and offset 0 leave probabilities as they are.

    Attributes:
      slope: float64 [A], above 0.
      offset: float64 [A].
    """

    slope: np.ndarray
    offset: np.ndarray

    @property
    def identical(self) -> np.ndarray:
        """Whether each AU's probabilities stay as they are: bool [A]."""
        return (self.slope == 1) & (self.offset == 0)

    def probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrates probabilities [..., A], in their dtype; 0 and 1 count as the nearest to them.

        What is above 1, as the threshold of an AU that is never present, stays.
        """
        mapped = scipy.special.expit(self.slope * logits_of(probabilities) + self.offset)
        same = self.identical | (probabilities > 1)
        return np.where(same, probabilities, mapped).astype(probabilities.dtype)


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """The logits of probabilities, finite where these are 0 or 1: float64 of the same shape."""
    return scipy.special.logit(np.clip(np.asarray(probabilities, np.float64), *_EDGES))


def enough(labels: np.ndarray) -> np.ndarray:
    """Whether each AU has at least `LEAST` positives and negatives in labels int8 [N, A]."""
    return ((labels == 1).sum(0) >= LEAST) & ((labels == 0).sum(0) >= LEAST)


def fit(probabilities: np.ndarray, labels: np.ndarray, kind: str) -> Calibration | None:
    """The calibration of largest likelihood, with the smoothed targets of Platt (1999), eq. 12.

    Of N+ positives and N- negatives the targets are (N+ + 1) / (N+ + 2) and 1 / (N- + 2). An AU
    that has not `enough` examples, or whose best slope is not above 0, which would turn its
    decisions around, keeps its probabilities.

    Args:
      probabilities: float32 [N, A].
      labels: int8 [N, A].
      kind: one of `KINDS`; the offset of "temperature" is 0.

    Returns:
      None for "none".

    Raises:
      UserError: `kind` is unknown.
    """
    if kind not in KINDS:
        raise unknown("calibration", kind, KINDS)
    if kind == "none":
        return None
    slope, offset = np.ones(labels.shape[1]), np.zeros(labels.shape[1])
    for a in np.flatnonzero(enough(labels)):
        known = labels[:, a] >= 0
        inputs = logits_of(probabilities[known, a])
        if kind == "platt":
            inputs = np.stack([inputs, np.ones_like(inputs)])
        best = _logistic_regression(np.atleast_2d(inputs), labels[known, a] == 1)
        if best[0] > 0:
            slope[a], offset[a] = best if kind == "platt" else (best[0], 0.0)
    return Calibration(slope, offset)


def _logistic_regression(inputs: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The weights [K] of the inputs [K, N] under which Platt's targets are likeliest."""
    from scipy.optimize import minimize  # imports for long, and few choices calibrate

    positives, negatives = present.sum(), (~present).sum()
    targets = np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = weights @ inputs
        gradient = inputs @ (scipy.special.expit(logits) - targets) / len(targets)
        return float((np.logaddexp(0, logits) - targets * logits).mean()), gradient

    start = np.eye(1, len(inputs))[0]
    return minimize(loss, start, jac=True, method="BFGS").x
