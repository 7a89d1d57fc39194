"""The curves of one face over a video."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Track:
    """The probabilities of one face over a video, in bins of one or more frames that follow.

    Attributes:
      face: its number.
      frames: in which it was seen.
      low, high: float32 [bins, A], the least and the greatest in a bin; NaN where it was not seen.
    """

    face: str
    frames: int
    low: np.ndarray
    high: np.ndarray
