"""The stage that chooses a selection from kept scores and scores it, without any training.

A selection is chosen on a validation split. On that split it is scored twice: as papers print it
(chosen and scored on the same examples) and honestly (chosen on other subjects' folds; subjects
who share a video stay together). On any other split the one selection is applied as it is, which is
honest too.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Self

import jax
import numpy as np
from jax.sharding import Mesh

from au_jax import aus, log, metrics
from au_jax.allowed import AU, Line, Name, Odd, OneOf, Range, Share, Unique
from au_jax.augment import TEST_CROPS
from au_jax.data.corruptions import CORRUPTIONS, units_of_copies
from au_jax.data.split_name import Split, SplitName
from au_jax.data.units import only_one
from au_jax.ensemble import calibration, choose, selection
from au_jax.ensemble.choose import Candidate
from au_jax.ensemble.epochs import EPOCH_RULES
from au_jax.ensemble.member_scores import OpenSource, Scoring
from au_jax.ensemble.scores_per_au import SCORES
from au_jax.ensemble.selection import Member, Selection
from au_jax.ensemble.smoothing import check_window, sequences, smoothed
from au_jax.ensemble.thresholds import THRESHOLD_RULES
from au_jax.ensemble.weights import COMBINATIONS
from au_jax.errors import UserError
from au_jax.files import atomic_files
from au_jax.run_dir import RunFolder, Scores, StageFolder
from au_jax.stages.base import Stage, StageContext
from au_jax.training.model_card import last_epoch

Summaries = dict[str, dict[str, Any]]  # {"all" or a group of AUs: SUMMARY}


@dataclasses.dataclass(frozen=True)
class Rules:
    """How a selection is chosen: the keyword arguments of `choose.choose`."""

    epoch_rule: str
    combine: str
    threshold_rule: str
    score: str = "final_score"
    calibration: str = "none"

    @property
    def use_labels(self) -> bool:
        """Whether anything depends on the labels of the split."""
        rules = self.epoch_rule, self.combine, self.threshold_rule, self.calibration
        return rules != ("last", "mean", "default", "none")

    def choose(
        self,
        candidates: Sequence[Candidate],
        labels: np.ndarray,
        names: Sequence[str],
        subjects: np.ndarray,
    ) -> Selection:
        """`choose.choose` by these rules: labels int8 [N, A] over `names`, subjects int [N]."""
        rules = dataclasses.asdict(self)
        return choose.choose(candidates, labels, names, subjects=subjects, **rules)


_CALIBRATIONS = calibration.KINDS  # a field has the module's name
Window = Annotated[int, Range(ge=1, le=9999), Odd()]  # frames


@dataclasses.dataclass(frozen=True)
class Select(Stage):
    """A selection, made after training from kept scores.

    Attributes:
      inputs: the train stages whose checkpoints may vote, STAGE or STAGE:CROPS, the latter where a
        stage's images are seen through other crops than those of `crops`.
      split: the validation split that choices are made on.
      test: splits that the finished selection is scored on.
      epoch_rule, combine, threshold_rule, score, calibration: see `choose.choose`.
      crops: that every image is seen through, as in `augment.test_crops`.
      windows: frames of a video, odd, whose logits are averaged (`ensemble.smoothing`); of several
        the best is taken per model and AU.
      label: its row in the report's table, under the rows above it by `depth` steps (a student
        under its teacher).
      paper: the paper's own figure for that row (see `config.headline`); 0 when it has none.
      paper_au: the same of each AU, where the paper prints it.
      against: the rows that this one's figure is compared with, seed by seed, where the recipe runs
        from several seeds; those that do not run are passed over.
      curve: the x axis of the report's chart that the row is a point of; rows of one `curve` share
        a chart. "" for a row that is in no such chart.
      line: the line of that chart that the row is a point of.
      at: the point's place on the x axis.
    """

    inputs: Annotated[tuple[Name, ...], Unique(least=1)]
    split: Split = "opt-val"
    test: tuple[Split, ...] = ("test",)
    epoch_rule: Annotated[str, OneOf(EPOCH_RULES)] = "last"
    combine: Annotated[str, OneOf(COMBINATIONS)] = "mean"
    threshold_rule: Annotated[str, OneOf(THRESHOLD_RULES)] = "default"
    score: Annotated[str, OneOf(SCORES)] = "final_score"
    calibration: Annotated[str, OneOf(_CALIBRATIONS)] = "none"
    crops: Annotated[str, OneOf(TEST_CROPS)] = "center"
    windows: Annotated[tuple[Window, ...], Unique(least=1)] = (1,)
    label: Line = ""
    depth: Annotated[int, Range(ge=0, le=100)] = 0
    paper: Share = 0.0
    paper_au: Mapping[AU, Share] = dataclasses.field(default_factory=dict)
    against: Annotated[tuple[Name, ...], Unique()] = ()
    curve: Line = ""
    line: Line = ""
    at: Annotated[float, Range(ge=-1e9, le=1e9)] = 0.0

    def __post_init__(self) -> None:
        """Raises UserError when no window is given or one is not odd."""
        if not self.windows:
            raise UserError("windows of a selection is empty; give (1,) for no smoothing")
        for window in self.windows:
            check_window(window)

    def renamed(self, rename: Callable[[str], str]) -> Self:
        parts = [name.partition(":") for name in self.inputs]
        inputs = tuple(f"{rename(stage)}{colon}{crops}" for stage, colon, crops in parts)
        return dataclasses.replace(self, inputs=inputs)

    def run(self, context: StageContext) -> None:
        self.choose(context).write(context.folder)

    def choose(self, context: StageContext) -> "Chosen":
        """Makes the selection and scores it; writes nothing into the stage's folder.

        Raises:
          UserError: see `select`.
        """
        inputs = []
        for name in self.inputs:
            stage, _, crops = name.partition(":")
            inputs += [(*voter, crops or self.crops) for voter in context.voters((stage,))]
        return select(
            context.folder,
            inputs=inputs,
            split=self.split,
            test=self.test,
            rules=Rules(
                self.epoch_rule,
                self.combine,
                self.threshold_rule,
                self.score,
                self.calibration,
            ),
            windows=self.windows,
            source=context.source,
            mesh=context.mesh,
            threads=context.threads,
        )


@dataclasses.dataclass(frozen=True)
class _Decided:
    """What a selection says of the N records of a split, beside their labels.

    Attributes:
      keys, subject: text [N]; subjects who share a video are one (`units.units`).
      aus: text [A].
      labels: int8 [N, A].
      probabilities: float32 [N, A].
      thresholds: float64, [A] or, chosen on other subjects' folds, [N, A].
    """

    keys: np.ndarray
    subject: np.ndarray
    aus: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    thresholds: np.ndarray

    def summaries(self, chosen: Selection, rows: np.ndarray | slice = slice(None)) -> Summaries:
        """A SUMMARY over all AUs, and one for each group of AUs that the selection knows.

        The 12 AUs of EmotioNet's challenge of 2018 are a group where all are known, and others.
        """
        members = chosen.members_per_au()
        thresholds = self.thresholds[rows] if self.thresholds.ndim > 1 else self.thresholds
        summaries = {}
        groups = ["all", "expression", "pose"]
        if set(aus.EMOTIONET_2018) < set(chosen.aus):
            groups.append("emotionet_2018")
        for group in groups:
            names = aus.group(chosen.aus, group)
            if names:
                columns = aus.positions(chosen.aus, names)
                summaries[group] = metrics.summary(
                    names,
                    self.probabilities[rows][:, columns],
                    self.labels[rows][:, columns],
                    thresholds[..., columns],
                    self.subject[rows],
                    [members[column] for column in columns],
                )
        return summaries


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A selection with what it decides, and its figures.

    Attributes:
      selection: what was chosen.
      decided: by split.
      results: {SPLIT: {"as_printed", "honest", "groups"}}, results.json of the stage.
    """

    selection: Selection
    decided: Mapping[str, _Decided]
    results: Mapping[str, Any]

    def write(self, folder: StageFolder) -> None:
        """Writes the stage's files in the place of those of an older selection.

        The stage counts as unfinished meanwhile, and selection.json comes last, so that files of
        two selections are never taken for one.
        """
        if jax.process_index():
            return
        folder.mark_undone()
        for split in folder.decided_splits():
            if split not in self.decided:
                folder.decided(split).unlink()
        for split, of_split in self.decided.items():
            atomic_files.write_arrays(folder.decided(split), vars(of_split))
        atomic_files.write_json(folder.results, self.results)
        atomic_files.write_json(folder.selection, selection.to_json(self.selection))


