"""Rules for the threshold of each AU: its best one, one for all, and choices between the two."""

import numpy as np

from au_jax import metrics
from au_jax.ensemble.cross_validation import own_is_better
from au_jax.ensemble.scores_per_au import DECIMALS, SCORES, score_per_au, scores_of_cuts
from au_jax.errors import unknown

THRESHOLD_RULES = ("default", "best", "common", "shrunken", "cross_validated")
# Examples of an AU's rarer class at which its own threshold counts as the common one does (ours).
_HALFWAY = 50
# What a common threshold is chosen from.
_GRID = np.arange(1, 100) / 100


def choose_thresholds(
    rule: str,
    probabilities: np.ndarray,
    labels: np.ndarray,
    score: str,
    subjects: np.ndarray | None,
) -> np.ndarray:
    """The thresholds [A] by one of `THRESHOLD_RULES` that chooses them."""
    if rule == "common":
        return np.full(labels.shape[1], common_threshold(probabilities, labels, score))
    if rule == "cross_validated":
        return cross_validated_thresholds(probabilities, labels, score, subjects)
    own = best_thresholds if rule == "best" else shrunken_thresholds
    return own(probabilities, labels, score)


def best_thresholds(
    probabilities: np.ndarray, labels: np.ndarray, score: str = "final_score"
) -> np.ndarray:
    """The threshold at which each AU scores best, over all that decide differently.

    The candidates are 0.5 and the midpoints between neighbouring distinct probabilities of known
    examples, with 0 below the lowest and a little more than 1 above the highest. Of candidates that
    score alike the nearest to 0.5 is taken, and the lower of two equally near ones (ours: the
    papers do not say).

    Args:
      probabilities: float [N, A].
      labels: int8 [N, A].
      score: one of `SCORES`.

    Returns:
      float64 [A]; 0.5 for an AU without positives.

    Raises:
      UserError: `score` is unknown.
    """
    default = score_per_au([probabilities], labels, score)
    scores, ordered = scores_of_cuts(probabilities, labels, score)
    cut = np.arange(len(labels) + 1)[:, None]
    zero = np.zeros((1, labels.shape[1]))
    lower = np.concatenate([zero, ordered])
    upper = np.concatenate([ordered, zero + 1])
    upper = np.where(cut == (labels >= 0).sum(0), 1 + 1e-6, upper)
    middle = (lower + upper) / 2
    # Two neighbouring doubles have no number between them.
    middle = np.where(middle > lower, middle, upper)
    best = scores.max(0)
    distance = np.where(
        (scores >= 0) & (scores == best), np.abs(middle - metrics.DEFAULT_THRESHOLD), np.inf
    )
    nearest = np.take_along_axis(middle, distance.argmin(0)[None], 0)[0]
    improves = best > np.nan_to_num(default[0], nan=np.inf)
    return np.where(improves, nearest, metrics.DEFAULT_THRESHOLD)


def common_threshold(
    probabilities: np.ndarray, labels: np.ndarray, score: str = "final_score"
) -> float:
    """The one threshold at which the mean score over the AUs is best (ours).

    One number chosen from all AUs has much less variance than one chosen for each.

    Args:
      probabilities, labels, score: as in `best_thresholds`.

    Returns:
      A whole percentage; of several equally good ones the nearest to 0.5, and the lower of two
      equally near. 0.5 where no AU has positives.

    Raises:
      UserError: `score` is unknown.
    """
    if score not in SCORES:
        raise unknown("score to select by", score, SCORES)
    counts = np.stack([metrics.confusion(metrics.decide(probabilities, t), labels) for t in _GRID])
    scores = SCORES[score](counts)
    defined = ~np.isnan(scores).all(0)
    if not defined.any():
        return metrics.DEFAULT_THRESHOLD
    mean = scores[:, defined].mean(1).round(DECIMALS)
    best = _GRID[mean == mean.max()]
    return float(best[np.abs(best - metrics.DEFAULT_THRESHOLD).round(DECIMALS).argmin()])


def shrunken_thresholds(
    probabilities: np.ndarray, labels: np.ndarray, score: str = "final_score"
) -> np.ndarray:
    """The threshold of each AU, the nearer to the common one the fewer examples there are (ours).

    Their logits are averaged: that of `best_thresholds` with the weight n / (n + 50), n being the
    number of examples of the AU's rarer class, and that of `common_threshold`.

    Args:
      probabilities, labels, score: as in `best_thresholds`.

    Returns:
      float64 [A], above 0 and below 1.

    Raises:
      UserError: `score` is unknown.
    """
    common = common_threshold(probabilities, labels, score)
    own = np.clip(best_thresholds(probabilities, labels, score), 1e-6, 1 - 1e-6)
    rarer = np.minimum((labels == 1).sum(0), (labels == 0).sum(0))
    weight = rarer / (rarer + _HALFWAY)
    logit = weight * np.log(own / (1 - own)) + (1 - weight) * np.log(common / (1 - common))
    return 1 / (1 + np.exp(-logit))


def cross_validated_thresholds(
    probabilities: np.ndarray,
    labels: np.ndarray,
    score: str = "final_score",
    subjects: np.ndarray | None = None,
) -> np.ndarray:
    """The AU's own threshold where choosing it helps other people, elsewhere the common one (ours).

    Args:
      probabilities, labels, score: as in `best_thresholds`.
      subjects: as in `own_is_better`, which tells where.

    Returns:
      float64 [A], of `best_thresholds` and `common_threshold`.

    Raises:
      UserError: `score` is unknown, or there are not two subjects.
    """

    def own(rows: np.ndarray) -> np.ndarray:
        return best_thresholds(probabilities[rows], labels[rows], score)

    def common(rows: np.ndarray) -> np.ndarray:
        threshold = common_threshold(probabilities[rows], labels[rows], score)
        return np.full(labels.shape[1], threshold)

    better = own_is_better(
        lambda others, rows: metrics.decide(probabilities[rows], own(others)),
        lambda others, rows: metrics.decide(probabilities[rows], common(others)),
        labels,
        subjects,
        score,
    )
    everyone = np.ones(len(labels), bool)
    return np.where(better, own(everyone), common(everyone))
