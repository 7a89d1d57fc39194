"""Selection after training: from kept scores, in numpy; then the finished selection is scored.

A selection is chosen on a validation split. On that split it is scored twice: as papers print it
(chosen and scored on the same examples) and honestly (chosen on other subjects' folds). On any
other split the one selection is applied as it is, which is honest too.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from au_jax import aus, log, metrics, run_dir
from au_jax.data.corruptions import CORRUPTIONS
from au_jax.data.split_name import SplitName
from au_jax.ensemble import choose, selection
from au_jax.ensemble.choose import Candidate
from au_jax.ensemble.member_scores import OpenSource, Scoring
from au_jax.ensemble.selection import Member, Selection
from au_jax.errors import UserError
from au_jax.run_dir import RunFolder, Scores, StageFolder


@dataclasses.dataclass(frozen=True)
class Rules:
    """How a selection is chosen: the keyword arguments of `choose.choose`."""

    epochs: str
    combine: str
    thresholds: str
    score: str = "final_score"

    @property
    def chooses(self) -> bool:
        """Whether anything depends on the labels of the split."""
        return (self.epochs, self.combine, self.thresholds) != ("last", "mean", "default")


def select(
    folder: StageFolder,
    *,
    inputs: Sequence[tuple[RunFolder, StageFolder]],
    split: str,
    test: Sequence[str],
    rules: Rules,
    crops: str,
    source: OpenSource,
    mesh: Mesh,
    threads: int,
) -> None:
    """Writes selection.json and results.json: {SPLIT: {"as_printed", "honest", "groups"}}.

    A selection chosen on an expanded split is scored on its unchanged pictures, too.

    Args:
      inputs: train stages whose kept epochs may vote, each with its run.
      split: what is chosen on; every input keeps its scores.
      test: splits that the finished selection is scored on.
      crops: that every image is seen through, as in `augment.test_crops`. What an epoch says
        through other crops than the centre's is computed now, and kept.

    Raises:
      UserError: an input keeps no scores of `split`, or the inputs' scores are of other examples.
    """
    workdir = folder.path.parent.parent
    scoring = Scoring(workdir, source, mesh, threads)
    candidates, scores = _candidates(inputs, split, rules, crops, scoring)
    names = tuple(au for au in aus.MEANING if any(au in c.aus for c in candidates))
    labels = _labels(scores, names)

    def choose_one(candidates: Sequence[Candidate], labels: np.ndarray) -> Selection:
        return choose.choose(candidates, labels, names, **dataclasses.asdict(rules))

    chosen = choose_one(candidates, labels)
    subjects = scores[0].subject
    votes = choose.member_logits(chosen, candidates)
    printed = honest = selection.apply(chosen, votes), chosen.thresholds
    if rules.chooses and len(set(subjects.tolist())) == 1 and subjects[0]:
        raise UserError(
            f"'{split}' holds one subject only, so no choice on it can be scored honestly; give a "
            "larger config.data.val_fraction"
        )
    if rules.chooses:
        honest = choose.honest(choose_one, candidates, labels, subjects)
    names_of = {"keys": scores[0].keys, "subject": subjects, "aus": np.array(names)}
    results = {}
    for name, rows in _seen(split, len(labels)).items():
        both = (
            _summaries(chosen, p[rows], labels[rows], subjects[rows], t[rows] if t.ndim > 1 else t)
            for p, t in (printed, honest)
        )
        results[name] = _both(*both)
    _keep(folder, split, {**names_of, "labels": labels}, honest)
    for name in test:
        votes_on_test = scoring.of_members(chosen, name)
        probabilities = selection.apply(chosen, [(s.aus.tolist(), s.logits) for s in votes_on_test])
        test_labels = _labels(votes_on_test, names)
        figures = _summaries(
            chosen, probabilities, test_labels, votes_on_test[0].subject, chosen.thresholds
        )
        results[name] = _both(None, figures)
        first = votes_on_test[0]
        names_of |= {"keys": first.keys, "subject": first.subject, "labels": test_labels}
        _keep(folder, name, names_of, (probabilities, chosen.thresholds))
    if jax.process_index() == 0:
        run_dir.write_json(folder.selection, selection.to_json(chosen))
        run_dir.write_json(folder.results, results)
    for name, parts in results.items():
        score = parts["honest"]["final_score"]
        log.say(f"  {name}: final score {'undefined' if score is None else f'{score:.4f}'}")


def _candidates(
    inputs: Sequence[tuple[RunFolder, StageFolder]],
    split: str,
    rules: Rules,
    crops: str,
    scoring: Scoring,
) -> tuple[list[Candidate], list[Scores]]:
    """The kept scores of the epochs of the inputs, and one of each input for its labels."""
    candidates: list[Candidate] = []
    firsts: list[Scores] = []
    for run, stage in inputs:
        # Only epochs whose model is kept can vote; a baseline without models keeps scores alone.
        models = stage.epochs()
        epochs = [e for e in stage.scored_epochs(split) if e in models or not models]
        if not epochs:
            raise UserError(
                f"stage {stage.name} keeps no scores of '{split}' (kept: "
                f"{', '.join(stage.scored_splits()) or 'none'}); add it to its validate splits"
            )
        if rules.epochs == "last":
            epochs = epochs[-1:]
        name = os.path.relpath(run.path, scoring.workdir)
        kept = scoring.of_epochs(Member(name, stage.name, 0, crops), epochs, split)
        if firsts and not np.array_equal(kept[0].keys, firsts[0].keys):
            raise UserError(
                f"stages {inputs[0][1].path} and {stage.path} scored other records of '{split}'; "
                "train both on one data set and split"
            )
        firsts.append(kept[0])
        candidates.append(
            Candidate(
                run=name,
                stage=stage.name,
                crops=crops,
                epochs=tuple(epochs),
                aus=tuple(kept[0].aus.tolist()),
                logits=np.stack([k.logits for k in kept]),
            )
        )
    return candidates, firsts


def _keep(
    folder: StageFolder,
    split: str,
    records: dict[str, np.ndarray],
    decided: tuple[np.ndarray, np.ndarray],
) -> None:
    if jax.process_index() == 0:
        probabilities, thresholds = decided
        arrays = {**records, "probabilities": probabilities, "thresholds": thresholds}
        run_dir.write_arrays(folder.decided(split), arrays)


def _seen(split: str, size: int) -> dict[str, np.ndarray]:
    """The rows bool [size] of a split, and of the split that it is an expansion of."""
    seen = {split: np.ones(size, bool)}
    name = SplitName.parse(split)
    if name.expanded:
        # All records as they are come first.
        seen[str(name.unexpanded())] = np.arange(size) < size // len(CORRUPTIONS)
    return seen


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
    thresholds: np.ndarray,
) -> dict[str, dict[str, Any]]:
    """A SUMMARY over all AUs, and one for each group of AUs that the selection knows."""
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