def select(
    folder: StageFolder,
    *,
    inputs: Sequence[tuple[RunFolder, StageFolder, str]],
    split: str,
    test: Sequence[str],
    rules: Rules,
    source: OpenSource,
    mesh: Mesh,
    threads: int,
    windows: Sequence[int] = (1,),
) -> Chosen:
    """Makes a selection and scores it.

    A selection chosen on an expanded split is also scored on that split's unchanged images.

    Args:
      folder: of the stage, in which nothing is written.
      inputs: train stages whose kept epochs may be chosen, each with its run, and with the test
        crops that every image is seen through, as in `augment.test_crops`. Scores through other
        crops than the centre are computed now, for the chosen epochs, and kept.
      split: what is chosen on; every input keeps its scores.
      test: splits that the finished selection is scored on.
      rules: how it is chosen.
      source: (split, crop) -> the records.
      mesh: the devices that missing scores are computed on.
      threads: the number of threads that read and decode images.
      windows: the smoothing windows that may be chosen.

    Raises:
      UserError: an input keeps no scores of `split`, the inputs' scores are of other examples, or
        `split` holds one subject only, or subjects who all share videos.
    """
    scoring = Scoring(folder.path.parent.parent, source, mesh, threads)
    windows = sorted(set(windows))
    candidates, scores = _candidates(inputs, split, rules, windows, scoring)
    names = tuple(au for au in aus.MEANING if any(au in c.aus for c in candidates))
    people = _people(scores[0])
    choice = rules.use_labels or len(windows) > 1
    if choice and only_one(people):
        raise UserError(
            f"'{split}' holds one subject only, or subjects who all share videos, so no choice on "
            "it can be scored honestly; give a larger config.data.val_fraction"
        )
    subjects = metrics.subject_numbers(people, len(people))
    chosen = rules.choose(candidates, _labels(scores, names), names, subjects)
    printed = _decide(chosen, scores, people, choose.member_logits(chosen, candidates))
    honest = _decide_honestly(printed, rules, candidates) if choice else printed
    results = {
        name: _both(printed.summaries(chosen, rows), honest.summaries(chosen, rows))
        for name, rows in _parts(split, len(honest.keys)).items()
    }
    decided = {split: honest}
    for name in test:
        test_scores = scoring.of_members(chosen, name)
        logits = [(s.aus.tolist(), s.logits) for s in test_scores]
        decided[name] = _decide(chosen, test_scores, _people(test_scores[0]), logits)
        results[name] = _both(None, decided[name].summaries(chosen))
    _say_uncalibrated(chosen, printed.labels)
    for name, figures in results.items():
        score = figures["honest"]["final_score"]
        log.say(f"  {name}: final score {'undefined' if score is None else f'{score:.4f}'}")
    return Chosen(chosen, decided, results)


