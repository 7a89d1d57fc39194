"""The TFDS features that all data sets of au_jax share, and TFDS without its own output."""

import contextlib
import io
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from au_jax import aus as au_names


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
