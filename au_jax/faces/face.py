"""A face in an image: its box, its 68 points and its pose, and which of several faces is meant."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Face:
    """One face in an image; pixel (x, y) means x to the right, y down, centres at whole numbers.

    Attributes:
      box: float32 [4], left, top, width, height, pixels, as the detector gives it.
      confidence: 0 to 1, that it is a face.
      points: float32 [68, 2], pixels, in the order of iBUG 300-W (Sagonas et al., 2013): 0-16 jaw
        from image left to image right, 17-26 brows, 27-35 nose, 36-47 eyes, 48-67 mouth.
      pose: float32 [3], degrees: pitch (up > 0), yaw (to the person's own left, image right, > 0),
        roll (clockwise in the image > 0); NaN unknown.
    """

    box: np.ndarray
    confidence: float
    points: np.ndarray
    pose: np.ndarray


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of one box [4] with `others` [N, 4] (left, top, width, height)."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(box[2:]) + np.prod(others[:, 2:], axis=1) - shared
    return shared / np.maximum(union, 1e-9)


def by_relevance(boxes: np.ndarray, near: np.ndarray | None) -> Sequence[int]:
    """Order of `boxes` [N, 4]: by overlap with `near`, if any, leaving out others; else by area."""
    if near is None:
        return np.argsort(-np.prod(boxes[:, 2:], axis=1), kind="stable").tolist()
    shared = overlap(np.asarray(near, np.float64), boxes)
    return [i for i in np.argsort(-shared, kind="stable").tolist() if shared[i] > 0]