def _people(scores: Scores) -> np.ndarray:
    """The unit, text [N], of each record."""
    return units_of_copies(scores.subject, scores.video, scores.keys)


def _say_uncalibrated(chosen: Selection, labels: np.ndarray) -> None:
    """Names the AUs of a selection that calibrates whose probabilities stay as they are."""
    if chosen.calibration is None:
        return
    few = ~calibration.enough(labels)
    turned = chosen.calibration.identical & ~few
    for where, reason in (
        (few, f"have fewer than {calibration.LEAST} positives or negatives"),
        (turned, "would be turned around, as their positives do not score higher"),
    ):
        if where.any():
            names = ", ".join(au for au, is_one in zip(chosen.aus, where, strict=True) if is_one)
            log.say(f"  not calibrated are {names}: they {reason}")


def _candidates(
    inputs: Sequence[tuple[RunFolder, StageFolder, str]],
    split: str,
    rules: Rules,
    windows: Sequence[int],
    scoring: Scoring,
) -> tuple[list[Candidate], list[Scores]]:
    """The kept scores of the epochs of the inputs, smoothed, and one epoch's for the labels."""
    candidates: list[Candidate] = []
    firsts: list[Scores] = []
    for run, stage, crops in inputs:
        epochs = _usable_epochs(stage, split, rules)
        # Behind a link ".." would be another folder.
        run_path = os.path.relpath(run.path.resolve(), scoring.workdir.resolve())
        kept = stage.read_epochs(split, epochs)
        if firsts and not np.array_equal(kept[0].keys, firsts[0].keys):
            raise UserError(
                f"stages {inputs[0][1].path} and {stage.path} scored other records of '{split}'; "
                "train both on one data set and split"
            )
        firsts.append(kept[0])
        runs = sequences(kept[0])
        if windows[-1] > 1 and len(firsts) == 1:
            log.say(
                f"  {split}: smoothed within {runs.count} runs of frames, which end at "
                f"{runs.gaps} gaps of missing frames"
            )
        through_crops = functools.partial(_through_crops, scoring, split, kept[0].keys)
        candidates.append(
            Candidate(
                run=run_path,
                stage=stage.name,
                crops=crops,
                epochs=tuple(epochs),
                aus=tuple(kept[0].aus.tolist()),
                logits=np.stack([smoothed(k.logits, runs, w) for k in kept for w in windows]),
                windows=tuple(windows),
                through_crops=None if crops == "center" else functools.cache(through_crops),
            )
        )
    return candidates, firsts


