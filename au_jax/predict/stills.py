"""Small pictures of photographs and of frames of videos, with boxes, for a page."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from au_jax.data.image_io import BadImageError, Video, read_image
from au_jax.html import Figure
from au_jax.predict import overlay, rows
from au_jax.predict.rows import Cells

_SIDE, _QUALITY = 320, 80  # pixels of the longer side; of the JPEG
_NAMED = 3  # faces whose AUs stand below a picture, at most


def of_photographs(named: Mapping[str, Sequence[Cells]]) -> Iterator[Figure]:
    """A picture of each photograph that can be read.

    Args:
      named: {path: its rows of the table}.
    """
    for name, faces in named.items():
        with contextlib.suppress(BadImageError):
            image, _ = read_image(Path(name))
            yield _still(image, faces, Path(name).name, "")


def of_video(name: str, wanted: Mapping[int, tuple[Sequence[Cells], str]]) -> Iterator[Figure]:
    """A picture of some frames of a video, as far as it can be read.

    Args:
      name: its path.
      wanted: {frame: (its rows of the table, a remark that ends its caption)}, in order.
    """
    with contextlib.suppress(BadImageError), contextlib.closing(Video(Path(name))) as video:
        for number, (faces, remark) in wanted.items():
            image = video.frame(number)
            seconds = float(faces[0]["timestamp"])
            where = f"{int(seconds // 60)}:{seconds % 60:05.2f}"
            yield _still(image, faces, where, remark)


def _still(image: np.ndarray, of_image: Sequence[Cells], title: str, remark: str) -> Figure:
    """The picture of an image uint8 [H, W, 3], RGB, with the boxes of its faces."""
    faces = sorted(
        (row for row in of_image if row["success"] == "1"), key=lambda row: int(row["face"])
    )
    scale = min(1.0, _SIDE / max(image.shape[:2]))
    canvas = image.copy()
    for row in faces:
        overlay.box(canvas, row, step=max(image.shape[:2]) / 20)
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )[1].tobytes()
    said = _said(faces)
    caption = ". ".join(part for part in (f"{title}: {said}", remark) if part)
    count = "1 face" if len(faces) == 1 else f"{len(faces)} faces"
    return Figure(encoded, f"{title}, {count} in boxes: {said}", caption, "image/jpeg")


def _said(faces: Sequence[Cells]) -> str:
    """The present AUs of each face, in words."""
    if not faces:
        return "no face"
    texts = []
    for row in faces[:_NAMED]:
        present = [au for au in rows.aus_of(row) if row[f"{au}_c"] == "1"]
        number = f"face {row['face']} " if len(faces) > 1 or row["face"] != "0" else ""
        texts.append(number + (", ".join(present) or "no AU"))
    more = len(faces) - _NAMED
    return "; ".join(texts) + (f"; and {more} more faces" if more > 0 else "")
