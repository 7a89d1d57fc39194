"""The choice of a selection's epochs, weights and thresholds from kept scores, AU by AU, in numpy.

A selection that is scored on the examples it was chosen on looks better than it is. `honest`
therefore decides on each example with a selection that was chosen on other subjects.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from au_jax import aus as au_names
from au_jax import metrics
from au_jax.ensemble import calibration as calibrations
from au_jax.ensemble.cross_validation import FOLDS, folds_of
from au_jax.ensemble.epochs import EPOCH_RULES, best_epoch_per_au
from au_jax.ensemble.selection import Member, Selection, apply, calibrated
from au_jax.ensemble.thresholds import THRESHOLD_RULES, choose_thresholds
from au_jax.ensemble.weights import COMBINATIONS, best_member_per_au, linear_per_au, mean_of_members
from au_jax.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A trained model with its kept scores on the split that is chosen on.

    Attributes:
      run, stage, crops: as in `Member`.
      epochs: the numbers [E] of the epochs that can be chosen, ascending.
      aus: names [A_m].
      logits: float32 [E W, N, A_m], of every epoch with each of the windows, epoch by epoch,
        through the centre crop. Epochs and windows are chosen by them.
      windows: the W smoothing windows that can be chosen, ascending.
      through_crops: gives the logits float32 [N, A_m] through `crops` of one of `members`, where
        these are not the centre. It is asked for chosen epochs alone, as they cost several forward
        passes each.
    """

    run: str
    stage: str
    crops: str
    epochs: tuple[int, ...]
    aus: tuple[str, ...]
    logits: np.ndarray
    windows: tuple[int, ...] = (1,)
    through_crops: Callable[[Member], np.ndarray] | None = None

    def rows(self, rows: np.ndarray) -> "Candidate":
        """The same with the scores of some examples only; `rows` are positions or bool [N]."""
        crops = self.through_crops
        some = crops and (lambda member: crops(member)[rows])
        return dataclasses.replace(self, logits=self.logits[:, rows], through_crops=some)

    @property
    def members(self) -> list[Member]:
        """What each of its `logits` would be as a member of a selection."""
        return [
            Member(self.run, self.stage, epoch, self.crops, window)
            for epoch in self.epochs
            for window in self.windows
        ]

    def votes(self, position: int) -> np.ndarray:
        """The logits float32 [N, A_m] that its member at a position in `members` decides by."""
        if self.through_crops is None:
            return self.logits[position]
        return self.through_crops(self.members[position])


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

    Epochs are chosen by what the centre crops say, all else by what the candidates' crops say:
    TAL sees several crops "during inference", and does not say by which it chose its epochs (ours).
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
        Scores are those at threshold 0.5 unless `combine` is "linear" or thresholds are chosen. A
        smoothing window, where a candidate has several, is chosen together with the epoch; of the
        last epoch per AU.
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
        for position in np.unique(version[m, known]):
            decided = known & (version[m] == position)
            logits[m][:, decided] = candidate.votes(position)[:, columns[m, decided]]
    weights, bias, link = _combine(logits, labels, knows, combine, score, judge_rule)
    # A model stays a member where its fitted weight is 0, so that there always is a member.
    used = knows if link == "logit" else weights != 0
    selection = _selection(candidates, aus, version, used, weights, bias, link)
    if threshold_rule == "default" and calibration == "none":
        return selection
    combined = apply(selection, member_logits(selection, candidates))
    if threshold_rule != "default":
        thresholds = choose_thresholds(threshold_rule, combined, labels, score, subjects)
        selection = dataclasses.replace(selection, thresholds=thresholds)
    return calibrated(selection, calibrations.fit(combined, labels, calibration))


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
    at = {
        member: (candidate, position)
        for candidate in candidates
        for position, member in enumerate(candidate.members)
    }
    voters = [at[member] for member in selection.members]
    return [(candidate.aus, candidate.votes(position)) for candidate, position in voters]


def honest(
    choose_selection: Callable[..., Selection],
    candidates: Sequence[Candidate],
    labels: np.ndarray,
    subjects: np.ndarray | None,
    folds: int = FOLDS,
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
    for held_out in folds_of(subject, folds):
        rest = ~held_out
        others = [c.rows(rest) for c in candidates]
        selection = choose_selection(others, labels[rest], subjects=subject[rest])
        logits = member_logits(selection, [c.rows(held_out) for c in candidates])
        probabilities[held_out] = apply(selection, logits)
        thresholds[held_out] = selection.thresholds
    return probabilities, thresholds
