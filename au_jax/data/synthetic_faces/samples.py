"""A few drawn faces as arrays, for a first look at a trained network without any data set."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from au_jax.data.synthetic_faces.worker import rendered

_SIDE = 104  # pixels, as the builder stores faces unless told otherwise


def draw_faces(count: int, sides: Mapping[str, int], seed: int = 1) -> dict[str, np.ndarray]:
    """Draws faces of people whom no split of the default data set holds.

    Args:
      count: how many.
      sides: the crops to draw, "closeup" or "wide", each with its side in pixels.
      seed: other faces for another number; the default data set's own seed is 0.

    Returns:
      {crop: uint8 [count, side, side, 3], RGB}, the same faces in every crop.
    """
    images: dict[str, list[np.ndarray]] = {crop: [] for crop in sides}
    for jpegs in rendered(seed, "test", count, _SIDE, workers=1):
        for crop, side in sides.items():
            image: Any = cv2.imdecode(np.frombuffer(jpegs[crop], np.uint8), cv2.IMREAD_COLOR_RGB)
            images[crop].append(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))
    return {crop: np.stack(stack) for crop, stack in images.items()}
