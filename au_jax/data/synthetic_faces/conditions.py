"""Conditions of a drawn image that can be seen, and under which a detector of AUs may err."""

from collections.abc import Callable

import numpy as np

from au_jax.data.synthetic_faces.population import ImageSpec
from au_jax.data.systematic_detector import share as _share

# How far each of `systematic_detector.CONDITIONS` is the case, in its order: 0 not at all, 1 fully.
# A mirror image is under the same conditions.
CONDITIONS: dict[str, Callable[[ImageSpec], float]] = {
    "turned": lambda image: _share(abs(image.angles[1]), 8, 30),
    "head up": lambda image: _share(image.angles[0], 4, 20),
    "head down": lambda image: _share(image.angles[0], -4, -20),
    "hidden in part": lambda image: float(image.occluder != "none"),
    "blurred": lambda image: _share(image.blur, 0, 1),
    "dim": lambda image: _share(image.ambient, 0.6, 0.4),
    "lit from the side": lambda image: _share(abs(image.light[0]), 0.3, 0.7),
    "dark skin": lambda image: _share(image.person.skin.mean(), 170, 110),
    "make-up": lambda image: image.person.make_up,
    "glasses": lambda image: float(image.person.glasses),
    "beard": lambda image: float(image.person.beard != "none"),
    "resting wrinkles": lambda image: _share(image.person.age, 0.3, 0.7),
    "high brows": lambda image: _share(image.person.brow_height, 0, 3),
    "low brows": lambda image: _share(image.person.brow_height, 0, -3),
    "large eyes": lambda image: _share(image.person.eye_size, 1, 1.12),
    "small eyes": lambda image: _share(image.person.eye_size, 1, 0.9),
    "resting smile": lambda image: _share(image.person.corner_rest, 0, 2),
    "full lips": lambda image: _share(image.person.lip_thickness, 1, 1.3),
    "thin lips": lambda image: _share(image.person.lip_thickness, 1, 0.8),
}


def conditions(image: ImageSpec) -> np.ndarray:
    """How far each of `CONDITIONS` is the case: float [C], 0 to 1."""
    return np.array([of(image) for of in CONDITIONS.values()])
