"""The scores, AU by AU, that a choice maximises: at threshold 0.5, or at every threshold."""

from collections.abc import Iterable

import numpy as np

from au_jax import metrics
from au_jax.errors import unknown

# What a choice maximises, per AU.
SCORES = {"final_score": metrics.final_score_per_au, "f1": metrics.f1}
# Scores that differ by less are a tie, whatever the order of their sums.
DECIMALS = 12


def score_per_au(
    probabilities: Iterable[np.ndarray],
    labels: np.ndarray,
    score: str,
    threshold_rule: str = "default",
) -> np.ndarray:
    """The score of each of the K arrays [N, A] at the threshold of the rule: float64 [K, A].

    It is NaN where the AU has no score.
    """
    if threshold_rule not in ("default", "best"):
        raise unknown("threshold_rule", threshold_rule, ("default", "best"))
    if threshold_rule == "best":
        scores = np.stack([scores_of_cuts(p, labels, score)[0].max(0) for p in probabilities])
        return np.where(scores < 0, np.nan, scores)
    if score not in SCORES:
        raise unknown("score to select by", score, SCORES)
    counts = [
        metrics.confusion(metrics.decide(p, metrics.DEFAULT_THRESHOLD), labels)
        for p in probabilities
    ]
    return SCORES[score](np.stack(counts)).round(DECIMALS)


def scores_of_cuts(
    probabilities: np.ndarray, labels: np.ndarray, score: str
) -> tuple[np.ndarray, np.ndarray]:
    """The score of each AU at every threshold that decides differently.

    Args:
      probabilities: float [N, A].
      labels: int8 [N, A].

    Returns:
      scores float64 [N + 1, A] and ordered float64 [N, A]. Row k of the scores is for the cut that
      calls the k lowest known examples absent, and is -1 where no threshold cuts there. `ordered`
      holds the probabilities from the lowest to the highest, the unknown examples last as infinity.

    Raises:
      UserError: `score` is unknown.
    """
    if score not in SCORES:
        raise unknown("score to select by", score, SCORES)
    # The rows of these arrays are AUs, because contiguous rows sort several times as fast.
    known = np.ascontiguousarray(labels.T) >= 0
    values = np.where(known, np.ascontiguousarray(probabilities.T), np.float32(np.inf))
    order = np.argsort(values, 1)  # Unknown examples go behind the known ones: no cut is there.
    ordered = np.take_along_axis(values, order, 1)
    truth = np.take_along_axis(labels.T, order, 1)
    missed, rejected = (np.zeros((len(order), len(labels) + 1), np.int32) for _ in range(2))
    np.cumsum(truth == 1, 1, out=missed[:, 1:])
    np.cumsum(truth == 0, 1, out=rejected[:, 1:])
    counts = (missed[:, -1:] - missed, rejected[:, -1:] - rejected, missed, rejected)
    scores = SCORES[score](np.stack(counts, -1)).round(DECIMALS)
    cut, examples = np.arange(len(labels) + 1), known.sum(1, keepdims=True)
    allowed = (cut == 0) | (cut == examples)
    allowed[:, 1:-1] |= ordered[:, 1:] > ordered[:, :-1]
    allowed &= (cut <= examples) & ~np.isnan(scores)
    return np.where(allowed, scores, -1.0).T, ordered.T.astype(np.float64)
