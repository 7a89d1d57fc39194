"""The files of a run: where each lies, and writing them so that none is ever seen half-written.

workdir/config.json
workdir/stages/STAGE/{model_card.json, model/EPOCH/, state/STEP/, scores/SPLIT[@CROPS]/EPOCH.npz,
                      labels/SOURCE.npz, label_tables/STREAM/EPOCH.npz, selection.json,
                      decided/SPLIT.npz, metrics.jsonl, DONE}
workdir/report/
"""

import contextlib
import dataclasses
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from au_jax.errors import UserError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which becomes `path` when the block ends well.

    Raises:
      UserError: the disk is full, or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """Raises UserError when `path` is missing or not JSON."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; is this the folder of a run?") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); delete the stage's folder to redo it") from (
            error
        )


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz file without pickled objects."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Raises UserError when `path` is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; delete the stage's folder to redo it") from error
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}); delete the stage's folder to redo it") from (
            error
        )


def seed_suffix(seed: int) -> str:
    """What the stages of the recipe's run number `seed` (from 0) have behind their names."""
    return f".seed{seed}" if seed else ""


def suffixes(seeds: int, folds: int) -> list[str]:
    """What stands behind the names of the stages of each run of the recipe, in order."""
    of_folds = [f".fold{fold}" for fold in range(1, folds + 1)] or [""]
    return [seed_suffix(seed) + fold for seed in range(seeds) for fold in of_folds]


def parted(name: str) -> tuple[str, str, int, int]:
    """A stage's name as its name in the config, suffix, seed and fold (0 where there is none)."""
    base, dot, marks = name.partition(".")
    numbers = dict(re.findall(r"(seed|fold)(\d+)", marks))
    return base, dot + marks, int(numbers.get("seed", 0)), int(numbers.get("fold", 0))


@dataclasses.dataclass(frozen=True)
class Scores:
    """The logits of one checkpoint on one split, and what they are compared with.

    Attributes:
      logits: float32 [N, A]. labels: int8 [N, A]. aus: str [A].
      keys, subject, video: str [N]. frame: int32 [N].
    """

    logits: np.ndarray
    labels: np.ndarray
    aus: np.ndarray
    keys: np.ndarray
    subject: np.ndarray
    video: np.ndarray
    frame: np.ndarray


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
        return parted(self.name)[0]

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
        return self.path / "label_counts.json"

    @property
    def model_card(self) -> Path:
        return self.path / "model_card.json"

    @property
    def results(self) -> Path:
        return self.path / "results.json"

    def decided(self, split: str) -> Path:
        """What a selection says of each record: keys, subject, aus, labels, and, chosen on other
        subjects where it was chosen at all, probabilities [N, A] and thresholds [A] or [N, A].
        """
        return self.path / "decided" / f"{split}.npz"

    def scores(self, split: str, epoch: int, crops: str = "center") -> Path:
        """Where the scores through some choice of test crops lie (`augment.test_crops`)."""
        folder = split if crops == "center" else f"{split}@{crops}"
        return self.path / "scores" / folder / f"{epoch}.npz"

    def labels(self, source: str) -> Path:
        return self.path / "labels" / f"{source}.npz"

    def label_table(self, stream: str, epoch: int) -> Path:
        """What training made of a stream's labels by the end of an epoch (`Method.label_table`)."""
        return self.path / "label_tables" / stream / f"{epoch}.npz"

    def label_tables(self, stream: str) -> list[int]:
        """The epochs whose table is kept, in order."""
        folder = self.path / "label_tables" / stream
        return sorted(int(p.stem) for p in folder.glob("[0-9]*.npz"))

    def read_scores(self, split: str, epoch: int, crops: str = "center") -> Scores:
        return Scores(**read_arrays(self.scores(split, epoch, crops)))

    def write_scores(self, split: str, epoch: int, scores: Scores, crops: str = "center") -> None:
        write_arrays(self.scores(split, epoch, crops), dataclasses.asdict(scores))

    def scored_splits(self) -> list[str]:
        """The splits with scores through the centre crop, which training keeps."""
        folder = self.path / "scores"
        return sorted(p.name for p in folder.glob("*") if "@" not in p.name)

    def scored_epochs(self, split: str) -> list[int]:
        """The epochs whose scores on `split` are kept, in order."""
        return sorted(int(p.stem) for p in (self.path / "scores" / split).glob("[0-9]*.npz"))

    def epochs(self) -> list[int]:
        """The epochs whose model is kept, in order."""
        if not self.model.exists():
            return []
        return sorted(int(p.name) for p in self.model.iterdir() if p.name.isdigit())

    @property
    def done(self) -> bool:
        return (self.path / "DONE").exists()

    def mark_done(self) -> None:
        with replacing(self.path / "DONE") as temporary:
            temporary.touch()

    def clear(self) -> None:
        """Removes all that an unfinished run of the stage left."""
        shutil.rmtree(self.path, ignore_errors=True)


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The folder of one run of a config."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def report(self) -> Path:
        return self.path / "report"

    def stage(self, name: str) -> StageFolder:
        return StageFolder(self.path / "stages" / name)


@dataclasses.dataclass(frozen=True)
class FirstFold(RunFolder):
    """A run whose stages are, where it has folds, those of the first one.

    Attributes:
      folds: how many there are.
    """

    folds: int = 0

    def stage(self, name: str) -> StageFolder:
        return super().stage(name + suffixes(1, self.folds)[0])
