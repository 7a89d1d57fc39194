"""The choice of a selection's epochs, weights and thresholds from kept scores, AU by AU, in numpy.

A selection that is scored on the examples it was chosen on looks better than it is. `honest`
therefore decides on each example with a selection that was chosen on other subjects.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from au_jax import aus as au_names
from au_jax import metrics
from au_jax.ensemble import calibration as calibrations
from au_jax.ensemble.selection import Member, Selection, apply, calibrated
from au_jax.errors import UserError, unknown

# What a choice maximises, per AU.
SCORES = {"final_score": metrics.final_score_per_au, "f1": metrics.f1}
EPOCH_RULES = ("last", "best", "best_average", "one_standard_error", "smoothed", "cross_validated")
COMBINATIONS = ("mean", "best", "linear")
THRESHOLD_RULES = ("default", "best", "common", "shrunken", "cross_validated")
# Scores that differ by less are a tie, whatever the order of their sums.
_DECIMALS = 12
_FOLDS = 5
_FOLD_SEED = 0
# TAL's alpha of batch balancing (section 2.3). The rule that it belongs to is documented with
# `losses.balanced_mask`, whose callers take alpha from their configs.
_BALANCE = 0.2
# Examples of an AU's rarer class at which its own threshold counts as the common one does (ours).
_HALFWAY = 50
# What a common threshold is chosen from.
_GRID = np.arange(1, 100) / 100


def _score_per_au(
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
        scores = np.stack([_scores_of_cuts(p, labels, score)[0].max(0) for p in probabilities])
        return np.where(scores < 0, np.nan, scores)
    if score not in SCORES:
        raise unknown("score to select by", score, SCORES)
    counts = [
        metrics.confusion(metrics.decide(p, metrics.DEFAULT_THRESHOLD), labels)
        for p in probabilities
    ]
    return SCORES[score](np.stack(counts)).round(_DECIMALS)


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
        the best average one elsewhere (`_own_is_better`).
      windows: how many of the arrays, one after the other, are of one epoch.
      subjects: as in `_own_is_better`; read by "cross_validated".

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
    scores = _score_per_au(probabilities, labels, score, threshold_rule)
    if epoch_rule in ("best_average", "one_standard_error"):
        return np.full(scores.shape[1], _epoch_for_all(scores, epoch_rule))
    if epoch_rule == "smoothed":
        of_epochs = scores.reshape(-1, windows, scores.shape[1])
        near = [of_epochs[max(0, e - 1) : e + 2].mean(0) for e in range(len(of_epochs))]
        scores = np.stack(near).reshape(scores.shape).round(_DECIMALS)
    last = len(scores) - 1
    undefined = np.isnan(scores).all(0)
    return np.where(undefined, last, np.argmax(np.nan_to_num(scores, nan=-1.0), 0))


def _epoch_for_all(scores: np.ndarray, epoch_rule: str) -> int:
    """The one epoch of "best_average" or "one_standard_error", by scores float64 [E, A]."""
    scores = scores[:, ~np.isnan(scores).all(0)]
    count = scores.shape[1]
    if not count:
        return len(scores) - 1
    best = int(scores.mean(1).round(_DECIMALS).argmax())
    if epoch_rule == "best_average" or count == 1:
        return best
    lower = scores[best] - scores
    error = lower.std(1, ddof=1) / np.sqrt(count)
    return int(np.flatnonzero((lower.mean(1) - error).round(_DECIMALS) <= 0)[-1])


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

    better = _own_is_better(
        functools.partial(decide, "best"),
        functools.partial(decide, "best_average"),
        labels,
        subjects,
        score,
    )
    everyone = np.ones(len(labels), bool)
    return np.where(better, epochs(everyone, "best"), epochs(everyone, "best_average"))


def _own_is_better(
    own: Callable[[np.ndarray, np.ndarray], np.ndarray],
    common: Callable[[np.ndarray, np.ndarray], np.ndarray],
    labels: np.ndarray,
    subjects: np.ndarray | None,
    score: str,
) -> np.ndarray:
    """The AUs for which a choice of their own, made on some people, scores better on others.

    Each fold of people is decided on by what was chosen on all others, and the decisions of all
    folds are scored together (ours).

    Args:
      own, common: (bool [N] to choose on, bool [N] to decide on) -> decisions bool [rows, A], by a
        choice for each AU and by one for all of them.
      labels: int8 [N, A].
      subjects: whom each example is of, numbers int [N]; None makes each a subject of its own.
      score: one of `SCORES`.

    Returns:
      bool [A].

    Raises:
      UserError: there are not two subjects.
    """
    subjects = metrics.subject_numbers(None, len(labels)) if subjects is None else subjects
    counts = np.zeros((2, labels.shape[1], 4), np.int64)
    for held_out in _folds(subjects, _FOLDS):
        decisions = np.stack([choice(~held_out, held_out) for choice in (own, common)])
        counts += metrics.confusion(decisions, labels[held_out])
    of_own, of_common = np.nan_to_num(SCORES[score](counts)).round(_DECIMALS)
    return of_own > of_common


def _folds(subjects: np.ndarray, count: int) -> list[np.ndarray]:
    """The examples of each fold, bool [N], people being wholly in one, drawn with a fixed seed.

    Args:
      subjects: int [N].
      count: of the folds; there are fewer where there are fewer subjects.

    Raises:
      UserError: there are not two subjects.
    """
    names, subject = np.unique(subjects, return_inverse=True)
    if len(names) < 2:
        raise UserError(
            "an honest selection needs examples of at least 2 subjects, and the split has "
            f"{len(names)}"
        )
    fold = np.random.default_rng(_FOLD_SEED).permutation(len(names))[subject] % count
    return [np.equal(fold, number) for number in np.unique(fold)]


def _scores_of_cuts(
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
    scores = SCORES[score](np.stack(counts, -1)).round(_DECIMALS)
    cut, examples = np.arange(len(labels) + 1), known.sum(1, keepdims=True)
    allowed = (cut == 0) | (cut == examples)
    allowed[:, 1:-1] |= ordered[:, 1:] > ordered[:, :-1]
    allowed &= (cut <= examples) & ~np.isnan(scores)
    return np.where(allowed, scores, -1.0).T, ordered.T.astype(np.float64)


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
    default = _score_per_au([probabilities], labels, score)
    scores, ordered = _scores_of_cuts(probabilities, labels, score)
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
    mean = scores[:, defined].mean(1).round(_DECIMALS)
    best = _GRID[mean == mean.max()]
    return float(best[np.abs(best - metrics.DEFAULT_THRESHOLD).round(_DECIMALS).argmin()])


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
      subjects: as in `_own_is_better`, which tells where.

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

    better = _own_is_better(
        lambda others, rows: metrics.decide(probabilities[rows], own(others)),
        lambda others, rows: metrics.decide(probabilities[rows], common(others)),
        labels,
        subjects,
        score,
    )
    everyone = np.ones(len(labels), bool)
    return np.where(better, own(everyone), common(everyone))


def mean_of_members(knows: np.ndarray) -> np.ndarray:
    """The weights, float64 [M, A], of the mean over the members that know each AU.

    Args:
      knows: bool [M, A], whether each member predicts each AU.
    """
    return knows / np.maximum(knows.sum(0), 1)


def best_member_per_au(
    probabilities: Iterable[np.ndarray],
    labels: np.ndarray,
    knows: np.ndarray,
    score: str = "f1",
    threshold_rule: str = "default",
) -> np.ndarray:
    """The weights that leave each AU to the member that scores best on it (ABAW3, section 4.4).

    Args:
      probabilities: float [N, A] of each member; anything where it does not know the AU.
      labels: int8 [N, A].
      knows: bool [M, A].
      score, threshold_rule: as in `best_epoch_per_au`.

    Returns:
      float64 [M, A], 1 for the best member of an AU, the first of several equal ones. An AU without
      positives gets the weights of `mean_of_members`.

    Raises:
      UserError: `score` or `threshold_rule` is unknown.
    """
    scores = _score_per_au(probabilities, labels, score, threshold_rule)
    undefined = np.isnan(scores).all(0)
    best = np.argmax(np.where(knows, np.nan_to_num(scores, nan=-1.0), -2), 0)
    weights = (np.arange(len(knows))[:, None] == best) & knows
    return np.where(undefined, mean_of_members(knows), weights.astype(np.float64))


def linear_per_au(
    logits: np.ndarray, labels: np.ndarray, knows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A logistic regression on the members' logits for each AU (ours for TAL's "linear model").

    It has scikit-learn's defaults: an L2 penalty with C = 1, and a bias that is not penalised.
    Negatives count as in TAL's batch balancing, by which the members were trained (section 2.3,
    alpha 0.2). The ensemble then decides at 0.5 as its members do, and does not call every rare AU
    absent.

    Args:
      logits: float [M, N, A].
      labels: int8 [N, A].
      knows: bool [M, A].

    Returns:
      weights float64 [M, A] and bias float64 [A], for the link "logit". An AU whose known labels
      are all of one class gets the mean of the logits.
    """
    # The import takes seconds, and few selections need it.
    from sklearn.linear_model import LogisticRegression

    weights = mean_of_members(knows)
    bias = np.zeros(labels.shape[1])
    for a in range(labels.shape[1]):
        labelled, members = labels[:, a] >= 0, knows[:, a]
        truth = labels[labelled, a]
        if members.any() and len(np.unique(truth)) == 2:
            inputs = logits[members][:, labelled, a].T.astype(np.float64)
            negatives = (truth == 0).sum()
            weight = _BALANCE if _BALANCE * negatives > len(truth) - negatives else 1.0
            balanced = LogisticRegression(max_iter=1000, class_weight={0: weight, 1: 1.0})
            model = balanced.fit(inputs, truth)
            weights[members, a], bias[a] = model.coef_[0], model.intercept_[0]
    return weights, bias


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A trained model with its kept scores on the split that is chosen on.

    Attributes:
      run, stage, crops: as in `Member`.
      epochs: the numbers [E] of the epochs that can be chosen, ascending.
      aus: names [A_m].
      logits: float32 [E W, N, A_m], of every epoch with each of the windows, epoch by epoch.
      windows: the W smoothing windows that can be chosen, ascending.
    """

    run: str
    stage: str
    crops: str
    epochs: tuple[int, ...]
    aus: tuple[str, ...]
    logits: np.ndarray
    windows: tuple[int, ...] = (1,)

    def rows(self, rows: np.ndarray) -> "Candidate":
        """The same with the scores of some examples only; `rows` are positions or bool [N]."""
        return dataclasses.replace(self, logits=self.logits[:, rows])

    @property
    def members(self) -> list[Member]:
        """What each of its `logits` would be as a member of a selection."""
        return [
            Member(self.run, self.stage, epoch, self.crops, window)
            for epoch in self.epochs
            for window in self.windows
        ]


def choose(
    candidates: Sequence[Candidate],
    labels: np.ndarray,
    aus: Sequence[str],
    *,
    epoch_rule: str = "last",
    combine: str = "mean",
    threshold_rule: str = "default",
    score: str = "final_score",
    calibration: str = "none",
    subjects: np.ndarray | None = None,
) -> Selection:
    """Chooses epochs and windows, then the models' weights, then thresholds, each per AU.

    Probabilities are calibrated last, and the thresholds with them, which leaves all decisions.
    Whoever reproduces no paper is best served by the last epoch of a training whose rate ends low,
    or else the best average one, and by shrunken thresholds: a choice per AU on few people can lose
    more to chance than it gains.

    Args:
      candidates: models, whose scores are of the same N examples in the same order.
      labels: int8 [N, A] over `aus`.
      aus: what the selection decides on; each must be known to a candidate.
      epoch_rule: "last", or a rule of `best_epoch_per_au`: "best" per model and AU, "best_average"
        and "one_standard_error" per model, "smoothed" and "cross_validated" per model and AU.
        Scores are those at
        threshold 0.5 unless `combine` is "linear" or thresholds are chosen. A smoothing window,
        where a candidate has several, is chosen together with the epoch; of the last epoch per AU.
      combine: "mean" of probabilities, "best" (the best model per AU), or "linear".
      threshold_rule: "default" (0.5), or what is chosen for the combined probabilities: "best"
        (`best_thresholds`), "common" (`common_threshold`), "shrunken" (`shrunken_thresholds`) or
        "cross_validated" (`cross_validated_thresholds`).
      score: what "best" means, one of `SCORES`.
      calibration: one of `calibration.KINDS`.
      subjects: whom each example is of, numbers int [N], for what is cross-validated; None makes
        each a subject of its own.

    Raises:
      UserError: a rule is unknown, no candidate knows an AU, or there are not two subjects to
        cross-validate over.
    """
    for field, rule, rules in (
        ("epoch_rule", epoch_rule, EPOCH_RULES),
        ("combine", combine, COMBINATIONS),
        ("threshold_rule", threshold_rule, THRESHOLD_RULES),
        ("calibration", calibration, calibrations.KINDS),
    ):
        if rule not in rules:
            raise unknown(field, rule, rules)
    columns = np.stack([au_names.positions(c.aus, aus) for c in candidates])
    knows = columns >= 0
    missing = [au for a, au in enumerate(aus) if not knows[:, a].any()]
    if missing:
        raise UserError(
            f"no model to select from predicts {', '.join(missing)}; name one that does"
        )
    # A fitted bias, or a threshold chosen later, moves the decision from 0.5.
    judge_rule = "best" if combine == "linear" or threshold_rule != "default" else "default"
    version = np.zeros(knows.shape, np.int64)
    logits = np.zeros((len(candidates), *labels.shape), np.float32)
    for m, candidate in enumerate(candidates):
        known, column = knows[m], columns[m, knows[m]]
        windows = len(candidate.windows)
        start = len(candidate.logits) - windows if epoch_rule == "last" else 0
        version[m, known] = len(candidate.logits) - 1
        if epoch_rule != "last" or windows > 1:
            of_versions = (metrics.probabilities(v[:, column]) for v in candidate.logits[start:])
            version[m, known] = start + best_epoch_per_au(
                of_versions, labels[:, known], score, judge_rule, epoch_rule, windows, subjects
            )
        logits[m][:, known] = candidate.logits[version[m, known], :, column].T
    weights, bias, link = _combine(logits, labels, knows, combine, score, judge_rule)
    # A model stays a member where its fitted weight is 0, so that there always is a member.
    used = knows if link == "logit" else weights != 0
    selection = _selection(candidates, aus, version, used, weights, bias, link)
    if threshold_rule == "default" and calibration == "none":
        return selection
    combined = apply(selection, member_logits(selection, candidates))
    if threshold_rule != "default":
        thresholds = _thresholds(threshold_rule, combined, labels, score, subjects)
        selection = dataclasses.replace(selection, thresholds=thresholds)
    return calibrated(selection, calibrations.fit(combined, labels, calibration))


def _thresholds(
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
    choose_thresholds = best_thresholds if rule == "best" else shrunken_thresholds
    return choose_thresholds(probabilities, labels, score)


def _combine(
    logits: np.ndarray,
    labels: np.ndarray,
    knows: np.ndarray,
    combine: str,
    score: str,
    judge_rule: str,
) -> tuple[np.ndarray, np.ndarray, str]:
    """The weights [M, A], bias [A] and link of the models with `logits` [M, N, A]."""
    no_bias = np.zeros(labels.shape[1])
    if combine == "mean":
        return mean_of_members(knows), no_bias, "probability"
    if combine == "best":
        of_models = (metrics.probabilities(model) for model in logits)
        weights = best_member_per_au(of_models, labels, knows, score, judge_rule)
        return weights, no_bias, "probability"
    return *linear_per_au(logits, labels, knows), "logit"


def _selection(
    candidates: Sequence[Candidate],
    aus: Sequence[str],
    version: np.ndarray,
    used: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    link: str,
) -> Selection:
    """The selection, at the default threshold, of the models at their chosen epochs and windows.

    Args:
      version: int [M, A], the position in `Candidate.members`.
      used: bool [M, A]; a version is a member where its model is used on an AU in that version.
      weights: float64 [M, A]. bias: float64 [A].
    """
    members, rows = [], []
    for m, candidate in enumerate(candidates):
        for position in np.unique(version[m, used[m]]):
            members.append(candidate.members[position])
            rows.append(np.where(version[m] == position, weights[m], 0.0))
    return Selection(
        aus=tuple(aus),
        members=tuple(members),
        weights=np.stack(rows),
        bias=bias,
        link=link,
        thresholds=np.full(len(aus), metrics.DEFAULT_THRESHOLD),
    )


def member_logits(
    selection: Selection, candidates: Sequence[Candidate]
) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """What `selection.apply` takes: each member's AU names and logits float32 [N, A_m].

    Args:
      candidates: those that the selection was chosen from, on the N examples to decide on.
    """
    kept = {
        member: (candidate.aus, logits)
        for candidate in candidates
        for member, logits in zip(candidate.members, candidate.logits, strict=True)
    }
    return [kept[member] for member in selection.members]


def honest(
    choose_selection: Callable[..., Selection],
    candidates: Sequence[Candidate],
    labels: np.ndarray,
    subjects: np.ndarray | None,
    folds: int = _FOLDS,
) -> tuple[np.ndarray, np.ndarray]:
    """Decides on each example with a selection that was chosen on other subjects.

    Where subjects share videos, give `units.units` for them.

    Args:
      choose_selection: (candidates, labels, *, subjects) -> Selection, such as `choose`, called
        once per fold without the fold's examples; subjects are numbers int [rows].
      candidates: scores of the N examples.
      labels: int8 [N, A].
      subjects: text [N] (see `metrics.subject_numbers`); each is wholly in one fold, drawn with a
        fixed seed.
      folds: fewer are used where there are fewer subjects.

    Returns:
      probabilities float32 [N, A] and thresholds float64 [N, A], pooled over the folds, as
      `metrics.summary` takes them.

    Raises:
      UserError: there are not two subjects.
    """
    subject = metrics.subject_numbers(subjects, len(labels))
    probabilities = np.zeros(labels.shape, np.float32)
    thresholds = np.zeros(labels.shape)
    for held_out in _folds(subject, folds):
        rest = ~held_out
        others = [c.rows(rest) for c in candidates]
        selection = choose_selection(others, labels[rest], subjects=subject[rest])
        logits = member_logits(selection, [c.rows(held_out) for c in candidates])
        probabilities[held_out] = apply(selection, logits)
        thresholds[held_out] = selection.thresholds
    return probabilities, thresholds
