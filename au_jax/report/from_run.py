"""Scores of each epoch and label counts, computed from the files that the stages of a run left."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from au_jax import aus, metrics
from au_jax.ensemble.epochs import best_epoch_per_au
from au_jax.files import atomic_files, file_forms
from au_jax.run_dir import RunFolder, StageFolder


@dataclasses.dataclass(frozen=True)
class EpochScores:
    """The final score of every kept epoch of a training stage on one split.

    Attributes:
      aus: names [A]. epochs: numbers [E], ascending.
      scores: float64 [E, A], (accuracy + F1) / 2 at threshold 0.5; NaN without positives.
      mean: float64 [E], the final score over all AUs.
      best: int [A], the position in `epochs` that a selection with `epoch_rule = "best"` takes.
    """

    aus: tuple[str, ...]
    epochs: tuple[int, ...]
    scores: np.ndarray
    mean: np.ndarray
    best: np.ndarray


def epoch_scores(stage: StageFolder, split: str) -> EpochScores | None:
    """Scores every epoch that `stage` kept scores of on `split`; None where it kept none."""
    epochs = [e for e in stage.epochs() if stage.scores(split, e).exists()]
    if not epochs:
        return None
    scores = stage.read_epochs(split, epochs)
    labels = scores[-1].labels
    probabilities = [metrics.probabilities(of_epoch.logits) for of_epoch in scores]
    counts = np.stack(
        [
            metrics.confusion(metrics.decide(p, metrics.DEFAULT_THRESHOLD), labels)
            for p in probabilities
        ]
    )
    return EpochScores(
        aus=tuple(scores[-1].aus.tolist()),
        epochs=tuple(epochs),
        scores=metrics.final_score_per_au(counts),
        mean=metrics.final_score(counts),
        best=best_epoch_per_au(probabilities, labels),
    )


def reliability(stages: Sequence[StageFolder], split: str) -> tuple[list[str], metrics.Reliability]:
    """The AUs of a selection on a split, and how far its probabilities can be taken at their word.

    Args:
      stages: of the selection, one for each fold; their records are counted together.
    """
    decided = [stage.read_decided(split) for stage in stages]
    probabilities, labels = (
        np.concatenate([of_fold[name] for of_fold in decided])
        for name in ("probabilities", "labels")
    )
    return decided[0]["aus"].tolist(), metrics.reliability(probabilities, labels)


@dataclasses.dataclass(frozen=True)
class LabelNoise:
    """How right a stream's labels are, before and after refinement, where the truth is known.

    Attributes:
      aus: names [A]. epochs: numbers [E], ascending.
      given: float64 [A], the share of the known given labels that are right; NaN where none is
        known.
      refined: float64 [E, A], of the labels 1[p > 0.5] after each epoch.
    """

    aus: tuple[str, ...]
    epochs: tuple[int, ...]
    given: np.ndarray
    refined: np.ndarray


def label_noise(stage: StageFolder, stream: str) -> LabelNoise | None:
    """Judges the label tables that `stage` kept of a stream; None without tables or truth."""
    epochs = stage.label_tables(stream)
    tables = [
        atomic_files.read_arrays(stage.label_table(stream, epoch), file_forms.LABEL_TABLE)
        for epoch in epochs
    ]
    if not tables or "true" not in tables[0]:
        return None
    labels, true = tables[0]["labels"], tables[0]["true"]
    judged = (labels >= 0) & (true >= 0)
    count = np.where(judged.any(0), judged.sum(0), np.nan)
    return LabelNoise(
        aus=tuple(tables[0]["aus"].tolist()),
        epochs=tuple(epochs),
        given=((labels == true) & judged).sum(0) / count,
        refined=np.stack(
            [
                (((table["probabilities"] > 0.5) == (true == 1)) & judged).sum(0) / count
                for table in tables
            ]
        ),
    )


@dataclasses.dataclass(frozen=True)
class LabelCounts:
    """How often each AU is present, absent and unknown in one set of labels.

    Attributes:
      title: what the set is. rows: the number of its records.
      of: {AU: (present, absent, unknown)}.
    """

    title: str
    rows: int
    of: Mapping[str, tuple[int, int, int]]


def label_counts(title: str, labels: np.ndarray, names: Sequence[str]) -> LabelCounts:
    """Counts `labels`, int8 [N, A] over the AUs `names`."""
    codes = (aus.PRESENT, aus.ABSENT, aus.UNKNOWN)
    counts = np.stack([(labels == code).sum(0) for code in codes], -1)
    per_au = {au: tuple(row) for au, row in zip(names, counts.tolist(), strict=True)}
    return LabelCounts(title, len(labels), per_au)


def label_sets(folder: RunFolder, results: Mapping[str, Any]) -> list[LabelCounts]:
    """The labels that the run left: of every scored split, then of every stage that made labels.

    Made labels of one split with no AU in common (expression and pose) are shown as one set.
    """

    def stages(outcome: str) -> list[StageFolder]:
        parts = results["stages"].items()
        return [folder.stage(name) for name, part in parts if part["outcome"] == outcome]

    made = _made_labels(stages("labels"))
    networks = stages("network")
    splits = dict.fromkeys(split for stage in networks for split in stage.scored_splits())
    relabelled = {split for split, _ in made}
    ordered = sorted(splits, key=lambda split: split in relabelled)
    learnt = _stream_labels(networks, results["config"])
    titles = {counts.title for counts in learnt}
    scored = [_split_labels(networks, split) for split in ordered if split not in titles]
    sets = [*learnt, *scored, *(counts for _, counts in made)]
    return [counts for counts in sets if counts.of]  # pretraining may know no AU


def _made_labels(stages: Iterable[StageFolder]) -> list[tuple[str, LabelCounts]]:
    """(split, counts) of the labels that stages made."""
    made: list[tuple[str, LabelCounts]] = []
    for stage in stages:
        for split in stage.labelled_splits():
            arrays = atomic_files.read_arrays(stage.labels(split), file_forms.MADE_LABELS)
            title = f"{split}, labelled by:\n{stage.in_config}"
            counts = label_counts(title, arrays["labels"], arrays["aus"].tolist())
            for place, (other_split, other) in enumerate(made):
                if other_split == split and not other.of.keys() & counts.of.keys():
                    title = f"{other.title}\n+ {stage.in_config}"
                    both = LabelCounts(title, counts.rows, {**other.of, **counts.of})
                    made[place] = split, both
                    break
            else:
                made.append((split, counts))
    return made


def _stream_labels(stages: Iterable[StageFolder], config: Mapping[str, Any]) -> list[LabelCounts]:
    """The data set's own labels that networks were trained on, by split, over all AUs.

    Behind them are the sets that streams were resampled to.
    """
    by_split: dict[str, LabelCounts] = {}
    resampled: list[LabelCounts] = []
    for stage in stages:
        for stream, learnt in stage.read_label_counts().items():
            prefix = f"stages.{stage.in_config}.streams.{stream}"
            split = config[f"{prefix}.split"]
            if "before" in learnt:
                title = f"{split}, resampled for:\n{stage.in_config}"
                resampled.append(LabelCounts(title, learnt["rows"], _per_au(learnt)))
            if not config[f"{prefix}.labels"]:
                whole = learnt.get("before", learnt)
                other = by_split[split].of if split in by_split else {}
                by_split[split] = LabelCounts(split, whole["rows"], {**other, **_per_au(whole)})
    return [*by_split.values(), *resampled]


def _per_au(counts: Mapping[str, Any]) -> dict[str, tuple[int, int, int]]:
    return {au: (row[0], row[1], row[2]) for au, row in counts["of"].items()}


def _split_labels(stages: Iterable[StageFolder], split: str) -> LabelCounts:
    """The labels of a split, put together by key from all stages that scored it."""
    scores = []
    for stage in stages:
        epochs = stage.scored_epochs(split)
        if epochs:
            scores.append(stage.read_scores(split, epochs[-1]))
    names = [au for au in aus.MEANING if any(au in of_stage.aus for of_stage in scores)]
    keys, rows = np.unique(np.concatenate([s.keys for s in scores]), return_inverse=True)
    labels = np.full((len(keys), len(names)), aus.UNKNOWN, np.int8)
    ends = np.cumsum([len(of_stage.keys) for of_stage in scores])
    for of_stage, places in zip(scores, np.split(rows, ends), strict=False):
        aligned = aus.align(of_stage.labels, of_stage.aus.tolist(), names)
        labels[places] = np.where(labels[places] == aus.UNKNOWN, aligned, labels[places])
    return label_counts(split, labels, names)
