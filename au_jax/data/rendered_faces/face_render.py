"""Renders a scene's face before a given backdrop: shape, paint, light and the view of a camera."""

import dataclasses

import numpy as np

from au_jax.data.rendered_faces.face_kit import FaceKit
from au_jax.data.rendered_faces.scene import Scene, View
from au_jax.data.rendered_faces.skin import Paint


@dataclasses.dataclass(frozen=True)
class Rendered:
    """A face before its backdrop.

    Attributes:
      image: float32 [S, S, 3], linear RGB, S = size * supersampling; not clipped at 1.
      landmarks: float32 [68, 2], x and y in pixels of the picture ([size, size]), as Multi-PIE.
      vertices: float32 [V, 3], of all vertices of the kit: x and y in pixels of the picture, and
        how far towards the camera, cm.
      depth: float32 [S, S], how far towards the camera the surface lies, cm; -inf where there is
        only backdrop.
      rotation: float32 [3, 3], from the head's coordinates to the camera's.
      scale: pixels of the picture per cm at the face's front.
    """

    image: np.ndarray
    landmarks: np.ndarray
    vertices: np.ndarray
    depth: np.ndarray
    rotation: np.ndarray
    scale: float


def rotation(view: View, share: float = 1.0) -> np.ndarray:
    """The turn of the head: float32 [3, 3], from the head's coordinates to the camera's.

    Args:
      share: of the angles, 0 to 1, for what turns with the head only in part (neck, long hair).
    """
    raise NotImplementedError


def render(
    kit: FaceKit,
    paint: Paint,
    scene: Scene,
    backdrop: np.ndarray,
    size: int,
    supersampling: int = 2,
) -> Rendered:
    """Renders a scene's face.

    Args:
      paint: of `scene.person`, by `skin.paint`.
      backdrop: float32 [S, S, 3], linear RGB, what is behind the face; left as it is.
      size: side of the picture, pixels.
      supersampling: S = size * supersampling.
    """
    raise NotImplementedError
