"""Configuration of the data set of drawn faces: sizes of images and splits, errors of labels."""

import dataclasses
from pathlib import Path
from typing import Annotated

from au_jax import allowed
from au_jax.allowed import Count, CountOrNone, OneOf, Range, Seed
from au_jax.data.made_splits import MOST_FRAMES, SPLITS
from au_jax.errors import UserError

NAME, VERSION = "synthetic_faces", "1.1.0"
SYSTEMATIC = "systematic"
NOISES = (SYSTEMATIC, "independent")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SyntheticFacesConfig:
    """What is drawn.

    Attributes:
      size: side of the stored crops, pixels.
      opt, noisy, test: number of records of each split; a person has 8 images.
      clips: number of videos of the split `clips`, each of another person; `clips_test` has a third
        as many. 0: no such splits.
      clip_frames: number of frames of a video, of which some videos lack a few.
      noise: how the labels of `noisy` err, "systematic" (`systematic_detector`) or "independent"
        (each label by chance, see `annotators`).
      strength: of systematic noise; 0: the labels are true, 1: a fifth of them is wrong.
      seed: other seeds give other people.
      workers: drawing processes, 0 for one per core; no bearing on the data.
    """

    size: Annotated[int, Range(ge=32, le=2048)] = 104
    opt: Count = 1600
    noisy: Count = 3200
    test: Count = 600
    clips: CountOrNone = 0
    clip_frames: Annotated[int, Range(ge=1, le=MOST_FRAMES)] = 24
    noise: Annotated[str, OneOf(NOISES)] = SYSTEMATIC
    strength: Annotated[float, Range(ge=0, le=10)] = 1.0
    seed: Seed = 0
    workers: CountOrNone = 0

    def __post_init__(self) -> None:
        for field, hint in allowed.hints_of(SyntheticFacesConfig).items():
            value = getattr(self, field)
            if not allowed.allows(value, hint):
                raise UserError(
                    f"{NAME}: {field} is {allowed.shown(value)}; give {allowed.describe(hint)}"
                )

    @property
    def name(self) -> str:
        """Of the folder: different data never share one."""
        counts = "-".join(f"{split}{getattr(self, split)}" for split in SPLITS)
        clips = f"-clips{self.clips}x{self.clip_frames}" if self.clips else ""
        noise = f"{self.noise}{self.strength:g}" if self.noise == SYSTEMATIC else self.noise
        return f"s{self.size}-{counts}{clips}-{noise}-seed{self.seed}"

    def folder(self, data_dir: Path) -> Path:
        """Where TFDS keeps what is drawn."""
        return data_dir / NAME / self.name / VERSION

    def counts(self) -> dict[str, int]:
        """Split -> number of its images, or of its videos where it is one of clips."""
        stills = {split: getattr(self, split) for split in SPLITS}
        if not self.clips:
            return stills
        return stills | {"clips": self.clips, "clips_test": max(1, self.clips // 3)}
