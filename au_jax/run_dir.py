"""The files of a run: where each lies in its folder, and what it holds.

The folder of a run, its workdir, holds:

config.json        the config that the workdir belongs to, {dotted field: value}
environment.json   the device and the versions that the stages ran with
data.json          the data set: {"name", "drawn"}
report/            index.html with its images, results.json, results.csv; files.json lists them
lock, report.lock  held by the processes that write here, or by the one that writes the report
stages/STAGE/      one folder per stage, STAGE as in `StageName`

The folder of a stage holds, depending on the stage's kind:

stage.json                         the stage's kind and all its fields, resolved
model_card.json                    what is needed beside the weights to use a checkpoint
parameters.txt                     the network's parameters, one per line
label_counts.json                  how often each AU is present, absent, unknown in each stream
model/EPOCH/                       the kept networks
state/STEP/                        the newest whole training states
metrics.jsonl, events.*            the figures of every epoch, the latter for TensorBoard
scores/SPLIT[@CROPS]/EPOCH.npz     logits on a split, see `ScoredSplit` and `Scores`
given_labels/SPLIT.npz             a split's own labels beside the true ones, where known
label_tables/STREAM/EPOCH.npz      what training made of a stream's labels
labels/SPLIT.npz                   the labels that the stage gives to a split
encoder.json                       what is needed beside the weights to use a frozen encoder
features/SPLIT.npz                 pooled features of a split, see `Features`
maps/INPUT.npz                     a map of the features of another stage, see `StageFolder.map`
decided/SPLIT.npz, results.json    what a selection decides on a split, and the figures of that
selection.json                     the selection itself
lock                               held by the process that runs it, where several share a run
DONE                               present once the stage is finished
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from au_jax.errors import UserError
from au_jax.files import atomic_files, file_forms
from au_jax.stage_name import StageName


@dataclasses.dataclass(frozen=True)
class ScoredSplit:
    """A split as scored through test crops, and its folder of scores: `SPLIT[@CROPS]`.

    Attributes:
      split: the split's name.
      crops: as in `augment.test_crops`; "center" is left out of the text.
    """

    split: str
    crops: str = "center"

    @classmethod
    def parse(cls, text: str) -> "ScoredSplit":
        """Reads what `str` wrote."""
        split, _, crops = text.partition("@")
        return cls(split, crops or "center")

    def __str__(self) -> str:
        return self.split if self.crops == "center" else f"{self.split}@{self.crops}"


@dataclasses.dataclass(frozen=True)
class Scores:
    """The logits of one checkpoint on the N records of a split, and what they are compared with.

    Attributes:
      logits: float32 [N, A].
      labels: int8 [N, A].
      aus: text [A].
      keys, subject, video: text [N].
      frame: int32 [N].
    """

    logits: np.ndarray
    labels: np.ndarray
    aus: np.ndarray
    keys: np.ndarray
    subject: np.ndarray
    video: np.ndarray
    frame: np.ndarray


@dataclasses.dataclass(frozen=True)
class Features:
    """What a frozen encoder makes of the N records of a split, and what these are.

    Attributes:
      features: float32 [N, F], pooled.
      labels: int8 [N, A].
      aus: text [A].
      emotion: int8 [N], a position in `aus.EMOTIONS`, -1 unknown.
      face: bool [N], whether a face was found.
      keys, subject: text [N].
    """

    features: np.ndarray
    labels: np.ndarray
    aus: np.ndarray
    emotion: np.ndarray
    face: np.ndarray
    keys: np.ndarray
    subject: np.ndarray


@dataclasses.dataclass(frozen=True)
class StageFolder:
    """The folder of one stage."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def in_config(self) -> str:
        """The stage's name in the config, without seed and fold."""
        return StageName.parse(self.name).base

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def selection(self) -> Path:
        return self.path / "selection.json"

    @property
    def label_counts(self) -> Path:
        """How often each AU is present, absent and unknown in one pass over each stream.

        It is {stream: {"rows": N, "of": {AU: [present, absent, unknown]}}}. A resampled stream has
        an entry "before" beside these two: the same counts of its records before the resampling.
        """
        return self.path / "label_counts.json"

    @property
    def model_card(self) -> Path:
        return self.path / "model_card.json"

    @property
    def encoder(self) -> Path:
        return self.path / "encoder.json"

    @property
    def settings(self) -> Path:
        return self.path / "stage.json"

    @property
    def results(self) -> Path:
        return self.path / "results.json"

    @property
    def parameters(self) -> Path:
        """A table of the network's parameters, as text."""
        return self.path / "parameters.txt"

    def decided(self, split: str) -> Path:
        """What a selection says of each of the N records of a split, as arrays.

        They are keys and subject, text [N]; aus, text [A]; labels int8 [N, A]; probabilities
        float32 [N, A]; thresholds float64, [A] or [N, A]. The subject is the name of the record's
        unit (`data.units.units`), so subjects who share a video have one name. On the split that a
        selection was chosen on, the last two are those of selections chosen on other subjects.
        """
        return self.path / "decided" / f"{split}.npz"

    def read_decided(self, split: str) -> dict[str, np.ndarray]:
        """What `decided` keeps of a split; raises UserError where it is missing or damaged."""
        return atomic_files.read_arrays(self.decided(split), file_forms.DECIDED)

    def read_results(self) -> dict[str, Any]:
        """The figures of a selection; raises UserError where the file is missing or damaged."""
        return atomic_files.read_json(self.results, file_forms.SelectionResults)

    def read_label_counts(self) -> dict[str, Any]:
        """See `label_counts`; raises UserError where the file is missing or damaged."""
        return atomic_files.read_json(self.label_counts, Mapping[str, file_forms.LabelCounts])

    def read_map(self, stage: str) -> dict[str, np.ndarray]:
        """See `map`; raises UserError where the file is missing or damaged."""
        return atomic_files.read_arrays(self.map(stage), file_forms.MAP)

    def decided_splits(self) -> list[str]:
        """The splits that `decided` keeps records of."""
        return sorted(p.stem for p in (self.path / "decided").glob("*.npz"))

    def scores(self, split: str, epoch: int, crops: str = "center") -> Path:
        """Where the scores through some choice of test crops lie (`augment.test_crops`)."""
        return self.path / "scores" / str(ScoredSplit(split, crops)) / f"{epoch}.npz"

    def labels(self, split: str) -> Path:
        """The labels that the stage gives to the records of a split."""
        return self.path / "labels" / f"{split}.npz"

    def labelled_splits(self) -> list[str]:
        """The splits that the stage made labels of."""
        return sorted(p.stem for p in (self.path / "labels").glob("*.npz"))

    def label_table(self, stream: str, epoch: int) -> Path:
        """What training made of a stream's labels by the end of an epoch (`Method.label_table`)."""
        return self.path / "label_tables" / stream / f"{epoch}.npz"

    def label_tables(self, stream: str) -> list[int]:
        """The epochs whose table is kept, ascending."""
        return _numbers(self.path / "label_tables" / stream)

    def given_labels(self, split: str) -> Path:
        """A split's own labels, which a training learned, beside the true ones.

        Its arrays are aus, text [A]; labels, int8 [N, A]; true_aus, text [T]; true, int8 [N, T];
        conditions, text [C], and held, float32 [N, C], how far each was the case, 0 to 1.
        """
        return self.path / "given_labels" / f"{split}.npz"

    def given_splits(self) -> list[str]:
        """The splits whose own labels are kept beside the true ones."""
        return sorted(p.stem for p in (self.path / "given_labels").glob("*.npz"))

    def features(self, split: str) -> Path:
        """The features of a split's records, see `Features`."""
        return self.path / "features" / f"{split}.npz"

    def read_features(self, split: str) -> Features:
        """Reads what `write_features` wrote.

        Raises:
          UserError: the file is missing or damaged.
        """
        return Features(**atomic_files.read_arrays(self.features(split), file_forms.FEATURES))

    def write_features(self, split: str, features: Features) -> None:
        """Keeps the features of a split's records."""
        # Not dataclasses.asdict, which would copy the arrays.
        atomic_files.write_arrays(self.features(split), vars(features))

    def encoded_splits(self) -> list[str]:
        """The splits whose features are kept."""
        return sorted(p.stem for p in (self.path / "features").glob("*.npz"))

    def map(self, stage: str) -> Path:
        """The two-dimensional map of n records' features of `stage`, named as in the config.

        Its arrays are points, float32 [n, 2]; emotion, int8 [n], and present, int8 [n], the label
        of one AU, as in `Features`; library, text, that made it; same_emotion and same_label,
        float64 [2], how alike neighbours in the feature space are and by chance would be.
        """
        return self.path / "maps" / f"{stage}.npz"

    def mapped_stages(self) -> list[str]:
        """The stages that there is a map of."""
        return sorted(p.stem for p in (self.path / "maps").glob("*.npz"))

    def read_scores(self, split: str, epoch: int, crops: str = "center") -> Scores:
        """Reads what `write_scores` wrote.

        Raises:
          UserError: the file is missing or damaged.
        """
        return Scores(
            **atomic_files.read_arrays(self.scores(split, epoch, crops), file_forms.SCORES)
        )

    def read_epochs(self, split: str, epochs: Sequence[int], crops: str = "center") -> list[Scores]:
        """The scores of several epochs, which are of the same records and AUs.

        Raises:
          UserError: a file is missing, damaged, or of another split or run than the first.
        """
        scores = [self.read_scores(split, epoch, crops) for epoch in epochs]
        for epoch, of_epoch in zip(epochs, scores, strict=True):
            for name in ("keys", "aus", "labels"):
                if not np.array_equal(getattr(of_epoch, name), getattr(scores[0], name)):
                    first, other = (self.scores(split, e, crops) for e in (epochs[0], epoch))
                    raise UserError(
                        f"{first} and {other} hold scores of different {name}, so one of them is "
                        f"of another run; {atomic_files.REDO}"
                    )
        return scores

    def write_scores(self, split: str, epoch: int, scores: Scores, crops: str = "center") -> None:
        """Keeps the scores of one epoch on a split through some choice of test crops."""
        atomic_files.write_arrays(self.scores(split, epoch, crops), dataclasses.asdict(scores))

    def scored_splits(self) -> list[str]:
        """The splits with scores through the centre crop, which training keeps."""
        scored = [ScoredSplit.parse(p.name) for p in (self.path / "scores").glob("*")]
        return sorted(folder.split for folder in scored if folder.crops == "center")

    def scored_epochs(self, split: str) -> list[int]:
        """The epochs whose scores on `split` through the centre crop are kept, ascending."""
        return _numbers(self.path / "scores" / split)

    def epochs(self) -> list[int]:
        """The epochs whose model is kept, ascending."""
        if not self.model.exists():
            return []
        return sorted(int(p.name) for p in self.model.iterdir() if p.name.isdigit())

    @property
    def lock(self) -> Path:
        """Held by the process that runs the stage, where several share a run."""
        return self.path / "lock"

    @property
    def done(self) -> bool:
        """Whether the stage is finished."""
        return (self.path / "DONE").exists()

    def mark_done(self) -> None:
        with atomic_files.replacing(self.path / "DONE") as temporary:
            temporary.touch()

    def mark_undone(self) -> None:
        (self.path / "DONE").unlink(missing_ok=True)


