"""The figures by which action unit detectors are judged, per AU over known labels only.

All but the AUC and the calibration error are computed from confusion counts in the order TP, FP,
FN, TN, pooled over the examples of a split. A figure that is not defined is NaN here, left out of
means, and null (None) in a `summary`. F1 of an AU without positives is not defined.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.special
from jaxtyping import Bool, Float, Float64, Int, Int64, Num, Shaped

DEFAULT_THRESHOLD = 0.5
_CONFIDENCE = 0.95
_DRAWS = 1000
_SEED = 0
_FIGURES = ("f1", "f1_macro", "accuracy", "auc", "kappa", "ece")
# Of equal width, as Guo et al. have it in their experiments (section 5).
RELIABILITY_BINS = 15


def probabilities(logits: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The sigmoid of `logits`, in their dtype, without overflow."""
    return scipy.special.expit(logits)


def decide(
    probabilities: Shaped[np.ndarray, "*shape"], thresholds: Num[np.ndarray, "*#shape"] | float
) -> Bool[np.ndarray, "*shape"]:
    """The decision rule of the whole package: present where p >= t."""
    return np.asarray(probabilities) >= thresholds


def confusion(
    decisions: Bool[np.ndarray, "*leading examples aus"], labels: Int[np.ndarray, "examples aus"]
) -> Int64[np.ndarray, "*leading aus 4"]:
    """Counts decisions against known labels: TP, FP, FN, TN.

    Args:
      decisions: leading axes (epochs, models) are kept.
    """
    present, absent = labels == 1, labels == 0
    true_positives = (decisions & present).sum(-2)
    false_positives = (decisions & absent).sum(-2)
    false_negatives = present.sum(0) - true_positives
    true_negatives = absent.sum(0) - false_positives
    return np.stack([true_positives, false_positives, false_negatives, true_negatives], -1)


def _ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """The quotient of two arrays or numbers, NaN where the denominator is 0."""
    defined = denominator != 0
    return np.where(defined, numerator / np.where(defined, denominator, 1), np.nan)


def mean_defined(values: Float[np.ndarray, "*shape entries"]) -> Float64[np.ndarray, "*shape"]:
    """The mean over the last axis of the entries that are not NaN; NaN when all are."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1))


def f1(counts: Num[np.ndarray, "*shape 4"]) -> Float64[np.ndarray, "*shape"]:
    """F1 of the positive class; NaN without positives."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return np.where(tp + fn > 0, _ratio(2 * tp, 2 * tp + fp + fn), np.nan)


def f1_macro(counts: Num[np.ndarray, "*shape 4"]) -> Float64[np.ndarray, "*shape"]:
    """Mean of the F1 of both classes; NaN when either class is missing."""
    return np.asarray((f1(counts) + f1(counts[..., ::-1])) / 2)


def accuracy(counts: Num[np.ndarray, "*shape 4"]) -> Float64[np.ndarray, "*shape"]:
    """Share of right decisions; NaN without known labels."""
    return _ratio(counts[..., 0] + counts[..., 3], counts.sum(-1))


def kappa(counts: Num[np.ndarray, "*shape 4"]) -> Float64[np.ndarray, "*shape"]:
    """Cohen's kappa of decisions and labels.

    NaN without known labels, and where labels and decisions are all of one same class.
    """
    tp, fp, fn, tn = np.moveaxis(counts.astype(np.float64), -1, 0)
    # The usual (p_o - p_e) / (1 - p_e), multiplied out.
    return _ratio(2 * (tp * tn - fp * fn), (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn))


def final_score(counts: Num[np.ndarray, "*shape aus 4"]) -> Float64[np.ndarray, "*shape"]:
    """The EmotioNet challenge's score (mean accuracy + mean F1) / 2.

    Each mean is over the AUs for which the figure is defined.
    """
    return np.asarray((mean_defined(accuracy(counts)) + mean_defined(f1(counts))) / 2)


def final_score_per_au(counts: Num[np.ndarray, "*shape 4"]) -> Float64[np.ndarray, "*shape"]:
    """(accuracy + F1) / 2 of each AU on its own; NaN without positives."""
    return np.asarray((accuracy(counts) + f1(counts)) / 2)


def auc(
    scores: Num[np.ndarray, "examples aus"], labels: Int[np.ndarray, "examples aus"]
) -> Float64[np.ndarray, " aus"]:
    """Area under the ROC curve of each AU, tied scores counting half; NaN without either class.

    It is the Mann-Whitney statistic: the share of pairs of a positive and a negative example in
    which the positive one has the higher score.

    Args:
      scores: on any monotone scale.
    """
    columns = zip(scores.T, labels.T, strict=True)
    return np.array([_pairs_in_order(of[of_au == 1], of[of_au == 0]) for of, of_au in columns])


def _pairs_in_order(positives: np.ndarray, negatives: np.ndarray) -> float:
    """The share of pairs whose positive has the higher score, equal scores counting half."""
    pairs = positives.size * negatives.size
    ascending = np.sort(negatives)
    below, not_above = (np.searchsorted(ascending, positives, side) for side in ("left", "right"))
    return float(below.sum() + not_above.sum()) / 2 / pairs if pairs else np.nan


