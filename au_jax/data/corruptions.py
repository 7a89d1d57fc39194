"""The expanded validation set: each record as it is, down-sampled, occluded, and both.

TAL (EmotioNet 2020, section 2.1) expands its validation set B four times, to resemble the official
test set, and gives no more detail. Which four, the factor and the square are ours. Every image is
changed in the same way whenever it is read.
"""

import dataclasses
import hashlib
from collections.abc import Sequence

import cv2
import numpy as np

from au_jax.data.sources import Source, Table

FACTOR = 0.5  # of the side, by which an image is shrunk before it is enlarged again
SIDE = 0.3  # of the black square, as a part of the image's
# Behind a split's name, that it is expanded; behind a record's key, what is done to its image.
EXPANDED, CHANGED = "-expanded", "#"
CHANGES = ("", *(CHANGED + change for change in ("downsampled", "occluded", "both")))


class Expanded(Source):
    """A source whose records' keys end with one of `CHANGES`, done to their images."""

    def images(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        images = super().images(indices)
        for image, key in zip(images, self.table.keys[indices].tolist(), strict=True):
            original, _, change = key.rpartition(CHANGED)
            if change in ("downsampled", "both"):
                image[:] = downsampled(image)
            if change in ("occluded", "both"):
                occlude(image, original)
        return images


def expanded(source: Source, name: str) -> Expanded:
    """The records of `source` four times: first all as they are, then all of each change.

    Args:
      name: of the expanded split.
    """
    times = len(CHANGES)
    table = Table(
        **{
            field.name: np.concatenate([getattr(source.table, field.name)] * times)
            for field in dataclasses.fields(Table)
        }
    )
    keys = [key + change for change in CHANGES for key in source.table.keys.tolist()]
    same = {field.name: getattr(source, field.name) for field in dataclasses.fields(Source)}
    changed = {
        "name": name,
        "table": dataclasses.replace(table, keys=np.array(keys, np.str_)),
        "rows": np.tile(source.rows, times),
    }
    return Expanded(**(same | changed))


def downsampled(image: np.ndarray) -> np.ndarray:
    """`image` uint8 [H, W, 3] shrunk to `FACTOR` of its size and enlarged again."""
    height, width = image.shape[:2]
    small = (max(1, round(width * FACTOR)), max(1, round(height * FACTOR)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)


def occlude(image: np.ndarray, key: str) -> None:
    """Blackens, in place, a square wholly inside `image`, where the record's key says."""
    height, width = image.shape[:2]
    side = round(min(height, width) * SIDE)
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    top, left = np.random.default_rng(seed).integers(0, (height - side + 1, width - side + 1))
    image[top : top + side, left : left + side] = 0
