"""Labels of the rendered faces: by a detector for `noisy`, the truth for all other splits."""

import numpy as np

from au_jax import aus
from au_jax.data import head_aus, systematic_detector
from au_jax.data.rendered_faces.conditions import conditions
from au_jax.data.rendered_faces.scene import COLUMN, PRESENT_FROM, Scene

# EmotioNet's AUs, and those that the shapes show besides.
AUS = (*aus.EMOTIONET, *aus.names(7, 14, 23))

_DETECTED = aus.positions(AUS, systematic_detector.DETECTED)


def activation(scene: Scene) -> np.ndarray:
    """How strongly each of `AUS` is there, on the stronger side: float [A], 0 to 5."""
    strength = scene.strength()
    head = dict(zip(aus.POSE, head_aus.steps(*angles(scene)), strict=True))
    return np.array([head[au] if au in head else strength[COLUMN[int(au[2:])]] for au in AUS])


def angles(scene: Scene) -> tuple[float, float, float]:
    """Pitch, yaw and roll, degrees, as in `records.Record.pose`."""
    return scene.view.pitch, scene.view.yaw, scene.view.roll


def intensity(scene: Scene) -> np.ndarray:
    """The steps of intensity: int8 [A], 0 to 5; an AU is there from 2 on.

    A step of an expression is complete once it is reached. Those of the head are rounded, as for
    drawn faces.
    """
    strength = activation(scene)
    whole = np.where(np.isin(AUS, aus.POSE), np.rint(strength), np.floor(strength))
    return whole.astype(np.int8)


def true_labels(scene: Scene) -> np.ndarray:
    """Int8 [A], 1 present or 0 absent."""
    return (intensity(scene) >= PRESENT_FROM).astype(np.int8)


def detected_labels(scene: Scene, strength: float) -> np.ndarray:
    """The labels of `noisy`: int8 [A], -1 for AUs that the detector does not know.

    Args:
      strength: of the detector's errors, see `systematic_detector.detected`.
    """
    labels = np.full(len(AUS), np.int8(aus.UNKNOWN))
    labels[_DETECTED] = systematic_detector.detected(
        activation(scene)[: len(systematic_detector.AUS)], conditions(scene), strength, "rendered"
    )
    return labels
