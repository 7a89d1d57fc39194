"""Reads the shapes of a face from a checkout of ICT-FaceKit."""

import dataclasses
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class FaceKit:
    """A head, how people's heads differ from it, and how expressions move it.

    Attributes:
      neutral: float32 [V, 3], cm, the mean head; only vertices that are drawn.
      identity: float32 [60, V, 3], offsets of one standard deviation of each shape of identity.
      names: of the blendshapes, [B].
      moved, offsets: of each blendshape, int32 [K] which vertices move and float32 [K, 3] how far.
      triangles: int32 [T, 3], anticlockwise seen from outside.
      part: int8 [V], position in `PARTS`.
      landmarks: int32 [68], the vertices of the Multi-PIE landmarks.
    """

    neutral: np.ndarray
    identity: np.ndarray
    names: tuple[str, ...]
    moved: tuple[np.ndarray, ...]
    offsets: tuple[np.ndarray, ...]
    triangles: np.ndarray
    part: np.ndarray
    landmarks: np.ndarray


def load(raw: Path, cache: Path) -> FaceKit:
    """Reads a checkout, once: the next time from a file in the folder `cache`.

    Args:
      raw: the checkout of ICT-FaceKit, the folder that holds `FaceXModel`.

    Raises:
      UserError: files are missing or damaged.
    """
    raise NotImplementedError
