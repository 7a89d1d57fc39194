"""OpenFace's CSV files, and other landmarks that come with a data set: faces found by others."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from au_jax.errors import UserError
from au_jax.faces.face import Face
from au_jax.faces.pose import head_pose


def face_from_points(
    points: Sequence[float] | np.ndarray, box: Sequence[float] | None = None, confidence: float = 1
) -> Face:
    """A face from its 68 points, float [68, 2] or flat [136], pixels.

    Args:
      box: left, top, width, height; the points' bounding box where there is none.
    """
    points = np.asarray(points, np.float32).reshape(68, 2)
    if box is None:
        low, high = points.min(0), points.max(0)
        box = [*low, *(high - low)]
    return Face(np.asarray(box, np.float32), float(confidence), points, head_pose(points))


class OpenFace:
    """The CSV files that OpenFace's FeatureExtraction or FaceLandmarkImg wrote, one per input.

    The file of the image `a/b.jpg` is `a/b.csv` or `b.csv` in the folder; that of the video
    `v.avi` is `v.csv`, with a row per frame.
    """

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise UserError(f"--landmarks={folder} is not a folder of OpenFace's .csv files")
        self._folder = folder
        self._video: tuple[str, dict[int, list[dict[str, str]]]] = ("", {})

    def find(self, image: str, position: int = -1) -> tuple[Face | None, int]:
        """The face of an image, or of the frame at `position` (from 0) of a video.

        Args:
          image: the path relative to the raw folder.

        Returns:
          The face with the highest confidence, None without one, and how many there were.

        Raises:
          UserError: the CSV file lacks the 2-D landmarks.
        """
        if self._video[0] != image:
            self._video = (image, self._read(Path(image)))
        rows = self._video[1].get(max(position, 0), [])
        good = [row for row in rows if float(row.get("success", 1)) > 0]
        if not good:
            return None, 0
        best = max(good, key=lambda row: float(row["confidence"]))
        points = [float(best[f"{axis}_{i}"]) for i in range(68) for axis in "xy"]
        return face_from_points(points, confidence=float(best["confidence"])), len(good)

    def _read(self, image: Path) -> dict[int, list[dict[str, str]]]:
        """The rows of an input's file by frame, counted from 0; none when there is no file."""
        places = (self._folder / image.with_suffix(".csv"), self._folder / f"{image.stem}.csv")
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            return {}
        frames: dict[int, list[dict[str, str]]] = {}
        with open(path, encoding="utf-8-sig", newline="") as lines:
            for row in csv.DictReader(lines, skipinitialspace=True):
                row = {(k or "").strip(): (v or "").strip() for k, v in row.items() if k}
                wanted = [f"{a}_{i}" for a in "xy" for i in range(68)]
                if not all(re.fullmatch(r"-?[\d.]+(e-?\d+)?", row.get(w, "")) for w in wanted):
                    raise UserError(
                        f"{path} lacks the 2-D landmarks x_0 .. y_67; run OpenFace with -2Dfp"
                    )
                # FeatureExtraction counts frames from 1; FaceLandmarkImg has no such column.
                frames.setdefault(int(row.get("frame", 1)) - 1, []).append(row)
        return frames