def _numbers(folder: Path) -> list[int]:
    """The numbers that the .npz files of a folder are named by, ascending."""
    return sorted(int(p.stem) for p in folder.glob("[0-9]*.npz"))


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The folder of one run of a config."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def data(self) -> Path:
        """What the data are: {"name": str, "drawn": whether a program drew the faces}."""
        return self.path / "data.json"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def dry(self) -> Path:
        """What `--mode=benchmark --dry` finds of every training, see `experiment.modes`."""
        return self.path / "dry.json"

    @property
    def lock(self) -> Path:
        """Held by the processes that write into the folder, but for the report."""
        return self.path / "lock"

    @property
    def report_lock(self) -> Path:
        """Held by the process that writes the report."""
        return self.path / "report.lock"

    @property
    def report(self) -> Path:
        return self.path / "report"

    def resolved_config(self) -> "ResolvedConfig":
        """config.json, each stage that has begun with all its fields: {dotted field: value}.

        Raises:
          UserError: a file is missing or damaged.
        """
        config = ResolvedConfig(self, atomic_files.read_json(self.config, file_forms.Config))
        for name in config["order"]:
            settings = self.stage(StageName(name).on_folds(config["folds"])[0]).settings
            if settings.exists():
                fields = atomic_files.read_json(settings, file_forms.Stage)
                config.update(flat(fields, f"stages.{name}."))
        return config

    def stage(self, name: str) -> StageFolder:
        """The folder of the stage `name`, seed and fold included (`StageName`)."""
        return StageFolder(self.path / "stages" / name)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted field: JSON-able value} of nested fields, those that are None left out."""
    fields: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            fields |= flat(value, f"{prefix}{name}.")
        elif value is not None:
            fields[prefix + name] = list(value) if isinstance(value, tuple) else value
    return fields


class ResolvedConfig(dict[str, Any]):
    """{dotted field: value} of a run; a field that its files lack is a mistake of theirs."""

    def __init__(self, run: RunFolder, fields: Mapping[str, Any]):
        super().__init__(fields)
        self._run = run

    def __missing__(self, field: str) -> Any:
        section, _, of_stage = field.partition(".")
        files = str(self._run.config)
        if section == "stages":
            files += f" and stage.json of the stage {of_stage.partition('.')[0]}"
        raise UserError(f"{files} lack the field '{field}'; restore them, or run the recipe again")


@dataclasses.dataclass(frozen=True)
class FirstFold(RunFolder):
    """A run whose stages are, where it has folds, those of the first one.

    Attributes:
      folds: how many there are.
    """

    folds: int = 0

    def stage(self, name: str) -> StageFolder:
        """The folder of the stage `name`, on the first fold where the name has none."""
        parsed = StageName.parse(name)
        return super().stage(name if parsed.fold else parsed.on_folds(self.folds)[0])