@dataclasses.dataclass(frozen=True)
class Reliability:
    """How often each AU is present among the examples that are given about the same probability.

    Attributes:
      count: int64 [A, bins], known examples whose probability is in the bin.
      probability: float64 [A, bins], their mean probability; NaN in an empty bin.
      present: float64 [A, bins], the share of them in which the AU is present; NaN likewise.
    """

    count: np.ndarray
    probability: np.ndarray
    present: np.ndarray

    @property
    def ece(self) -> np.ndarray:
        """The expected calibration error of each AU, float64 [A]; NaN without known labels.

        It is the mean of |present - probability| over the bins, each weighted by its examples: that
        of Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), eq. 3, for the
        probability of presence in the place of the confidence in a class.
        """
        gaps = np.abs(np.nan_to_num(self.present - self.probability))
        return _ratio((self.count * gaps).sum(-1), self.count.sum(-1))


def reliability(
    probabilities: Shaped[np.ndarray, "examples aus"], labels: Int[np.ndarray, "examples aus"]
) -> Reliability:
    """Counts the examples of each AU by their probability, in 15 bins of equal width.

    A probability on the edge of two bins is in the lower one, as in Guo et al. (2017), section 2.
    """
    aus = labels.shape[1]
    values = np.asarray(probabilities, np.float64)
    bins = np.clip(np.ceil(values * RELIABILITY_BINS).astype(np.int64) - 1, 0, RELIABILITY_BINS - 1)
    known = labels >= 0
    cell = (np.arange(aus) * RELIABILITY_BINS + bins)[known]

    def summed(weights: np.ndarray | None) -> np.ndarray:
        flat = np.bincount(cell, weights, minlength=aus * RELIABILITY_BINS)
        return flat.reshape(aus, RELIABILITY_BINS)

    count = summed(None)
    return Reliability(
        count,
        _ratio(summed(values[known]), count),
        _ratio(summed((labels == 1)[known].astype(np.float64)), count),
    )


def subject_numbers(
    subjects: Shaped[np.ndarray, " {rows}"] | None, rows: int
) -> Int[np.ndarray, " {rows}"]:
    """Numbers the subjects of `rows` examples from 0.

    An example whose subject is '' (or any, when `subjects` is None) is a subject of its own.
    """
    single = np.arange(rows)
    if subjects is None:
        return single
    subjects = np.asarray(subjects)
    names, number = np.unique(subjects, return_inverse=True)
    number = np.where(subjects == "", len(names) + single, number)
    return np.unique(number, return_inverse=True)[1]


def _confusion_per_subject(
    decisions: Bool[np.ndarray, "examples aus"],
    labels: Int[np.ndarray, "examples aus"],
    subjects: Shaped[np.ndarray, " examples"] | None,
) -> Int64[np.ndarray, "subjects aus 4"]:
    """The confusion counts of each subject (see `subject_numbers`)."""
    rows, aus = labels.shape
    subject = subject_numbers(subjects, rows)
    cell = np.where(labels == 1, np.where(decisions, 0, 2), np.where(decisions, 1, 3))
    number = int(subject.max(initial=-1)) + 1
    flat = (subject[:, None] * aus + np.arange(aus)) * 4 + cell
    counts = np.bincount(flat[labels >= 0], minlength=number * aus * 4)
    return counts.reshape(number, aus, 4)


def mean_f1(counts: Num[np.ndarray, "*shape aus 4"]) -> Float64[np.ndarray, "*shape"]:
    """The mean F1 of the AUs for which it is defined."""
    return mean_defined(f1(counts))


