"""Corruptions of images: each record as it is, down-sampled, occluded, and both.

TAL (EmotioNet 2020, section 2.1) expands its validation set B four times, to resemble the official
test set, and gives no more detail. Which four, the factor and the square are ours. Every image is
corrupted in the same way whenever it is read.
"""

import dataclasses
import hashlib
from collections.abc import Sequence

import cv2
import numpy as np

from au_jax.data.sources import Source
from au_jax.data.units import units

FACTOR = 0.5  # an image's side is shrunk by this before it is enlarged again
SIDE = 0.3  # the black square's, as a part of the image's
CORRUPTIONS = ("", "downsampled", "occluded", "both")


@dataclasses.dataclass(frozen=True)
class CorruptedKey:
    """The key of a record whose image is corrupted when it is read; `str` writes it as `KEY#HOW`.

    Attributes:
      key: the stored record's key.
      corruption: one of `CORRUPTIONS`; "" leaves the image as it is and adds nothing to the key.
    """

    key: str
    corruption: str

    @classmethod
    def parse(cls, text: str) -> "CorruptedKey":
        """Reads a key; a # that no corruption follows belongs to the record's own key."""
        key, _, corruption = text.rpartition("#")
        return cls(key, corruption) if corruption in CORRUPTIONS[1:] else cls(text, "")

    def __str__(self) -> str:
        return f"{self.key}#{self.corruption}" if self.corruption else self.key


class Corrupted(Source):
    """A source whose images are corrupted as the records' keys say (see `CorruptedKey`)."""

    def images(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        images = super().images(indices)
        for image, text in zip(images, self.table.keys[indices].tolist(), strict=True):
            key = CorruptedKey.parse(text)
            if key.corruption in ("downsampled", "both"):
                image[:] = downsampled(image)
            if key.corruption in ("occluded", "both"):
                occlude(image, key.key)
        return images


def corrupted(source: Source, name: str) -> Corrupted:
    """The records of `source` four times: first all as they are, then all of each corruption.

    Args:
      name: what the split that they make is called.
    """
    repeated = source.subset(np.tile(np.arange(len(source)), len(CORRUPTIONS)), name)
    keys = source.table.keys.tolist()
    texts = [str(CorruptedKey(key, corruption)) for corruption in CORRUPTIONS for key in keys]
    table = dataclasses.replace(repeated.table, keys=np.array(texts, np.str_))
    fields = {field.name: getattr(repeated, field.name) for field in dataclasses.fields(Source)}
    return Corrupted(**(fields | {"table": table}))


def units_of_copies(subject: np.ndarray, video: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """`units.units` of N records of which some may be copies of one image, which share its unit.

    Args:
      subject, video, keys: text [N].

    Returns:
      text [N]: "image " and its key for a copied image without subject and video.
    """
    of_records = units(subject, video)
    if (of_records != "").all():
        return of_records
    images = [CorruptedKey.parse(key).key for key in keys.tolist()]
    if len(set(images)) == len(images):
        return of_records
    return np.where(of_records == "", [f"image {image}" for image in images], of_records)


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
