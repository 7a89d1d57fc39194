"""Rows of raw label files, as every reader gives them: the labels of one image or video frame."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from au_jax import aus as au_names
from au_jax.aus import ABSENT, PRESENT, UNKNOWN
from au_jax.data.datasets import Truth
from au_jax.errors import UserError, spelled_out
from au_jax.files import plain_numbers

# The split of a data set that its owners did not divide; folds part it by subject.
UNDIVIDED = "full"


class Problem(NamedTuple):
    """Why a row is left out.

    Attributes:
      kind: what the audit counts it by:
        "missing": the image or video is not there;
        "unreadable": it is there and cannot be decoded whole;
        "outside": it lies outside of the raw folder, which was not allowed;
        "too large": it is refused before it is decoded;
        "not square": it is taken for an aligned crop and cannot be one;
        "duplicate": it is a second row for one image;
        "out of range": a label code or number is none that the format knows;
        "bad row": it has too few or many columns, no number or no file name;
        "misnumbered": rows and frames do not fit together;
        "no label": it says that the image shows no usable face or emotion.
      reason: a sentence.
    """

    kind: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One row of the raw label files.

    Attributes:
      split: its TFDS split.
      file, line: where it stands; the path is relative to the raw folder, the first line is 1.
      image: the image's path relative to the raw folder, or the video's when `position` >= 0. A
        path that leaves the folder is found out when it is read (`worker.Images`).
      labels: 1, 0 or -1 for each AU of the data set.
      position: place of the frame in a video file, counted from 0; -1 for an image.
      intensity: 0 to 5, -1 unknown, for each AU; None where the data set has none.
      pose: degrees with the signs of `records.Record`; None unknown.
      emotion: position in `aus.EMOTIONS`, -1 unknown.
      subject, video, frame: see `records.Record`.
      near: the face's box (left, top, width, height, pixels) where the data set gives one.
      points: the 68 points x0, y0, x1, ... in pixels where the data set gives them.
      problem: set when the row is to be left out; the other fields may then be empty.
    """

    split: str
    file: str
    line: int
    image: str = ""
    labels: tuple[int, ...] = ()
    position: int = -1
    intensity: tuple[int, ...] | None = None
    pose: tuple[float, float, float] | None = None
    emotion: int = -1
    subject: str = ""
    video: str = ""
    frame: int = -1
    near: tuple[float, ...] | None = None
    points: tuple[float, ...] | None = None
    problem: Problem | None = None

    def image_key(self) -> str:
        """The image's key within the data set; no two kept rows share it."""
        return self.image if self.position < 0 else f"{self.image}/{self.frame}"


class ImageReader(Protocol):
    """The images of rows, read or made one after another."""

    def read(self, row: Row) -> tuple[np.ndarray, bytes]:
        """The row's image uint8 [H, W, 3] RGB, and its file's bytes, none for a video frame.

        Raises:
          BadImageError: it cannot be used.
        """


@dataclasses.dataclass(frozen=True)
class RawSet:
    """A data set as its owners deliver it, opened and checked but not yet read.

    Attributes:
      name: what the prepared data set is called.
      aus: the AU of each label.
      crops: the crops that are made unless others are asked for.
      files: the label files (or the folder that stands for them), for noticing that they changed.
      rows: reads them; each call starts anew and gives the same rows.
      description: one paragraph for the data set's page.
      images: opens what makes the images of rows, where none lie on the disk: it is given the
        folder of unfinished work, is pickled, and each process calls it once. None: they are files.
      drawn: whether the faces are drawn or rendered by a program, and no photographs.
      settings: what was asked for besides; data of other settings are another data set.
      truth: gives the true labels of the splits whose labels are wrong in places; None: not known.
    """

    name: str
    aus: tuple[str, ...]
    crops: tuple[str, ...]
    files: tuple[Path, ...]
    rows: Callable[[], Iterator[Row]]
    description: str
    images: Callable[[Path], ImageReader] | None = None
    drawn: bool = False
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    truth: Callable[[], Mapping[str, Truth]] | None = None


def record_key(name: str, image_key: str) -> str:
    """The key of an image's record in the data set `name`."""
    return f"{name}/{spelled_out(image_key)}#0"


def folder(raw: Path) -> Path:
    """Returns `raw` when it is a folder that can be read."""
    if not raw.is_dir():
        raise UserError(f"--raw={raw} is not a folder; name the one that the data set lies in")
    return raw


def relative(path: Path, raw: Path) -> str:
    """`path` under the raw folder, with forward slashes; as it is where it lies elsewhere."""
    return path.relative_to(raw).as_posix() if path.is_relative_to(raw) else path.as_posix()


def wrong_columns(fields: Sequence[str], expected: int) -> Problem | None:
    """A problem when a line has not `expected` fields."""
    if len(fields) == expected:
        return None
    return Problem("bad row", f"{len(fields)} columns instead of {expected}")


def decode(
    fields: Sequence[str], names: Sequence[str], codes: Mapping[str, int]
) -> tuple[tuple[int, ...], Problem | None]:
    """Turns label codes into 1, 0, -1 (or intensities, as `codes` says).

    Args:
      fields: one code per AU, as text.
      names: what to call each in the sentence.
      codes: meaning of every code of the format.

    Returns:
      The labels, and the problem when a code is not in `codes` (its label is then unknown).
    """
    labels = tuple([codes.get(field, UNKNOWN) for field in fields])
    for field, name in zip(fields, names, strict=True):
        if field not in codes:
            known = ", ".join(codes)
            return labels, Problem(
                "out of range", f"{name} is '{field[:40]}'; known codes: {known}"
            )
    return labels, None


def codes(unknown: Sequence[str]) -> dict[str, int]:
    """The codes 1 present, 0 absent and those in `unknown`, also as spreadsheets write them."""
    plain = {"1": PRESENT, "0": ABSENT, **dict.fromkeys(unknown, UNKNOWN)}
    return plain | {f"{code}.0": label for code, label in plain.items() if code}


def au_name(text: str) -> str | None:
    """`AU01` from "AU1", "AU01", "au_1", "'AU 1'"; None when it names no AU."""
    name = text.strip().strip("'\"").strip().upper()
    number = plain_numbers.whole(name.removeprefix("AU").strip(" _"))
    if not name.startswith("AU") or number is None:
        return None
    name = f"AU{number:02d}"
    return name if name in au_names.MEANING else None
