"""Rules for the epoch of each AU, from kept scores of all epochs (TAL, Fig. 2, and ours)."""

import functools
from collections.abc import Iterable

import numpy as np

from au_jax import metrics
from au_jax.ensemble.cross_validation import own_is_better
from au_jax.ensemble.scores_per_au import DECIMALS, score_per_au
from au_jax.ensemble.thresholds import best_thresholds

EPOCH_RULES = ("last", "best", "best_average", "one_standard_error", "smoothed", "cross_validated")


def best_epoch_per_au(
    probabilities: Iterable[np.ndarray],
    labels: np.ndarray,
    score: str = "final_score",
    threshold_rule: str = "default",
    epoch_rule: str = "best",
    windows: int = 1,
    subjects: np.ndarray | None = None,
) -> np.ndarray:
    """The epoch at which each AU scores best (TAL, Fig. 2), or that another rule gives it.

    Args:
      probabilities: float [N, A] of each epoch in order, such as one array [E, N, A].
      labels: int8 [N, A].
      score: one of `SCORES`; "final_score" is (accuracy + F1) / 2 of the AU.
      threshold_rule: "default" judges every epoch at threshold 0.5. "best" judges each at its own
        best threshold, which is right where a later step moves the decision (ours).
      epoch_rule: "best"; "best_average", the one epoch whose mean score over the AUs is best, which
        TAL measures its choice per AU against (section 2.3); "one_standard_error" (ours), the last
        epoch whose mean score is below that of the best one by no more than one standard error,
        which is that of the mean over the AUs of how much lower each scores there (a single AU has
        none: its best epoch); "smoothed" (ours), the best by the mean of its score and those of the
        epochs just before and after it, so that a single lucky epoch wins less often; or
        "cross_validated" (ours), the AU's own best epoch where choosing it helps other people, and
        the best average one elsewhere (`own_is_better`).
      windows: how many of the arrays, one after the other, are of one epoch.
      subjects: as in `own_is_better`; read by "cross_validated".

    Returns:
      int [A], positions in `probabilities`. Of several equal epochs it is the earliest; for an AU
      without positives, on which no choice can be based, it is the last (where one epoch is chosen
      for all AUs: the same as of the others).

    Raises:
      UserError: `score` or `threshold_rule` is unknown, or there are not two subjects to
        cross-validate over.
    """
    if epoch_rule == "cross_validated":
        return _cross_validated_epochs(
            np.stack(list(probabilities)), labels, score, threshold_rule, windows, subjects
        )
    scores = score_per_au(probabilities, labels, score, threshold_rule)
    if epoch_rule in ("best_average", "one_standard_error"):
        return np.full(scores.shape[1], _epoch_for_all(scores, epoch_rule))
    if epoch_rule == "smoothed":
        of_epochs = scores.reshape(-1, windows, scores.shape[1])
        near = [of_epochs[max(0, e - 1) : e + 2].mean(0) for e in range(len(of_epochs))]
        scores = np.stack(near).reshape(scores.shape).round(DECIMALS)
    last = len(scores) - 1
    undefined = np.isnan(scores).all(0)
    return np.where(undefined, last, np.argmax(np.nan_to_num(scores, nan=-1.0), 0))


def _epoch_for_all(scores: np.ndarray, epoch_rule: str) -> int:
    """The one epoch of "best_average" or "one_standard_error", by scores float64 [E, A]."""
    scores = scores[:, ~np.isnan(scores).all(0)]
    count = scores.shape[1]
    if not count:
        return len(scores) - 1
    best = int(scores.mean(1).round(DECIMALS).argmax())
    if epoch_rule == "best_average" or count == 1:
        return best
    lower = scores[best] - scores
    error = lower.std(1, ddof=1) / np.sqrt(count)
    return int(np.flatnonzero((lower.mean(1) - error).round(DECIMALS) <= 0)[-1])


def _cross_validated_epochs(
    probabilities: np.ndarray,
    labels: np.ndarray,
    score: str,
    threshold_rule: str,
    windows: int,
    subjects: np.ndarray | None,
) -> np.ndarray:
    """The positions [A] of "cross_validated", by probabilities float [E, N, A]."""
    aus = np.arange(labels.shape[1])

    def epochs(rows: np.ndarray, rule: str) -> np.ndarray:
        some = probabilities[:, rows]
        return best_epoch_per_au(some, labels[rows], score, threshold_rule, rule, windows)

    def decide(rule: str, others: np.ndarray, rows: np.ndarray) -> np.ndarray:
        of_epochs = probabilities[epochs(others, rule), :, aus].T
        if threshold_rule == "best":
            thresholds = best_thresholds(of_epochs[others], labels[others], score)
        else:
            thresholds = np.full(len(aus), metrics.DEFAULT_THRESHOLD)
        return metrics.decide(of_epochs[rows], thresholds)

    better = own_is_better(
        functools.partial(decide, "best"),
        functools.partial(decide, "best_average"),
        labels,
        subjects,
        score,
    )
    everyone = np.ones(len(labels), bool)
    return np.where(better, epochs(everyone, "best"), epochs(everyone, "best_average"))
