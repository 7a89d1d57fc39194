"""Copies of photographs and videos with the faces' boxes, and a panel with the AUs of one face."""

import contextlib
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from au_jax import log
from au_jax.data.image_io import BadImageError, Video, is_text
from au_jax.errors import UserError, spelled_out
from au_jax.files import atomic_files
from au_jax.predict import frames, rows
from au_jax.predict.frames import Frame
from au_jax.predict.inputs import Input
from au_jax.predict.rows import Cells

_LONGEST = 200  # bytes of a copy's name; a file's name has at most 255
_LINE = 16  # pixels of the panel for an AU, in an image that is not higher than all of them
_WHITE, _BLACK, _DARK = (255, 255, 255), (0, 0, 0), (32, 32, 32)
_PRESENT, _ABSENT = (90, 200, 120), (120, 120, 130)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def check(folder: Path) -> None:
    """Makes the folder of the copies; raises UserError where they could not be written into it."""
    if not is_text(folder):
        raise UserError("the folder of --overlay has a name that is no valid text; give another")
    try:
        atomic_files.try_writing(folder)
    except OSError as error:
        raise UserError(f"cannot write into --overlay={folder}: {error.strerror}") from error


def write(table: Path, entries: Sequence[Input], every: int, folder: Path) -> None:
    """Writes a copy of every input of a table: .jpg of a photograph, .mp4 of a video.

    Args:
      table: the whole table, in CSV, of these inputs and `every`, see `frames.read`.
      folder: where the copies lie, each named by its input's path.

    Raises:
      UserError: the folder cannot be written, or the disk is full.
    """
    names = _file_names(entries)
    atomic_files.sweep_beside(folder, names)
    images = (i for i in frames.read(entries, every) if isinstance(i, Frame))
    together = zip(images, rows.images(table), strict=False)
    with log.progress("overlay", len(entries), "input") as bar:
        for position, of_input in itertools.groupby(together, lambda x: x[0].origin.position):
            drawn = (draw(frame.image, faces) for frame, faces in of_input)
            _write_one(entries[position], drawn, every, folder / names[position])
            bar.update(1)


def draw(image: np.ndarray, faces: Sequence[Cells]) -> np.ndarray:
    """The image with a box around every face, beside it a panel of the AUs of the largest one.

    Args:
      image: uint8 [H, W, 3], RGB.
      faces: the rows of the image, as the table has them.

    Returns:
      uint8 [H', W', 3], RGB, of a size that follows from H, W and the number of AUs.
    """
    names = rows.aus_of(faces[0])
    height = max(image.shape[0], _LINE * (len(names) + 1)) + 1 & ~1  # even, as codecs ask for
    width = image.shape[1] + 1 & ~1
    step = height / (len(names) + 1)
    canvas = np.full((height, width + int(10 * step) + 1 & ~1, 3), _DARK, np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    faces = sorted(
        (row for row in faces if row["success"] == "1"), key=lambda row: -float(row["face_width"])
    )
    for row in faces:
        box(canvas, row, step)
    panel = canvas[:, width:]
    title = f"face {faces[0]['face']}" if faces else "no face"
    _text(panel, title, (int(step / 3), int(0.75 * step)), step)
    for number, name in enumerate(names if faces else (), 1):
        _bar(panel, name, faces[0], int(number * step), step)
    return canvas


def box(canvas: np.ndarray, row: Cells, step: float) -> None:
    """Draws a face's box, a white line in a black one that shows on any background, and its number.

    Args:
      canvas: uint8 [H, W, 3], RGB, which is changed.
      row: of the face.
      step: the side of the number, pixels.
    """
    left, top, width, height = (
        round(float(row[f"face_{side}"])) for side in ("x", "y", "width", "height")
    )
    corners = (left, top), (left + width, top + height)
    thick = max(1, round(step / 12))
    cv2.rectangle(canvas, *corners, _BLACK, 3 * thick)
    cv2.rectangle(canvas, *corners, _WHITE, thick)
    label = (left, top), (left + int(step), top + int(step))
    cv2.rectangle(canvas, *label, _BLACK, -1)
    _text(canvas, row["face"], (left + int(step / 4), top + int(0.75 * step)), step)


def _bar(panel: np.ndarray, name: str, row: Cells, top: int, step: float) -> None:
    probability = float(row[name])
    start, full = int(3.5 * step), int(6 * step)
    low, high = top + int(0.2 * step), top + int(0.8 * step)
    colour = _PRESENT if row[f"{name}_c"] == "1" else _ABSENT
    cv2.rectangle(panel, (start, low), (start + full, high), _BLACK, -1)
    cv2.rectangle(panel, (start, low), (start + round(probability * full), high), colour, -1)
    _text(panel, name, (int(step / 3), top + int(0.75 * step)), step)


def _text(canvas: np.ndarray, text: str, at: tuple[int, int], step: float) -> None:
    thick = max(1, round(step / 20))
    cv2.putText(canvas, text, at, _FONT, step / 36, _WHITE, thick, cv2.LINE_AA)


def _file_names(entries: Sequence[Input]) -> list[str]:
    """The name of each input's copy: its path with _ for /.

    Where paths would have one name, or one that is too long, its end and a hash tell them apart.
    """
    paths = [spelled_out(entry.name) for entry in entries]
    plain = [path.strip("./").replace("/", "_") for path in paths]
    times = Counter(plain)
    names = []
    for entry, path, name in zip(entries, paths, plain, strict=True):
        if times[name] > 1 or len(name.encode()) > _LONGEST:
            end = name.encode()[-_LONGEST:].decode(errors="ignore")
            name = f"{end}.{hashlib.blake2b(path.encode(), digest_size=4).hexdigest()}"
        names.append(name + (".mp4" if entry.kind == "video" else ".jpg"))
    return names


def _write_one(entry: Input, drawn: Iterator[np.ndarray], every: int, copy: Path) -> None:
    folder = copy.parent
    with atomic_files.replacing(copy) as path:
        if entry.kind == "image":
            (image,) = drawn
            if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
                raise UserError(f"cannot write into {folder}; give another --overlay")
            return
        with contextlib.closing(Video(Path(entry.name))) as video:
            rate = (video.rate or 25) / every
        first = next(drawn)
        size = (first.shape[1], first.shape[0])
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
        if not writer.isOpened():
            raise UserError(f"cannot write into {folder}; give another --overlay")
        written = 0
        for image in itertools.chain([first], drawn):
            writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            written += 1
        writer.release()
        if not _has(path, written):  # of a full disk OpenCV says nothing
            raise UserError(f"cannot write {copy}; is the disk full?")


def _has(video: Path, frames: int) -> bool:
    """Whether so many frames of a video can be decoded."""
    try:
        with contextlib.closing(Video(video)) as opened:
            opened.frame(frames - 1)
    except BadImageError:
        return False
    return True