def bootstrap_intervals(
    decisions: Bool[np.ndarray, "examples aus"],
    labels: Int[np.ndarray, "examples aus"],
    subjects: Shaped[np.ndarray, " examples"] | None = None,
    figures: Sequence[Callable[[np.ndarray], np.ndarray]] = (final_score, mean_f1),
) -> list[tuple[float, float]]:
    """The 95 % percentile interval of each figure under the same 1000 redraws of the subjects.

    Args:
      subjects: names; examples without one (or all, when not given) are redrawn singly.
      figures: functions of confusion counts [draws, aus, 4] that return [draws], as `final_score`.

    Returns:
      (low, high) of each figure, the same at every call; NaN when it is not defined in any draw,
      or where there are not two subjects to draw from.
    """
    counts = _confusion_per_subject(decisions, labels, subjects)
    number = len(counts)
    if number < 2:
        return [(float("nan"), float("nan"))] * len(figures)
    flat = counts.reshape(number, -1).astype(np.float64)
    generator = np.random.default_rng(_SEED)
    # How often each subject is drawn, a few draws at a time so that memory stays small.
    chunk = max(1, 4_000_000 // number)
    values: list[list[np.ndarray]] = [[] for _ in figures]
    for begin in range(0, _DRAWS, chunk):
        draws = min(chunk, _DRAWS - begin)
        drawn = (
            generator.integers(number, size=(draws, number)) + number * np.arange(draws)[:, None]
        )
        times = np.bincount(drawn.ravel(), minlength=draws * number).reshape(draws, number)
        redrawn = (times @ flat).reshape(draws, *counts.shape[1:])
        for of_figure, figure in zip(values, figures, strict=True):
            of_figure.append(figure(redrawn))
    return [_percentile_interval(np.concatenate(of_figure)) for of_figure in values]


def _percentile_interval(values: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    """The range that holds 95 % of the values that are not NaN; NaN where none is left."""
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _plain(value: float | np.ndarray) -> float | None:
    return None if np.isnan(value) else float(value)


def summary(
    aus: Sequence[str],
    probabilities: Shaped[np.ndarray, "examples aus"],
    labels: Int[np.ndarray, "examples aus"],
    thresholds: Num[np.ndarray, "..."] | float = DEFAULT_THRESHOLD,
    subjects: Shaped[np.ndarray, " examples"] | None = None,
    members: Sequence[Sequence[str]] | None = None,
) -> dict[str, Any]:
    """The SUMMARY of `results.json`: every figure of one split, ready for JSON.

    Args:
      aus: names, in order.
      probabilities: hard decisions may be given as 0 and 1.
      thresholds: one number, one per AU, or one per example and AU where the threshold differs
        between examples (chosen on other subjects' folds); `threshold` is null for an AU whose
        threshold differs.
      subjects: names, for the confidence interval (see `bootstrap_intervals`).
      members: for each AU the names of the checkpoints that vote; null when not given.

    Returns:
      {"f1", "f1_macro", "accuracy", "final_score", "ci", "f1_ci", "n", "undefined", "au": {AU:
      {"f1", "f1_macro", "accuracy", "auc", "kappa", "ece", "threshold", "members", "positives",
      "known"}}}. `ci` is [low, high] of the final score, `f1_ci` of mean F1; `undefined` is the
      number of AUs without F1, which its mean leaves out; undefined figures are None.
    """
    labels = np.asarray(labels)
    decisions = decide(probabilities, thresholds)
    counts = confusion(decisions, labels)
    figures = {
        "f1": f1(counts),
        "f1_macro": f1_macro(counts),
        "accuracy": accuracy(counts),
        "auc": auc(np.asarray(probabilities), labels),
        "kappa": kappa(counts),
        "ece": reliability(np.asarray(probabilities), labels).ece,
    }
    spread = np.broadcast_to(np.asarray(thresholds, np.float64), labels.shape)
    same = (spread == spread[:1]).all(0)
    threshold = spread[0] if len(spread) else np.full(len(aus), np.nan)
    threshold = np.where(same, threshold, np.nan)
    of_score, of_f1 = bootstrap_intervals(decisions, labels, subjects)
    return {
        **{name: _plain(mean_defined(figures[name])) for name in ("f1", "f1_macro", "accuracy")},
        "final_score": _plain(final_score(counts)),
        "ci": None if np.isnan(of_score[0]) else list(of_score),
        "f1_ci": None if np.isnan(of_f1[0]) else list(of_f1),
        "n": len(labels),
        "undefined": int(np.isnan(figures["f1"]).sum()),
        "au": {
            au: {
                **{name: _plain(values[a]) for name, values in figures.items()},
                "threshold": _plain(threshold[a]),
                "members": None if members is None else list(members[a]),
                "positives": int(counts[a, 0] + counts[a, 2]),
                "known": int(counts[a].sum()),
            }
            for a, au in enumerate(aus)
        },
    }


def mean_over_folds(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The SUMMARY of a fold protocol: each AU's figures averaged over folds, then over AUs.

    A fold in which a figure is not defined is left out of that AU's mean. Counts are summed. There
    are no confidence intervals; the pooled `summary` has them. The folds share one AU list.
    """

    def number(value: float | None) -> float:
        return float("nan") if value is None else value

    def mean(values: Sequence[float | None]) -> float | None:
        return _plain(mean_defined(np.array([number(v) for v in values])))

    per_au: dict[str, dict[str, Any]] = {}
    for au in summaries[0]["au"]:
        folds = [s["au"][au] for s in summaries]
        thresholds = {fold["threshold"] for fold in folds}
        per_au[au] = {
            # A stage that was scored before there was a figure has none.
            **{name: mean([fold.get(name) for fold in folds]) for name in _FIGURES},
            "threshold": thresholds.pop() if len(thresholds) == 1 else None,
            "members": None,
            "positives": sum(fold["positives"] for fold in folds),
            "known": sum(fold["known"] for fold in folds),
        }
    means = {
        name: mean([entry[name] for entry in per_au.values()])
        for name in ("f1", "f1_macro", "accuracy")
    }
    return {
        **means,
        "final_score": _plain((number(means["accuracy"]) + number(means["f1"])) / 2),
        "ci": None,
        "f1_ci": None,
        "n": sum(s["n"] for s in summaries),
        "undefined": sum(entry["f1"] is None for entry in per_au.values()),
        "au": per_au,
    }
