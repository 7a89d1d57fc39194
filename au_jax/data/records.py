"""Records, the stored form of a face: the TFDS features that all data sets of au_jax share."""

import contextlib
import dataclasses
import io
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from au_jax import aus as au_names
from au_jax.allowed import OneOf
from au_jax.errors import UserError

# The version of the features below. Data of another one is refused and has to be prepared again.
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


def dataset_info(
    builder: tfds.core.DatasetBuilder,
    aus: Sequence[str],
    crops: Sequence[str],
    description: str,
    drawn: bool = False,
    settings: Mapping[str, Any] = types.MappingProxyType({}),
) -> tfds.core.DatasetInfo:
    """The TFDS info of a data set of records; its AU list and crops go into the metadata.

    Args:
      aus: AU names in the order of the label arrays; may be empty (AffectNet).
      crops: which of `CROPS` each record holds.
      drawn: marks in the metadata that the faces are drawn or rendered by a program; photographs
        have no such mark.
      settings: what else the data set was made with, which goes into the metadata.
    """
    metadata: dict[str, Any] = {"aus": list(aus), "crops": list(crops)}
    metadata |= {"drawn": True} if drawn else {}
    metadata |= {"settings": dict(settings)} if settings else {}
    shape = (len(au_names.check(aus)),)
    text, image = tfds.features.Text, tfds.features.Image
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=tfds.features.FeaturesDict(
            {
                "key": text(),
                "crops": {c: image(shape=(None, None, 3), encoding_format="jpeg") for c in crops},
                "labels": tfds.features.Tensor(shape=shape, dtype=np.int8),
                "intensity": tfds.features.Tensor(shape=shape, dtype=np.int8),
                "pose": tfds.features.Tensor(shape=(3,), dtype=np.float32),
                "emotion": tfds.features.Scalar(np.int8),
                "face": tfds.features.Scalar(np.bool_),
                "subject": text(),
                "video": text(),
                "frame": tfds.features.Scalar(np.int32),
            }
        ),
        metadata=tfds.core.MetadataDict(metadata),
    )


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Keeps TFDS from printing and from drawing bars of its own."""
    bars, level = tfds.core.utils.tqdm_utils, logging.get_verbosity()
    bars.disable_progress_bar()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(level)
        bars.enable_progress_bar()
