"""OpenFace's CSV files, and other landmarks that come with a data set: faces found by others."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from au_jax.errors import UserError
from au_jax.faces.face import Face
from au_jax.faces.pose import head_pose
from au_jax.files import plain_numbers, regular_file

_FARTHEST = 1e6  # pixels
# Whether an AU is present, 0 or 1; AUxx_r is its intensity, 0 to 5, which not all have.
_PRESENCE = re.compile(r"(AU\d\d)_c")
_BLINK = "AU45"
_APART = 6.0  # more than any intensity, so that the present are above the absent


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
            raise UserError(f"{folder} is not a folder of OpenFace's .csv files")
        self._folder = folder
        self._video: tuple[str, dict[int, list[Face]]] = ("", {})

    def find(self, image: str, position: int = -1) -> tuple[Face | None, int]:
        """The face of an image, or of the frame at `position` (from 0) of a video.

        Args:
          image: the path relative to the raw folder.

        Returns:
          The face with the highest confidence, None without one, and how many there were.

        Raises:
          UserError: the CSV file cannot be read, lacks the 2-D landmarks or the confidence, or has
            something else than numbers there.
        """
        if self._video[0] != image:
            self._video = (image, self._read(Path(image)))
        good = self._video[1].get(max(position, 0), [])
        return max(good, key=lambda face: face.confidence, default=None), len(good)

    def action_units(self, image: str) -> dict[str, float] | None:
        """What OpenFace says of the AUs of an image, of the face with the highest confidence.

        Args:
          image: the path relative to the raw folder.

        Returns:
          A number for each AU that there is a column of, such as a logit: above 0 where it is
          present (AUxx_c), the higher the stronger it is (AUxx_r). AU45, the blink, stands for AU43
          as well (ours). None without a face.

        Raises:
          UserError: the CSV file cannot be read, lacks the AUs or the confidence, or has something
            else than numbers there.
        """
        surest, confidence = None, -np.inf
        for path, line, row in self._rows(Path(image)):
            _, sure = _frame_and_confidence(row, path, line)
            if sure is not None and sure > confidence:
                surest, confidence = _action_units(row, path, line), sure
        return surest

    def _read(self, image: Path) -> dict[int, list[Face]]:
        """The faces in an input's file by frame, counted from 0; none when there is no file."""
        frames: dict[int, list[Face]] = {}
        for path, line, row in self._rows(image):
            frame, face = _face(row, path, line)
            if face is not None:
                frames.setdefault(frame, []).append(face)
        return frames

    def _rows(self, image: Path) -> Iterator[tuple[Path, int, dict[str, str]]]:
        """The rows of an input's file, each with the file and line; none when there is no file."""
        places = (self._folder / image.with_suffix(".csv"), self._folder / f"{image.stem}.csv")
        path = next((place for place in places if place.exists()), None)
        if path is None:
            return
        try:
            regular_file.size(path)
            with open(path, encoding="utf-8-sig", newline="") as lines:
                reader = csv.DictReader(lines, skipinitialspace=True)
                for cells in reader:
                    row = {(k or "").strip(): v.strip() for k, v in cells.items() if k and v}
                    yield path, reader.line_num, row
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{path} cannot be read ({error}); run OpenFace anew") from error


def _frame_and_confidence(row: dict[str, str], path: Path, line: int) -> tuple[int, float | None]:
    """The frame of one row, from 0, and the confidence; None where OpenFace had no success.

    Raises:
      UserError: a column is missing, or is no number.
    """
    # FeatureExtraction counts frames from 1 and notes its success; FaceLandmarkImg has neither.
    frame = plain_numbers.whole(row.get("frame", "1"))
    success = plain_numbers.real(row.get("success", "1"))
    if frame is not None and success is not None and success <= 0:
        return frame - 1, None
    confidence = plain_numbers.real(row.get("confidence", ""))
    if frame is None or success is None or confidence is None:
        raise UserError(
            f"{path} has no number as frame, success or confidence on line {line}; "
            "run OpenFace anew"
        )
    return frame - 1, confidence


def _face(row: dict[str, str], path: Path, line: int) -> tuple[int, Face | None]:
    """The frame, from 0, and the face of one row; no face where OpenFace had no success.

    Raises:
      UserError: a column is missing, or is no number.
    """
    frame, confidence = _frame_and_confidence(row, path, line)
    if confidence is None:
        return frame, None
    points = [plain_numbers.real(row.get(f"{axis}_{i}", "")) for i in range(68) for axis in "xy"]
    if any(point is None or abs(point) > _FARTHEST for point in points):
        raise UserError(
            f"{path} lacks the 2-D landmarks x_0 .. y_67 on line {line}; run OpenFace with -2Dfp"
        )
    return frame, face_from_points(np.array(points, np.float32), confidence=confidence)


def _action_units(row: dict[str, str], path: Path, line: int) -> dict[str, float]:
    """The numbers of `OpenFace.action_units` in one row.

    Raises:
      UserError: there is no column of an AU, or something else than a number in it.
    """
    said = {}
    for column in row:
        if match := _PRESENCE.fullmatch(column):
            present = plain_numbers.real(row[column])
            intensity = plain_numbers.real(row.get(f"{match[1]}_r", "0"))
            if present not in (0, 1) or intensity is None or not 0 <= intensity <= 5:
                raise UserError(
                    f"{path} has no presence 0 or 1, or no intensity from 0 to 5, of {match[1]} on "
                    f"line {line}; run OpenFace anew"
                )
            said[match[1]] = (_APART if present else -_APART) + intensity
    if not said:
        raise UserError(
            f"{path} lacks the columns AU01_c .. AU45_c on line {line}; run OpenFace with -aus"
        )
    return {"AU43": said[_BLINK], **said} if _BLINK in said else said
