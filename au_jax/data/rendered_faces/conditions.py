"""Conditions of a rendered picture that can be seen, and under which a detector of AUs may err."""

from collections.abc import Callable

import numpy as np

from au_jax.data.rendered_faces.scene import Scene
from au_jax.data.systematic_detector import CONDITIONS, share


def _grey(colour: np.ndarray) -> float:
    """The mean grey level, 0 to 255, of a linear colour."""
    return 255 * float(np.mean(colour)) ** (1 / 2.2)


def _light_of_surroundings(scene: Scene) -> float:
    return float(np.mean([scene.light.above, scene.light.below]) * scene.light.exposure)


# How far each is the case: 0 not at all, 1 fully. A mirror image is under the same conditions.
_HELD: dict[str, Callable[[Scene], float]] = {
    "turned": lambda scene: share(abs(scene.view.yaw), 8, 35),
    "head up": lambda scene: share(scene.view.pitch, 4, 20),
    "head down": lambda scene: share(scene.view.pitch, -4, -20),
    "hidden in part": lambda scene: float(scene.occluder not in ("none", "hat")),
    "blurred": lambda scene: share(scene.defects.blur + 1 - scene.defects.downscale, 0.2, 1.4),
    "dim": lambda scene: share(_light_of_surroundings(scene), 0.35, 0.2),
    "lit from the side": lambda scene: share(abs(scene.light.key[0]), 0.4, 0.85),
    "dark skin": lambda scene: share(_grey(scene.person.skin), 160, 105),
    "make-up": lambda scene: scene.person.make_up,
    "glasses": lambda scene: float(scene.person.glasses is not None),
    "beard": lambda scene: share(scene.person.beard + scene.person.stubble, 0.1, 0.5),
    "resting wrinkles": lambda scene: share(scene.person.age, 0.3, 0.8),
    "high brows": lambda scene: share(_resting(scene, "browOuterUp", "browInnerUp"), 0.05, 0.25),
    "low brows": lambda scene: share(_resting(scene, "browDown"), 0.03, 0.2),
    "large eyes": lambda scene: share(_resting(scene, "eyeWide"), 0.02, 0.15),
    "small eyes": lambda scene: share(_resting(scene, "eyeSquint", "eyeBlink"), 0.15, 0.4),
    "resting smile": lambda scene: share(_resting(scene, "mouthSmile"), 0.03, 0.15),
    "full lips": lambda scene: share(_resting(scene, "mouthPucker"), 0.02, 0.13),
    "thin lips": lambda scene: share(
        _resting(scene, "mouthRollUpper", "mouthRollLower"), 0.03, 0.2
    ),
}


def _resting(scene: Scene, *shapes: str) -> float:
    """The weights of blendshapes in the resting face, added up."""
    return sum(scene.person.rest[shape] for shape in shapes)


def conditions(scene: Scene) -> np.ndarray:
    """How far each of `systematic_detector.CONDITIONS` is the case: float [C], 0 to 1."""
    return np.array([_HELD[name](scene) for name in CONDITIONS])
