"""BP4D (Zhang et al., 2014) and BP4D+: one table per subject and task, one line per frame.

One undivided split; `folds` parts it by subject. Intensities are read where AU_INT is there; its
layout is taken from public code and has not been seen by us.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from au_jax import aus as au_names
from au_jax.data.csv_table import read_table
from au_jax.errors import UserError
from au_jax.files import plain_numbers
from au_jax.prepare.readers import rows
from au_jax.prepare.readers.rows import UNDIVIDED, Problem, RawSet, Row

_AUS = au_names.names(1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
_NUMBERS = tuple(int(au[2:]) for au in _AUS)
_CODES = rows.codes(("9",))
_LEVELS = {str(level): level for level in range(6)} | {"9": -1}
_FILE = re.compile(r"([FM]\d{3})_(T\d+)\.csv$", re.IGNORECASE)
_WIDTHS = (4, 3, 5, 2, 0)  # digits of a frame's file name, by folder: most have 4 or 3
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp")  # meshes have the same names


def read(raw: Path) -> RawSet:
    """Opens BP4D or BP4D+ in `raw`.

    Raises:
      UserError: no label file or no image folder is found, or a header is not BP4D's.
    """
    rows.folder(raw)
    for place in (raw / "AUCoding" / "AU_OCC", raw / "AU_OCC", raw / "AUCoding"):
        files = sorted(p for p in place.glob("*.csv") if _FILE.match(p.name))
        if files:
            break
    else:
        raise UserError(
            f"--raw={raw} holds no AUCoding/AU_OCC/F001_T1.csv and the like; name the folder that "
            "holds BP4D's AUCoding and Sequences_2D+3D"
        )
    images = raw / "Sequences_2D+3D"
    if not images.is_dir():
        raise UserError(f"--raw={raw} lacks the folder Sequences_2D+3D with the images")
    columns = {file: _columns(file) for file in files}

    def read_rows() -> Iterator[Row]:
        for file in files:
            yield from _sequence(raw, images, file, columns[file])

    return RawSet(
        name="bp4d",
        aus=_AUS,
        crops=("closeup", "arcface"),
        files=tuple(files),
        rows=read_rows,
        description="BP4D: spontaneous expressions of 41 subjects in eight tasks, 12 AUs.",
    )


def _columns(file: Path) -> tuple[int, list[int]]:
    """How many columns the file has, and where each AU of `_AUS` stands."""
    header = next(read_table(file), (0, []))[1]
    numbers = [number for cell in header if (number := plain_numbers.whole(cell)) is not None]
    if not numbers or len(numbers) != len(header):
        raise UserError(
            f"{file} does not begin with a line of AU numbers; give it as BP4D delivers it"
        )
    if len(numbers) >= 50:  # BP4D: the columns are the AU numbers themselves
        for place, number in enumerate(numbers):
            if number != place:
                raise UserError(
                    f"the header of {file} has {number} where {place} belongs (column N is AU N in "
                    "BP4D); give the file as BP4D delivers it"
                )
    else:  # BP4D+: a list of AU numbers, the frame's column headed 1 like that of AU 1
        numbers[0] = 0
        if numbers[1:] != sorted(set(numbers[1:])):
            raise UserError(
                f"the AU numbers in the header of {file} are not in ascending order; give the file "
                "as BP4D+ delivers it"
            )
    missing = [number for number in _NUMBERS if number not in numbers]
    if missing:
        raise UserError(f"{file} has no column for AU {missing[0]}; give it as BP4D delivers it")
    return len(numbers), [numbers.index(number) for number in _NUMBERS]


def _sequence(raw: Path, images: Path, file: Path, columns) -> Iterator[Row]:
    width, at = columns
    match = _FILE.match(file.name)
    assert match is not None
    subject, task = match[1].upper(), match[2].upper()
    place = images / subject / task
    pictures = [p for p in place.glob("*") if p.suffix.lower() in _PICTURES]
    names = {p.stem: p.name for p in pictures if p.stem.isdecimal()}
    levels = _intensities(file, subject, task)
    where = rows.relative(file, raw)
    lines = read_table(file)
    next(lines)
    for line, fields in lines:
        problem = rows.wrong_columns(fields, width)
        frame = plain_numbers.whole(fields[0])
        if problem is None and frame is None:
            problem = Problem("bad row", f"frame number '{fields[0][:40]}' is not a whole number")
        if problem or frame is None:
            yield Row(UNDIVIDED, where, line, subject=subject, problem=problem)
            continue
        labels, problem = rows.decode(
            [fields[i] for i in at], [f"AU {n}" for n in _NUMBERS], _CODES
        )
        stems = [f"{frame:0{w}d}" for w in _WIDTHS]
        name = next((names[stem] for stem in stems if stem in names), f"{frame:04d}.jpg")
        yield Row(
            UNDIVIDED,
            where,
            line,
            image=rows.relative(place / name, raw),
            labels=labels,
            intensity=tuple(levels.get((au, frame), -1) for au in _NUMBERS) if levels else None,
            subject=subject,
            video=f"{subject}_{task}",
            frame=frame,
            problem=problem,
        )


def _intensities(file: Path, subject: str, task: str) -> dict[tuple[int, int], int]:
    """Intensity by AU number and frame, from AU_INT/AU06/F001_T1_AU06.csv (`frame,intensity`)."""
    levels = {}
    for number in _NUMBERS:
        au = f"AU{number:02d}"
        path = file.parent.parent / "AU_INT" / au / f"{subject}_{task}_{au}.csv"
        for _, fields in read_table(path) if path.exists() else ():
            frame = plain_numbers.whole(fields[0])
            if len(fields) == 2 and frame is not None and fields[1] in _LEVELS:
                levels[number, frame] = _LEVELS[fields[1]]
    return levels
