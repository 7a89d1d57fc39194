"""The TFDS builder of the drawn faces, with the splits `opt`, `noisy` and `test` by person.

`opt` has careful labels with a few open, `noisy` a detector's labels for 12 AUs (the truth lies in
`truth-noisy.npz` beside the records), `test` complete, correct labels.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from au_jax.data import records
from au_jax.data.records import quiet_tfds
from au_jax.data.synthetic_faces.annotators import written_labels
from au_jax.data.synthetic_faces.population import AUS, SPLITS, sample_spec
from au_jax.data.synthetic_faces.worker import VIEWS, rendered
from au_jax.errors import UserError

# With fewer images than this, another process takes longer to start than it saves.
_WORTH_A_PROCESS = 100


@dataclasses.dataclass(kw_only=True)
class SyntheticFacesConfig(tfds.core.BuilderConfig):
    """What is drawn. The name follows from it, so different data never share a folder.

    Attributes:
      size: side of the stored crops, pixels.
      opt, noisy, test: number of records of each split; a person has 8 images.
      seed: other seeds give other people.
      workers: drawing processes, 0 for one per core; no bearing on the data.
    """

    name: str = ""
    size: int = 104
    opt: int = 1600
    noisy: int = 3200
    test: int = 600
    seed: int = 0
    workers: int = 0

    def __post_init__(self) -> None:
        least = {"size": 32, "seed": 0, "workers": 0} | dict.fromkeys(SPLITS, 1)
        for field, minimum in least.items():
            if getattr(self, field) < minimum:
                given = getattr(self, field)
                raise UserError(f"synthetic_faces: {field} is {given}; give at least {minimum}")
        counts = "-".join(f"{split}{getattr(self, split)}" for split in SPLITS)
        self.name = f"s{self.size}-{counts}-seed{self.seed}"


class SyntheticFaces(tfds.core.GeneratorBasedBuilder):
    """Drawn faces with the 23 AUs of EmotioNet, their intensities, head pose and emotion."""

    url_infos = None  # nothing is downloaded; spares TFDS a search for checksums beside the code

    VERSION = tfds.core.Version("1.0.1")
    RELEASE_NOTES = {  # noqa: RUF012
        "1.0.1": "The metadata say that the faces are drawn.",
        "1.0.0": "First version.",
    }

    def __init__(self, *, config: SyntheticFacesConfig | None = None, **kwargs: Any):
        with quiet_tfds():
            super().__init__(config=config or SyntheticFacesConfig(), **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        text = "Drawn faces with known action units."
        return records.dataset_info(self, AUS, VIEWS, text, drawn=True)

    def download_and_prepare(self, **kwargs: Any) -> None:
        """Draws the data set unless it is there.

        TFDS draws into a folder of another name and renames it when whole. Where another process
        was faster with the same data, its folder is used.
        """
        with contextlib.ExitStack() as self._while_drawing:
            self._while_drawing.enter_context(quiet_tfds())
            try:
                super().download_and_prepare(**kwargs)
            except OSError:
                if not self.data_path.exists():
                    raise
                self.info.read_from_directory(self.data_path)

    def _split_generators(self, dl_manager) -> dict[str, Any]:
        config = self.builder_config
        self._write_truth()  # into the unfinished folder: never there without the records
        images = len(VIEWS) * sum(getattr(config, split) for split in SPLITS)
        bar = tqdm(total=images, desc="drawing synthetic faces", unit=" images")
        self._while_drawing.enter_context(bar)
        return {split: self._generate_examples(split, bar) for split in SPLITS}

    def _generate_examples(self, split: str, bar: tqdm) -> Iterator[tuple[str, dict[str, Any]]]:
        config = self.builder_config
        count = getattr(config, split)
        workers = config.workers or max(1, min(os.cpu_count() or 1, count // _WORTH_A_PROCESS))
        drawn = rendered(config.seed, split, count, config.size, workers)
        for number, crops in enumerate(drawn):
            record = _record(config.seed, split, number, crops)
            bar.update(len(VIEWS))
            yield record.key, record.example()

    def _write_truth(self) -> None:
        config = self.builder_config
        numbers = range(config.noisy)
        labels = [sample_spec(config.seed, "noisy", n).labels() for n in numbers]
        keys = np.array([_key("noisy", n) for n in numbers])
        path = records.truth_path(Path(self.data_path), "noisy")
        np.savez_compressed(path, keys=keys, aus=np.array(AUS), labels=np.stack(labels))


def _key(split: str, number: int) -> str:
    return f"synthetic_faces/{split}/{number:06d}/0"


def _record(seed: int, split: str, number: int, crops: dict[str, bytes]) -> records.Record:
    spec = sample_spec(seed, split, number)
    rng = np.random.default_rng([seed, SPLITS.index(split), number, 3])
    # As a pose estimator would give it: a little off, and now and then nothing.
    pose = spec.angles + rng.normal(0, 2.0, 3)
    if rng.random() < 0.02:
        pose = np.full(3, np.nan)
    # A detector gives no intensities, and true ones would give its errors away.
    intensity = None if split == "noisy" else spec.intensity()
    return records.Record(
        key=_key(split, number),
        crops=crops,
        labels=written_labels(spec, seed, split, number),
        intensity=intensity,
        pose=pose.tolist(),
        emotion=spec.emotion,
        subject=spec.person.subject,
    )
