"""Head pose from the 68 points."""

import cv2
import numpy as np

from au_jax.faces.mean_face import MEAN_SHAPE

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
      camera's axes (see `rotation`). NaN where the fit fails.
    """
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
    found, turn, shift = cv2.solvePnP(model, seen, camera, None, flags=cv2.SOLVEPNP_SQPNP)
    if not found:
        return np.full(3, np.nan, np.float32)
    turn, _ = cv2.solvePnPRefineLM(model, seen, camera, None, turn, shift)
    return angles(cv2.Rodrigues(turn)[0])


def angles(turned: np.ndarray) -> np.ndarray:
    """Pitch, yaw and roll of a rotation, float32 [3], degrees: the inverse of `rotation`.

    The signs are those of `head_pose`; camera axes are x right, y down, z away.
    """
    # The face looks along -z of its own axes; its right-hand image axis is x.
    facing = -turned[:, 2]
    yaw = np.arctan2(facing[0], -facing[2])
    pitch = np.arctan2(-facing[1], np.hypot(facing[0], facing[2]))
    level = np.array([np.cos(yaw), 0.0, np.sin(yaw)])  # the x axis of a head without roll
    upright = np.cross(-facing, level)  # its y axis (down)
    roll = np.arctan2(turned[:, 0] @ upright, turned[:, 0] @ level)
    return np.degrees([pitch, yaw, roll]).astype(np.float32)


def rotation(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """Yaw @ Pitch @ Roll, float64 [3, 3], from degrees with the signs of `head_pose`."""
    p, y, r = np.radians([pitch, yaw, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_y @ about_x @ about_z