def _through_crops(scoring: Scoring, split: str, keys: np.ndarray, member: Member) -> np.ndarray:
    """The logits float32 [N, A_m] of a member on the records that its centre crops are of."""
    scores = scoring.of_member(member, split)
    if not np.array_equal(scores.keys, keys):
        raise UserError(
            f"{member} keeps scores of other records of '{split}' than the same stage through the "
            "centre crop, so one of them is of another run; delete the stage's folder to redo it"
        )
    return scores.logits


def _usable_epochs(stage: StageFolder, split: str, rules: Rules) -> list[int]:
    """The scored epochs that the rules may choose from; of a stage with models those kept."""
    models = stage.epochs()
    # A baseline without models keeps scores alone.
    epochs = [e for e in stage.scored_epochs(split) if e in models or not models]
    if not epochs:
        raise UserError(
            f"stage {stage.name} keeps no scores of '{split}' (kept: "
            f"{', '.join(stage.scored_splits()) or 'none'}); add it to its validate splits"
        )
    needed = models
    if stage.model_card.exists():
        needed = [*needed, last_epoch(stage)]
    for epoch in needed:
        if epoch not in epochs:
            raise UserError(
                f"{stage.scores(split, epoch)} is missing; delete the stage's folder to redo it"
            )
    return epochs[-1:] if rules.epoch_rule == "last" else epochs


def _labels(scores: Sequence[Scores], names: Sequence[str]) -> np.ndarray:
    """The labels int8 [N, A] over `names`, from all that the scores know."""
    labels = np.full((len(scores[0].keys), len(names)), aus.UNKNOWN, np.int8)
    for of_stage in scores:
        aligned = aus.align(of_stage.labels, of_stage.aus.tolist(), names)
        labels = np.where(labels == aus.UNKNOWN, aligned, labels)
    return labels


def _decide(
    chosen: Selection,
    scores: Sequence[Scores],
    people: np.ndarray,
    member_logits: Sequence[tuple[Sequence[str], np.ndarray]],
) -> _Decided:
    """Applies the selection to the records of `scores`, of `people`, as its members' logits say."""
    return _Decided(
        keys=scores[0].keys,
        subject=people,
        aus=np.array(chosen.aus),
        labels=_labels(scores, chosen.aus),
        probabilities=selection.apply(chosen, member_logits),
        thresholds=chosen.thresholds,
    )


def _decide_honestly(printed: _Decided, rules: Rules, candidates: Sequence[Candidate]) -> _Decided:
    """The same records, decided on by selections that were chosen on other subjects."""
    choose_selection = functools.partial(rules.choose, names=printed.aus.tolist())
    probabilities, thresholds = choose.honest(
        choose_selection, candidates, printed.labels, printed.subject
    )
    return dataclasses.replace(printed, probabilities=probabilities, thresholds=thresholds)


def _parts(split: str, size: int) -> dict[str, np.ndarray]:
    """The rows bool [size] of a split, and of the split that it is an expansion of."""
    parts = {split: np.ones(size, bool)}
    name = SplitName.parse(split)
    if name.expanded:
        # The records as they are come first, then their changed copies.
        parts[str(name.unexpanded())] = np.arange(size) < size // len(CORRUPTIONS)
    return parts


def _both(printed: Summaries | None, honest: Summaries) -> dict[str, Any]:
    """One split of results.json; a split that nothing was chosen on has no printed figures."""

    def of_group(group: str) -> dict[str, Any]:
        return {"as_printed": printed and printed[group], "honest": honest[group]}

    groups = {group: of_group(group) for group in honest if group != "all"}
    return {**of_group("all"), "groups": groups}
