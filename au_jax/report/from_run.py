"""What the report shows of a run beyond results.json, computed from the files that stages kept."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from au_jax import aus, metrics, run_dir
from au_jax.ensemble import choose
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
    kept = [stage.read_scores(split, e) for e in epochs]
    labels = kept[-1].labels
    probabilities = [metrics.probabilities(k.logits) for k in kept]
    counts = np.stack(
        [
            metrics.confusion(metrics.decide(p, metrics.DEFAULT_THRESHOLD), labels)
            for p in probabilities
        ]
    )
    return EpochScores(
        aus=tuple(kept[-1].aus.tolist()),
        epochs=tuple(epochs),
        scores=metrics.final_score_per_au(counts),
        mean=metrics.final_score(counts),
        best=choose.best_epoch_per_au(probabilities, labels),
    )


@dataclasses.dataclass(frozen=True)
class LabelNoise:
    """How right a stream's labels are, before and after refinement, where the truth is known.

    Attributes:
      aus: names [A]. epochs: numbers [E], ascending.
      given: float64 [A], the share of the known given labels that are right.
      refined: float64 [E, A], of the labels 1[p > 0.5] after each epoch.
    """

    aus: tuple[str, ...]
    epochs: tuple[int, ...]
    given: np.ndarray
    refined: np.ndarray


def label_noise(stage: StageFolder, stream: str) -> LabelNoise | None:
    """Judges the label tables that `stage` kept of a stream; None without tables or truth."""
    epochs = stage.label_tables(stream)
    kept = [run_dir.read_arrays(stage.label_table(stream, epoch)) for epoch in epochs]
    if not kept or "true" not in kept[0]:
        return None
    labels, true = kept[0]["labels"], kept[0]["true"]
    judged = (labels >= 0) & (true >= 0)
    count = np.maximum(judged.sum(0), 1)
    return LabelNoise(
        aus=tuple(kept[0]["aus"].tolist()),
        epochs=tuple(epochs),
        given=((labels == true) & judged).sum(0) / count,
        refined=np.stack(
            [(((k["probabilities"] > 0.5) == (true == 1)) & judged).sum(0) / count for k in kept]
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
    """The labels that the run left: of every scored split, then of every pseudo-label stage.

    Pseudo-labels of one split with no AU in common (expression and pose) are shown as one set.
    """
    config = results["config"]

    def of_kind(kind: str) -> list[StageFolder]:
        return [folder.stage(n) for n, part in results["stages"].items() if part["kind"] == kind]

    pseudo: list[tuple[str, LabelCounts]] = []
    for stage in of_kind("pseudo_label"):
        split = config[f"stages.{stage.in_config}.split"]
        kept = run_dir.read_arrays(stage.labels(split))
        title = f"{split}, by a network:\n{stage.in_config}"
        own = label_counts(title, kept["labels"], kept["aus"].tolist())
        for place, (other_split, other) in enumerate(pseudo):
            if other_split == split and not other.of.keys() & own.of.keys():
                title = f"{other.title}\n+ {stage.in_config}"
                pseudo[place] = split, LabelCounts(title, own.rows, {**other.of, **own.of})
                break
        else:
            pseudo.append((split, own))
    trained = of_kind("train")
    splits = dict.fromkeys(split for stage in trained for split in stage.scored_splits())
    relabelled = {split for split, _ in pseudo}
    ordered = sorted(splits, key=lambda split: split in relabelled)
    learnt = _stream_labels(trained, config)
    scored = [_split_labels(trained, s) for s in ordered if s not in {c.title for c in learnt}]
    return [*learnt, *scored, *(counts for _, counts in pseudo)]


def _stream_labels(stages: Iterable[StageFolder], config: Mapping[str, Any]) -> list[LabelCounts]:
    """The data set's own labels that networks were trained on, by split, over all AUs."""
    found: dict[str, LabelCounts] = {}
    for stage in stages:
        for stream, kept in run_dir.read_json(stage.label_counts).items():
            prefix = f"stages.{stage.in_config}.streams.{stream}"
            if not config[f"{prefix}.labels"]:
                split = config[f"{prefix}.split"]
                other = found[split].of if split in found else {}
                of = {au: (row[0], row[1], row[2]) for au, row in kept["of"].items()}
                found[split] = LabelCounts(split, kept["rows"], {**other, **of})
    return list(found.values())


def _split_labels(stages: Iterable[StageFolder], split: str) -> LabelCounts:
    """The labels of a split, put together by key from all stages that scored it."""
    kept = []
    for stage in stages:
        files = [e for e in stage.epochs() if stage.scores(split, e).exists()]
        if files:
            kept.append(stage.read_scores(split, files[-1]))
    names = [au for au in aus.MEANING if any(au in k.aus for k in kept)]
    keys, rows = np.unique(np.concatenate([k.keys for k in kept]), return_inverse=True)
    labels = np.full((len(keys), len(names)), aus.UNKNOWN, np.int8)
    for part, at in zip(kept, np.split(rows, np.cumsum([len(k.keys) for k in kept])), strict=False):
        own = aus.align(part.labels, part.aus.tolist(), names)
        labels[at] = np.where(labels[at] == aus.UNKNOWN, own, labels[at])
    return label_counts(split, labels, names)
