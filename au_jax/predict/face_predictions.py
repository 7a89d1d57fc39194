"""Predictions for the faces in photographs and videos, as arrays."""

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from au_jax.ensemble.predictor import Prediction
from au_jax.errors import UserError
from au_jax.predict.answers import Row

if TYPE_CHECKING:
    import pandas


@dataclasses.dataclass(frozen=True)
class FacePredictions(Prediction):
    """What a selection says of N faces and images without a face, in the order of the images.

    `probabilities`, {AU: float32 [N]}, is NaN where there is no face; `decisions`, {AU: bool [N]},
    is False there.

    Attributes:
      input: text [N], the path, or the number of an array.
      frame: int64 [N], of a video, from 0; 0 for a photograph.
      timestamp: float64 [N], seconds from the start of a video; NaN where unknown.
      face: int64 [N], from 0: by size in a photograph, by track in a video; -1 without a face.
      success: bool [N], whether there is a face.
      confidence: float64 [N], 0 to 1, see `predict.confidence`; NaN without a face.
      doubts: text [N], what speaks against the confidence, "" for nothing.
      box: float32 [N, 4], left, top, width, height, pixels; NaN without a face.
      pose: float32 [N, 3], pitch, yaw, roll, degrees (see `faces.face`); NaN where unknown.
      unusable: {input: reason} of files that cannot be used, or not to their end.
    """

    input: np.ndarray
    frame: np.ndarray
    timestamp: np.ndarray
    face: np.ndarray
    success: np.ndarray
    confidence: np.ndarray
    doubts: np.ndarray
    box: np.ndarray
    pose: np.ndarray
    unusable: dict[str, str]

    def __len__(self) -> int:
        return len(self.input)

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of `--mode=predict`, [N] each; what is empty there is NaN here."""
        box = ("face_x", "face_y", "face_width", "face_height")
        pose = ("pose_pitch", "pose_yaw", "pose_roll")
        nothing = np.float32(np.nan)
        return {
            "input": self.input,
            "frame": self.frame,
            "timestamp": self.timestamp,
            "face": np.where(self.success, self.face, nothing),
            "success": self.success.astype(np.int64),
            "confidence": self.confidence,
            **dict(zip(box, self.box.T, strict=True)),
            **dict(zip(pose, self.pose.T, strict=True)),
            **self.probabilities,
            **{f"{au}_c": np.where(self.success, d, nothing) for au, d in self.decisions.items()},
            "doubts": self.doubts,
        }

    def to_pandas(self) -> "pandas.DataFrame":
        """`columns` as a data frame.

        Raises:
          UserError: pandas is not installed.
        """
        if importlib.util.find_spec("pandas") is None:
            raise UserError("to_pandas needs pandas: pip install pandas; or use columns()")
        import pandas

        return pandas.DataFrame(self.columns())


def from_rows(
    rows: Sequence[Row], aus: Sequence[str], unusable: Mapping[str, str]
) -> FacePredictions:
    """Puts rows, whose probabilities and decisions are of `aus`, together."""
    answers = [row.answer for row in rows]
    count = len(rows)
    probabilities = np.array([row.probabilities for row in rows], np.float32)
    decisions = np.array([row.decisions for row in rows], bool)
    face = np.array([answer.face for answer in answers], np.int64)
    return FacePredictions(
        dict(zip(aus, probabilities.reshape(count, len(aus)).T, strict=True)),
        dict(zip(aus, decisions.reshape(count, len(aus)).T, strict=True)),
        input=np.array([answer.origin.input for answer in answers], np.str_),
        frame=np.array([answer.origin.frame for answer in answers], np.int64),
        timestamp=np.array([answer.origin.timestamp for answer in answers], np.float64),
        face=face,
        success=face >= 0,
        confidence=np.array([answer.confidence for answer in answers], np.float64),
        doubts=np.array([answer.doubts for answer in answers], np.str_),
        box=np.array([answer.box for answer in answers], np.float32).reshape(count, 4),
        pose=np.array([answer.pose for answer in answers], np.float32).reshape(count, 3),
        unusable=dict(unusable),
    )
