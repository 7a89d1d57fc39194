"""The TFDS builder of the drawn faces, with the splits `opt`, `noisy` and `test` by person.

`opt` has careful labels with a few open, `noisy` a detector's labels for 12 AUs (the truth and the
conditions of each image lie in `truth-noisy.npz` beside the records), `test` complete, correct
labels. Where they are asked for,
`clips` and `clips_test` hold the frames of short videos with complete, correct labels.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from au_jax.data import records
from au_jax.data.made_splits import CLIP_SPLITS, MOST_FRAMES, generator
from au_jax.data.synthetic_faces.annotators import written_labels
from au_jax.data.synthetic_faces.conditions import CONDITIONS, conditions
from au_jax.data.synthetic_faces.config import VERSION, SyntheticFacesConfig
from au_jax.data.synthetic_faces.population import (
    AUS,
    image_numbers,
    sample_spec,
)
from au_jax.data.synthetic_faces.worker import VIEWS, rendered
from au_jax.data.tfds_info import dataset_info, quiet_tfds
from au_jax.process import cores

# With fewer images than this, another process takes longer to start than it saves.
_WORTH_A_PROCESS = 100


@dataclasses.dataclass(kw_only=True)
class _BuilderConfig(tfds.core.BuilderConfig):
    """`drawn` in the form that TFDS names a folder by."""

    drawn: SyntheticFacesConfig


class SyntheticFaces(tfds.core.GeneratorBasedBuilder):
    """Drawn faces with the 23 AUs of EmotioNet, their intensities, head pose and emotion."""

    url_infos = None  # nothing is downloaded; spares TFDS a search for checksums beside the code

    VERSION = tfds.core.Version(VERSION)
    RELEASE_NOTES = {  # noqa: RUF012
        "1.1.0": "Noisy labels may err systematically; the truth says under which conditions.",
        "1.0.1": "The metadata say that the faces are drawn.",
        "1.0.0": "First version.",
    }

    def __init__(self, *, config: SyntheticFacesConfig, **kwargs: Any):
        with quiet_tfds():
            super().__init__(config=_BuilderConfig(name=config.name, drawn=config), **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        text = "Drawn faces with known action units."
        return dataset_info(self, AUS, VIEWS, text, drawn=True)

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
        config = self.builder_config.drawn
        self._write_truth()  # into the unfinished folder: never there without the records
        numbers = {
            split: image_numbers(config.seed, split, count, config.clip_frames)
            for split, count in config.counts().items()
        }
        images = len(VIEWS) * sum(map(len, numbers.values()))
        bar = tqdm(total=images, desc="drawing synthetic faces", unit=" images")
        self._while_drawing.enter_context(bar)
        return {split: self._generate_examples(split, numbers[split], bar) for split in numbers}

    def _generate_examples(
        self, split: str, numbers: Sequence[int], bar: tqdm
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        config = self.builder_config.drawn
        most = max(1, min(cores.usable(), len(numbers) // _WORTH_A_PROCESS))
        workers, count = config.workers or most, config.counts()[split]
        drawn = rendered(config.seed, split, count, config.size, workers, config.clip_frames)
        for number, crops in zip(numbers, drawn, strict=True):
            record = _record(config, split, number, crops)
            bar.update(len(VIEWS))
            yield record.key, record.example()

    def _write_truth(self) -> None:
        config = self.builder_config.drawn
        numbers = range(config.noisy)
        images = [sample_spec(config.seed, "noisy", n) for n in numbers]
        np.savez_compressed(
            records.truth_path(Path(self.data_path), "noisy"),
            keys=np.array([_key("noisy", n) for n in numbers]),
            aus=np.array(AUS),
            labels=np.stack([image.labels() for image in images]),
            conditions=np.array(list(CONDITIONS)),
            held=np.stack([conditions(image) for image in images]).astype(np.float32),
        )


def _key(split: str, number: int) -> str:
    return f"synthetic_faces/{split}/{number:06d}/0"


def _record(
    config: SyntheticFacesConfig, split: str, number: int, crops: dict[str, bytes]
) -> records.Record:
    spec = sample_spec(config.seed, split, number)
    rng = generator(config.seed, split, number, 3)
    # As a pose estimator would give it: a little off, and now and then nothing.
    pose = spec.angles + rng.normal(0, 2.0, 3)
    if rng.random() < 0.02:
        pose = np.full(3, np.nan)
    # A detector gives no intensities, and true ones would give its errors away.
    intensity = None if split == "noisy" else spec.intensity()
    return records.Record(
        key=_key(split, number),
        crops=crops,
        labels=written_labels(spec, config.seed, split, number, config.noise, config.strength),
        intensity=intensity,
        pose=pose.tolist(),
        emotion=spec.emotion,
        subject=spec.person.subject,
        video=spec.person.subject if split in CLIP_SPLITS else "",
        frame=number % MOST_FRAMES if split in CLIP_SPLITS else -1,
    )
