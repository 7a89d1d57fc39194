"""The columns of the table of faces and AUs, and the cells of a row, written and read."""

import csv
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from au_jax.predict.answers import Row

# Column -> how its numbers are written.
_PLACE = {"timestamp": ".3f"}
_FACE = {"confidence": ".4f"}
_BOX = {"face_x": ".2f", "face_y": ".2f", "face_width": ".2f", "face_height": ".2f"}
_POSE = {"pose_pitch": ".2f", "pose_yaw": ".2f", "pose_roll": ".2f"}
_PROBABILITY = ".6f"

TEXTS = ("input", "doubts")
COUNTS = ("frame", "face", "success")
MEASURES = (*_PLACE, *_FACE, *_BOX, *_POSE)


def columns(aus: Sequence[str]) -> list[str]:
    """The names of the columns, in order."""
    names = ["input", "frame", *_PLACE, "face", "success", *_FACE, *_BOX, *_POSE]
    return [*names, *aus, *(f"{au}_c" for au in aus), "doubts"]


Cells = Mapping[str, str]  # {column: text} of a row that is read


def aus_of(columns: Iterable[str]) -> list[str]:
    """The AUs whose probabilities are among the columns."""
    return [name for name in columns if name.startswith("AU") and "_" not in name]


def images(table: Path) -> Iterator[list[Cells]]:
    """The rows of each image of a table in CSV, one image after another."""
    with open(table, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        for _, of_image in itertools.groupby(reader, lambda r: (r["input"], r["frame"])):
            yield list(of_image)


def cells(row: Row) -> list[str]:
    """The cells of a row, in the order of `columns`; what is not known is empty.

    An image without a face is a row with success 0. Faces are numbered from 0: those of a
    photograph by size, those of a video by their track.
    """
    answer = row.answer
    place = [answer.origin.input, str(answer.origin.frame), _text(answer.origin.timestamp, ".3f")]
    if answer.face < 0:
        empty = [""] * (len(_FACE) + len(_BOX) + len(_POSE) + 2 * len(row.decisions))
        return [*place, "", "0", *empty, ""]
    numbers = [answer.confidence, *answer.box.tolist(), *answer.pose.tolist()]
    forms = [*_FACE.values(), *_BOX.values(), *_POSE.values()]
    return [
        *place,
        str(answer.face),
        "1",
        *(_text(number, form) for number, form in zip(numbers, forms, strict=True)),
        *(_text(probability, _PROBABILITY) for probability in row.probabilities.tolist()),
        *(str(int(decision)) for decision in row.decisions),
        answer.doubts,
    ]


def _text(number: float, form: str) -> str:
    return "" if math.isnan(number) else format(number, form)
