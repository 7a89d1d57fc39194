"""AffectNet (Mollahosseini et al., 2017), emotions and no AUs: the full or the reduced release.

Splits: `train`, `validation` and, where its list is there, `automatic`. The full release brings a
face box and 68 points for each image, which say which of several faces is meant.
"""

import posixpath
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from au_jax import aus as au_names
from au_jax.data.csv_table import read_table
from au_jax.errors import UserError
from au_jax.files import plain_numbers, regular_file
from au_jax.prepare.readers import rows
from au_jax.prepare.readers.rows import Problem, RawSet, Row

_COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
_LISTS = {
    "train": ("training.csv", "Manually_Annotated_Images"),
    "validation": ("validation.csv", "Manually_Annotated_Images"),
    "automatic": ("automatically_annotated.csv", "Automatically_Annotated_Images"),
}
_REDUCED = {"train": "train_set", "validation": "val_set"}
_FARTHEST = 1e6  # pixels
_LARGEST = 10**6  # bytes of an annotation, which holds at most 136 numbers
# The first eight codes are in the order of `aus.EMOTIONS`.
_NO_EMOTION = {8: "none", 9: "uncertain", 10: "non-face"}


def read(raw: Path) -> RawSet:
    """Opens AffectNet in `raw`.

    Raises:
      UserError: neither layout is found, or a list lacks a column.
    """
    rows.folder(raw)
    lists = {}
    for split, (name, _) in _LISTS.items():
        places = sorted(raw.glob(name)) or sorted(raw.glob(f"*/{name}"))
        if places:
            lists[split] = places[0]
    reduced = {s: raw / f for s, f in _REDUCED.items() if (raw / f / "annotations").is_dir()}
    if not lists and not reduced:
        raise UserError(
            f"--raw={raw} holds neither training.csv (full release) nor train_set/annotations "
            "(reduced release); name the folder of AffectNet"
        )
    for split, file in lists.items():
        if not _image_folder(raw, split).is_dir():
            raise UserError(f"--raw={raw} lacks {_LISTS[split][1]}, the images of {file}")
        _columns(file)

    def read_rows() -> Iterator[Row]:
        for split, file in lists.items():
            yield from _listed(raw, split, file)
        for split, place in reduced.items() if not lists else ():
            yield from _annotated(raw, split, place)

    return RawSet(
        name="affectnet",
        aus=(),
        crops=("closeup",),
        files=tuple(lists.values() or (place / "annotations" for place in reduced.values())),
        rows=read_rows,
        description="AffectNet: images with one of eight emotions, official split.",
    )


def _image_folder(raw: Path, split: str) -> Path:
    return raw / _LISTS[split][1]


def _columns(file: Path) -> tuple[list[int], int, bool]:
    """Where each of `_COLUMNS` stands, how many there are, and whether the file has a header."""
    first = next(read_table(file), (0, []))[1]
    if not any(name in first for name in _COLUMNS):
        if len(first) != len(_COLUMNS):
            raise UserError(
                f"{file} has {len(first)} columns and no header; AffectNet's lists have the "
                f"columns {', '.join(_COLUMNS)}"
            )
        return list(range(len(_COLUMNS))), len(_COLUMNS), False
    missing = [name for name in _COLUMNS if name not in first]
    if missing:
        raise UserError(f"{file} lacks the column '{missing[0]}'; give it as AffectNet delivers it")
    return [first.index(name) for name in _COLUMNS], len(first), True


def _listed(raw: Path, split: str, file: Path) -> Iterator[Row]:
    at, width, has_header = _columns(file)
    images = _image_folder(raw, split)
    where = rows.relative(file, raw)
    lines = read_table(file)
    if has_header:
        next(lines)
    for line, fields in lines:
        problem = rows.wrong_columns(fields, width)
        if problem:
            yield Row(split, where, line, problem=problem)
            continue
        path, *box, landmarks, expression, _, _ = (fields[i] for i in at)
        emotion, problem = _emotion(expression)
        near = _numbers(box, 4)
        yield Row(
            split,
            where,
            line,
            image=rows.relative(images / posixpath.normpath(path.replace("\\", "/")), raw),
            emotion=emotion,
            near=near if near and near[2] > 0 and near[3] > 0 else None,
            points=_numbers(landmarks.split(";"), 136),
            problem=problem,
        )


def _emotion(text: str) -> tuple[int, Problem | None]:
    number = plain_numbers.real(text)  # the reduced release writes its codes as "3" or "3.0"
    code = int(number) if number is not None and number == int(number) else -1
    if code in _NO_EMOTION:
        return -1, Problem("no label", f"expression {code} ({_NO_EMOTION[code]}) is no emotion")
    if not 0 <= code < len(au_names.EMOTIONS):
        return -1, Problem("out of range", f"expression is '{text[:40]}'; known codes: 0 to 10")
    return code, None


def _numbers(fields: list[str], count: int) -> tuple[float, ...] | None:
    """`count` places in an image; None for anything else."""
    numbers = [plain_numbers.real(field.strip()) for field in fields]
    places = tuple(number for number in numbers if number is not None and abs(number) < _FARTHEST)
    return places if len(places) == len(numbers) == count else None


def _annotated(raw: Path, split: str, place: Path) -> Iterator[Row]:
    """The reduced release: images/ID.jpg, annotations/ID_exp.npy and ID_lnd.npy."""
    # One row is one image or one annotation: either without the other is left out by name.
    names = {p.stem.removesuffix("_exp") for p in (place / "annotations").glob("*_exp.npy")}
    names |= {p.stem for p in (place / "images").glob("*.jpg")}
    for name in sorted(names, key=lambda text: (len(text), text)):
        annotation = place / "annotations" / f"{name}_exp.npy"
        points = _array(place / "annotations" / f"{name}_lnd.npy")
        expression = _array(annotation)
        if expression is not None and expression.size == 1:
            emotion, problem = _emotion(str(expression.item()))
        else:
            state = "cannot be read as one number" if annotation.exists() else "is not there"
            emotion, problem = -1, Problem("bad row", f"{annotation.name} {state}")
        yield Row(
            split,
            rows.relative(annotation, raw),
            1,
            image=rows.relative(place / "images" / f"{name}.jpg", raw),
            emotion=emotion,
            points=None if points is None else _numbers([*map(str, points.flat)], 136),
            problem=problem,
        )


def _array(path: Path) -> np.ndarray | None:
    try:
        if regular_file.size(path) > _LARGEST:
            return None
        array = np.load(path, allow_pickle=False)
    except Exception:  # a header may hold anything, and NumPy raises as many kinds of error
        return None
    return array if isinstance(array, np.ndarray) else None
