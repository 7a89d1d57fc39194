"""The action units of the head (AU51 to AU56) that follow from its angles."""

import numpy as np

# Degrees per step of intensity, of turn, lift and tilt: present from 15 and 12 degrees on.
DEGREES_PER_STEP = {"yaw": 10.0, "pitch": 8.0, "roll": 8.0}


def steps(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """The intensities of `aus.POSE`: float [6], 0 to 5; present where they round to 2 or more.

    Args:
      pitch, yaw, roll: degrees, signs as in `records.Record.pose`.
    """
    angles = {"yaw": yaw, "pitch": pitch, "roll": roll}
    both = [(angle / DEGREES_PER_STEP[name],) * 2 for name, angle in angles.items()]
    return np.clip(np.array(both) * (1, -1), 0, 5).ravel()
