"""A table of the user's own: an image per row, a column per AU, and what else there is."""

import math
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from au_jax import aus as au_names
from au_jax.data.csv_table import read_table
from au_jax.errors import UserError, unknown
from au_jax.files import plain_numbers
from au_jax.prepare.readers import rows
from au_jax.prepare.readers.rows import UNDIVIDED, Problem, RawSet, Row

_CODES = rows.codes(("-1", "9", "999", ""))
_TEXTS = ("image", "subject", "video", "frame", "pitch", "yaw", "roll", "emotion", "split")
_ANGLES = ("pitch", "yaw", "roll")
_SPLIT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")  # it becomes a part of files' names


def read(
    raw: Path,
    name: str = "csv",
    columns: Mapping[str, str] | None = None,
    *,
    aus: Sequence[str] = (),
    divided: bool = False,
) -> RawSet:
    """Opens the table `raw`, or the one .csv file in the folder `raw`.

    Images are looked for relative to the table. AU columns are found by their names (AU1, AU01,
    au_1, 'AU 1'); codes are 1 present, 0 absent, and -1, 9, 999 or nothing for unknown.

    Args:
      raw: the file or its folder.
      name: what the prepared data set is called.
      columns: column names in the table for what goes by another name there: any of image,
        subject, video, frame, pitch, yaw, roll, emotion, split, or an AU.
      aus: which AU columns are read and must be there; all that are there if empty.
      divided: whether the column `split` must be there.

    Raises:
      UserError: no or several tables, a column missing or twice, an unknown name in `columns`.
    """
    file = _table_file(raw)
    at, au_columns = _columns(file, dict(columns or {}))
    lacking = [au for au in aus if au not in au_columns]
    if lacking:
        raise UserError(
            f"{file} has no column for {lacking[0]}, one of the {len(aus)} AUs of {name}"
        )
    if divided and "split" not in at:
        raise UserError(
            f"{file} has no column 'split'; mark each row of {name} as train or test, as its "
            "owners divide the subjects"
        )
    if aus:
        au_columns = {au: au_columns[au] for au in aus}

    def read_rows() -> Iterator[Row]:
        lines = read_table(file)
        width = len(next(lines)[1])
        for line, fields in lines:
            problem = rows.wrong_columns(fields, width)
            if problem:
                yield Row(UNDIVIDED, file.name, line, problem=problem)
            else:
                yield _row(
                    file.name, line, {k: fields[i] for k, i in at.items()}, fields, au_columns
                )

    return RawSet(
        name=name,
        aus=tuple(au_columns),
        crops=("closeup",),
        files=(file,),
        rows=read_rows,
        description=f"{name}: read from the table {file.name}.",
        settings={"columns": dict(columns)} if columns else {},
    )


def _table_file(raw: Path) -> Path:
    if raw.is_file():
        return raw
    tables = sorted(rows.folder(raw).glob("*.csv"))
    if len(tables) != 1:
        count = "several" if tables else "no"
        raise UserError(f"--raw={raw} holds {count} .csv files; name the table itself as --raw")
    return tables[0]


def _columns(file: Path, mapped: dict[str, str]) -> tuple[dict[str, int], dict[str, int]]:
    """Where the text columns stand, and where the AUs do."""
    header = next(read_table(file), (0, []))[1]
    targets = {}
    for target, column in mapped.items():
        au = rows.au_name(target)
        if au is None and target not in _TEXTS:
            raise unknown("name in --columns", target, (*_TEXTS, "AU01"))
        if column not in header:
            raise UserError(
                f"{file} lacks the column '{column}' that --columns gives for {target}; it has "
                + ", ".join(header)
            )
        targets[au or target] = column
    taken = set(targets.values())
    for column in header:
        target = rows.au_name(column) or column.lower()
        if column in taken or not (target in _TEXTS or rows.au_name(column)):
            continue
        if target in targets:
            raise UserError(f"{file} has two columns for {target}; rename or delete one")
        targets[target] = column
    twice = [column for column in targets.values() if header.count(column) > 1]
    if twice:
        raise UserError(f"{file} has the column '{twice[0]}' twice; rename or delete one")
    if "image" not in targets:
        raise UserError(
            f"{file} has no column 'image' with the images' paths; name it with "
            f"--columns=image=NAME (the table has {', '.join(header[:12])})"
        )
    angles = [angle for angle in _ANGLES if angle in targets]
    if angles and len(angles) < 3:
        raise UserError(f"{file} has a column {angles[0]} but not all of pitch, yaw and roll")
    places = {target: header.index(column) for target, column in targets.items()}
    aus = {t: i for t, i in places.items() if t not in _TEXTS}
    if not aus and "emotion" not in places:
        raise UserError(f"{file} has no AU column (AU01 and the like) and no column 'emotion'")
    aus = {au: aus[au] for au in sorted(aus)}
    return {t: i for t, i in places.items() if t in _TEXTS}, aus


def _row(where: str, line: int, cells: dict[str, str], fields, aus: dict[str, int]) -> Row:
    labels, problem = rows.decode([fields[i] for i in aus.values()], list(aus), _CODES)
    image = cells["image"].replace("\\", "/")
    image = posixpath.normpath(image) if image else ""  # "./a.jpg" is "a.jpg"
    split = cells.get("split", UNDIVIDED) or UNDIVIDED
    frame, emotion, pose = -1, -1, None
    if not image:
        problem = problem or Problem("bad row", "the row names no image")
    if not _SPLIT.fullmatch(split) or split == "all":
        problem = problem or Problem("bad row", f"'{split[:80]}' cannot be a split's name")
        split = UNDIVIDED
    if cells.get("frame"):
        number = _whole(cells["frame"])
        if number is None:
            reason = f"frame '{cells['frame'][:40]}' is not a whole number"
            problem = problem or Problem("bad row", reason)
        else:
            frame = number
    if cells.get("emotion") not in (None, "", "-1", "-1.0"):
        emotion = _emotion(cells["emotion"])
        if emotion < 0:
            names = ", ".join(au_names.EMOTIONS)
            reason = (
                f"emotion is '{cells['emotion'][:40]}'; known: {names}, or 0 to 7 in that order"
            )
            problem = problem or Problem("out of range", reason)
    if any(cells.get(angle) for angle in _ANGLES):
        pose = _pose([cells[angle] for angle in _ANGLES])
        if pose is None:
            problem = problem or Problem("out of range", "pitch, yaw, roll are not three angles")
    return Row(
        split,
        where,
        line,
        image=image,
        labels=labels,
        pose=pose,
        emotion=emotion,
        subject=cells.get("subject", ""),
        video=cells.get("video", ""),
        frame=frame,
        problem=problem,
    )


def _emotion(text: str) -> int:
    names, code = au_names.EMOTIONS, _whole(text)
    if code is not None:
        return code if code < len(names) else -1
    return names.index(text.lower()) if text.lower() in names else -1


def _whole(text: str) -> int | None:
    """A whole number, also as "3.0", which tables get where other cells of a column are empty."""
    return plain_numbers.whole(text.removesuffix(".0"))


def _pose(texts: list[str]) -> tuple[float, float, float] | None:
    """The angles in degrees, NaN where nothing or "nan" is written; None for what is no angle."""
    angles = [
        math.nan if text.lower() in ("", "nan") else plain_numbers.real(text) for text in texts
    ]
    if any(angle is None or abs(angle) > 180 for angle in angles):
        return None
    pitch, yaw, roll = angles
    return pitch, yaw, roll  # type: ignore[return-value]
