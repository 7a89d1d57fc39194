"""Records: what a data set of au_jax stores of each face."""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from au_jax.allowed import OneOf
from au_jax.errors import UserError

# The version of the stored features. Data of another one is refused and has to be prepared again.
VERSION = "1.0.0"
CROPS = ("closeup", "wide", "arcface", "box", "five_point", "as_is")
Crop = Annotated[str, OneOf(CROPS)]


@dataclasses.dataclass
class Record:
    """One face.

    Attributes:
      key: stable text id: data set, relative path and face number.
      crops: JPEG bytes by crop name (see `CROPS`).
      labels: int8 [A], 1 present, 0 absent, -1 unknown, in the data set's AU order.
      intensity: int8 [A], 0 to 5, -1 unknown.
      pose: float32 [3], degrees, NaN unknown: pitch (up > 0), yaw (turned to the person's own left,
        image right, > 0), roll (tilted to the person's own left, clockwise in the image, > 0).
      emotion: position in `aus.EMOTIONS`, -1 unknown.
      face: whether a face was found.
      subject, video: text ids, empty when the data set has none.
      frame: number within the video as the data set counts it, -1 for a still image.
    """

    key: str
    crops: Mapping[str, bytes]
    labels: np.ndarray
    intensity: np.ndarray | None = None
    pose: Sequence[float] = (float("nan"),) * 3
    emotion: int = -1
    face: bool = True
    subject: str = ""
    video: str = ""
    frame: int = -1

    def example(self) -> dict[str, Any]:
        """Returns the TFDS example; images go in as encoded bytes, which needs no TensorFlow.

        Raises:
          UserError: a label is not one of 1, 0, -1.
        """
        labels = np.asarray(self.labels, np.int8)
        if not np.isin(labels, (-1, 0, 1)).all():
            bad = sorted(set(labels.tolist()) - {-1, 0, 1})
            raise UserError(
                f"record '{self.key}' has labels {bad}; give 1 present, 0 absent or -1 unknown"
            )
        intensity = np.full_like(labels, -1) if self.intensity is None else self.intensity
        return {
            "key": self.key,
            "crops": {name: io.BytesIO(jpeg) for name, jpeg in self.crops.items()},
            "labels": labels,
            "intensity": np.asarray(intensity, np.int8),
            "pose": np.asarray(self.pose, np.float32),
            "emotion": self.emotion,
            "face": self.face,
            "subject": self.subject,
            "video": self.video,
            "frame": self.frame,
        }


def truth_path(folder: Path, split: str) -> Path:
    """The file of a split's true labels, for a builder that knows them (`datasets.truth`)."""
    return folder / f"truth-{split}.npz"
