"""Selection after training: from kept scores, in numpy; then the finished selection is scored.

A selection is chosen on a validation split. On that split it is scored twice: as papers print it
(chosen and scored on the same examples) and honestly (chosen on other subjects' folds). On any
other split the one selection is applied as it is, which is honest too.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from au_jax import artefacts, aus, log, metrics, selection
from au_jax.artefacts import Scores, StageFolder
from au_jax.data.sources import Source
from au_jax.errors import UserError
from au_jax.selection import Candidate, Member, Selection
from au_jax.stages.score import make_scorer, with_labels
from au_jax.trained import About, restore

OpenSource = Callable[[str, str], Source]  # (split, crop) -> its records
_SCORE_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Rules:
    """How a selection is chosen: the keyword arguments of `selection.choose`."""

    epochs: str
    combine: str
    thresholds: str

    @property
    def chooses(self) -> bool:
        """Whether anything depends on the labels of the split."""
        return dataclasses.astuple(self) != ("last", "mean", "default")


def select(
    folder: StageFolder,
    *,
    inputs: Sequence[StageFolder],
    split: str,
    test: Sequence[str],
    rules: Rules,
    source: OpenSource,
    mesh: Mesh,
    threads: int,
) -> None:
    """Writes selection.json and results.json: {SPLIT: {"as_printed", "honest", "groups"}}.

    Args:
      inputs: train stages whose kept epochs may vote.
      split: what is chosen on; every input keeps its scores.
      test: splits that the finished selection is scored on.

    Raises:
      UserError: an input keeps no scores of `split`, or the inputs' scores are of other examples.
    """
    candidates, scores = _candidates(inputs, split)
    names = tuple(au for au in aus.MEANING if any(au in c.aus for c in candidates))
    labels = _labels(scores, names)

    def choose(candidates: Sequence[Candidate], labels: np.ndarray) -> Selection:
        return selection.choose(candidates, labels, names, **dataclasses.asdict(rules))

    chosen = choose(candidates, labels)
    subjects = scores[0].subject
    votes = selection.member_logits(chosen, candidates)
    printed = _summaries(chosen, selection.apply(chosen, votes), labels, subjects)
    honest = printed
    if rules.chooses and len(set(subjects.tolist())) == 1 and subjects[0]:
        raise UserError(
            f"'{split}' holds one subject only, so no choice on it can be scored honestly; give a "
            "larger config.data.val_fraction"
        )
    if rules.chooses:
        probabilities, thresholds = selection.honest(choose, candidates, labels, subjects)
        honest = _summaries(chosen, probabilities, labels, subjects, thresholds)
    results = {split: _both(printed, honest)}
    for name in test:
        votes_on_test = member_scores(chosen, folder.path.parent, name, source, mesh, threads)
        probabilities = selection.apply(chosen, [(s.aus.tolist(), s.logits) for s in votes_on_test])
        test_labels = _labels(votes_on_test, names)
        figures = _summaries(chosen, probabilities, test_labels, votes_on_test[0].subject)
        results[name] = _both(None, figures)
    if jax.process_index() == 0:
        artefacts.write_json(folder.selection, selection.to_json(chosen))
        artefacts.write_json(folder.results, results)
    for name, parts in results.items():
        score = parts["honest"]["final_score"]
        log.say(f"  {name}: final score {'undefined' if score is None else f'{score:.4f}'}")


def _candidates(inputs: Sequence[StageFolder], split: str) -> tuple[list[Candidate], list[Scores]]:
    """The kept scores of every epoch of the inputs, and one of each input for its labels."""
    candidates: list[Candidate] = []
    firsts: list[Scores] = []
    for stage in inputs:
        epochs = stage.scored_epochs(split)
        if not epochs:
            raise UserError(
                f"stage {stage.name} keeps no scores of '{split}' (kept: "
                f"{', '.join(stage.scored_splits()) or 'none'}); add it to its validate splits"
            )
        kept = [stage.read_scores(split, e) for e in epochs]
        if firsts and (kept[0].keys != firsts[0].keys).any():
            raise UserError(
                f"stages {inputs[0].name} and {stage.name} scored other records of '{split}'; "
                "train both on one data set and split"
            )
        firsts.append(kept[0])
        candidates.append(
            Candidate(
                run=".",
                stage=stage.name,
                crops="center",
                epochs=tuple(epochs),
                aus=tuple(kept[0].aus.tolist()),
                logits=np.stack([k.logits for k in kept]),
            )
        )
    return candidates, firsts


def _labels(scores: Sequence[Scores], names: Sequence[str]) -> np.ndarray:
    """The labels int8 [N, A] over `names`, from all that the scores know."""
    labels = np.full((len(scores[0].keys), len(names)), aus.UNKNOWN, np.int8)
    for one in scores:
        own = aus.align(one.labels, one.aus.tolist(), names)
        labels = np.where(labels == aus.UNKNOWN, own, labels)
    return labels


def _summaries(
    chosen: Selection,
    probabilities: np.ndarray,
    labels: np.ndarray,
    subjects: np.ndarray,
    thresholds: np.ndarray | None = None,
) -> dict[str, dict[str, Any]]:
    """A SUMMARY over all AUs, and one for each group of AUs that the selection knows."""
    thresholds = chosen.thresholds if thresholds is None else thresholds
    voters = chosen.voters()
    summaries = {}
    for group in ("all", "expression", "pose"):
        names = aus.group(chosen.aus, group)
        if names:
            at = aus.positions(chosen.aus, names)
            summaries[group] = metrics.summary(
                names,
                probabilities[:, at],
                labels[:, at],
                thresholds[..., at],
                subjects,
                [voters[a] for a in at],
            )
    return summaries


def _both(
    printed: dict[str, dict[str, Any]] | None, honest: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    def parts(group: str) -> dict[str, Any]:
        return {"as_printed": printed and printed[group], "honest": honest[group]}

    groups = {group: parts(group) for group in honest if group != "all"}
    return {**parts("all"), "groups": groups}


def read_selection(folder: StageFolder) -> Selection:
    """A select stage's selection; of a train stage, its last epoch alone."""
    if folder.selection.exists():
        return selection.from_json(
            artefacts.read_json(folder.selection), where=str(folder.selection)
        )
    about = About.read(folder)
    return selection.of_one(Member(".", folder.name, folder.epochs()[-1]), about.aus)


def member_scores(
    chosen: Selection, stages: Path, split: str, source: OpenSource, mesh: Mesh, threads: int
) -> list[Scores]:
    """The scores of every member of a selection on a split, kept beside the member's others.

    Args:
      stages: the folder that holds the stages of the run.
    """
    scores = []
    scorers: dict[str, Any] = {}
    for member in chosen.members:
        folder = StageFolder(stages / member.stage)
        if not folder.scores(split, member.epoch).exists():
            about = About.read(folder)
            if member.stage not in scorers:
                method = about.create()
                scorers[member.stage] = method, make_scorer(method, mesh, _SCORE_BATCH, threads)
            method, score = scorers[member.stage]
            log.say(f"  scoring {member.name} on {split}")
            variables = restore(folder, method, member.epoch, mesh)
            records = source(split, about.crop)
            computed = with_labels(score(variables, records), records, method.aus)
            if jax.process_index() == 0:
                folder.write_scores(split, member.epoch, computed)
            scores.append(computed)
        else:
            scores.append(folder.read_scores(split, member.epoch))
    return scores
