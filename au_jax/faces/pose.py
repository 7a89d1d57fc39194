"""Head pose: pitch, yaw and roll, fitted to the 68 points of a face."""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from au_jax.faces.mean_face import MEAN_SHAPE

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

# Points that expressions move little: temples, nose, eye corners, mouth corners.
STABLE = np.array([0, 1, 15, 16, 27, 28, 29, 30, 31, 33, 35, 36, 39, 42, 45, 48, 54])

# Ours: the camera is taken to stand this many face widths away and to look at the face, as neither
# its lens nor the crop's place in the original image is known.
_DISTANCE = 5.0


def head_pose(points: np.ndarray) -> np.ndarray:
    """Head angles by a perspective-n-point fit of the mean face (OpenCV `solvePnP`).

    Args:
      points: float [68, 2], pixels.

    Returns:
      float32 [3], degrees: pitch (up > 0), yaw (to the person's own left, image right, > 0), roll
      (clockwise in the image > 0). The head is rolled first, then pitched, then turned, about the
      camera's axes. NaN where the fit fails.
    """
    from scipy.spatial.transform import Rotation  # imports for long

    seen = np.ascontiguousarray(points[STABLE], np.float64)
    centre = seen.mean(0)
    spread = np.sqrt(((seen - centre) ** 2).sum(1).mean())
    if not np.isfinite(spread) or spread < 1e-6:
        return np.full(3, np.nan, np.float32)
    model = MEAN_SHAPE[STABLE].astype(np.float64)
    # Points are centred and scaled to the model's size, so the result does not depend on pixels.
    size = np.sqrt(((model - model.mean(0))[:, :2] ** 2).sum(1).mean())
    width = float(np.ptp(model[:, 0]))
    camera = np.diag([_DISTANCE * width, _DISTANCE * width, 1.0])
    seen = (seen - centre) * (size / spread)
    solved, turn, shift = cv2.solvePnP(model, seen, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    if not solved:
        return np.full(3, np.nan, np.float32)
    turn, _ = cv2.solvePnPRefineLM(model, seen, camera, None, turn, shift)
    return angles(Rotation.from_rotvec(turn.ravel()))


def angles(turned: "Rotation") -> np.ndarray:
    """Pitch, yaw and roll of a head's rotation about the camera's axes (x right, y down, z away).

    Returns:
      float32 [3], degrees, in the order and with the signs of `head_pose`.
    """
    roll, pitch, yaw = turned.as_euler("zxy", degrees=True)
    return np.array([-pitch, -yaw, roll], np.float32)
