"""Aff-Wild2's AU challenge (Kollias, ABAW): one text file per video, one line per frame.

Splits: `train` and `validation`, the challenge's own. Images are the challenge's cropped and
aligned faces; a frame without a found face has a line and no image.
"""

from collections.abc import Iterator
from pathlib import Path

from au_jax import aus as au_names
from au_jax.data.csv_table import read_table
from au_jax.errors import UserError, unknown
from au_jax.files import plain_numbers
from au_jax.prepare.readers import rows
from au_jax.prepare.readers.rows import Problem, RawSet, Row

_CODES = rows.codes(("-1",))
_FOLDERS = {
    "train": ("AU_Detection_Challenge/Train_Set", "AU_Set/Training_Set"),
    "validation": ("AU_Detection_Challenge/Validation_Set", "AU_Set/Validation_Set"),
}
_AUS = au_names.names(1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)
_HEADERS = {
    "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26": _AUS,
    # The first edition's.
    "AU1,AU2,AU4,AU6,AU12,AU15,AU20,AU25": au_names.names(1, 2, 4, 6, 12, 15, 20, 25),
}


def read(raw: Path) -> RawSet:
    """Opens Aff-Wild2 in `raw`.

    Raises:
      UserError: annotations or images are not found, or a header is not the challenge's.
    """
    rows.folder(raw)
    files = {split: _annotations(raw, names) for split, names in _FOLDERS.items()}
    listed = [file for of_split in files.values() for file in of_split]
    if not listed:
        raise UserError(
            f"--raw={raw} holds no annotations/AU_Detection_Challenge/Train_Set/*.txt; name the "
            "folder that holds Aff-Wild2's annotations and cropped_aligned"
        )
    images = raw / "cropped_aligned"
    if not images.is_dir():
        raise UserError(f"--raw={raw} lacks the folder cropped_aligned with the challenge's faces")
    headers = set()
    for file in listed:
        header = ",".join(next(read_table(file), (0, []))[1])
        if header not in _HEADERS:
            raise unknown(f"first line of {file}", header, [f"'{text}'" for text in _HEADERS])
        headers.add(header)
    if len(headers) > 1:
        raise UserError(
            f"--raw={raw} holds annotations of two editions of the challenge, which begin with "
            f"{' and with '.join(sorted(headers))}; leave only those of one there"
        )
    aus = _HEADERS[headers.pop()]

    def read_rows() -> Iterator[Row]:
        for split, of_split in files.items():
            for file in of_split:
                yield from _video(raw, images / file.stem, split, file, aus)

    return RawSet(
        name="affwild2",
        aus=aus,
        crops=("as_is",),
        files=tuple(listed),
        rows=read_rows,
        description="Aff-Wild2, AU detection challenge: cropped and aligned faces, official split.",
    )


def _annotations(raw: Path, names: tuple[str, ...]) -> list[Path]:
    for name in names:
        for place in (raw / "annotations" / name, raw / name):
            if place.is_dir():
                return sorted(place.glob("*.txt"))
    return []


def _video(raw: Path, images: Path, split: str, file: Path, aus) -> Iterator[Row]:
    where, video = rows.relative(file, raw), file.stem
    (header, _), *lines = read_table(file)
    misnumbered = _gap([line for line, _ in lines], header) or _misnumbered(images, len(lines))
    names = [f"AU{int(au[2:])}" for au in aus]
    for line, fields in lines:
        frame = line - header
        problem = misnumbered or rows.wrong_columns(fields, len(aus))
        labels: tuple[int, ...] = ()
        if problem is None:
            labels, problem = rows.decode(fields, names, _CODES)
        yield Row(
            split,
            where,
            line,
            image=rows.relative(images / f"{frame:05d}.jpg", raw),
            labels=labels,
            # Two people of one video are two subjects; nobody is named across videos.
            subject=video,
            video=video,
            frame=frame,
            problem=problem,
        )


def _gap(lines: list[int], header: int) -> Problem | None:
    """A problem when the lines do not follow each other, so that frames cannot be counted."""
    for number, line in enumerate(lines, 1):
        if line - header != number:
            reason = f"line {header + number} is empty: the frames of all lines below are not known"
            return Problem("misnumbered", f"{reason}; delete empty lines that are no frames")
    return None


def _misnumbered(images: Path, count: int) -> Problem | None:
    """A problem when the images cannot belong to lines 1 .. `count`."""
    found = (plain_numbers.whole(path.stem) for path in images.glob("*.jpg"))
    numbers = [number for number in found if number is not None]
    if 0 in numbers:
        reason = f"{images.name}/ counts its frames from 0, Aff-Wild2 from 1"
        return Problem("misnumbered", f"{reason}: each would get its neighbour's labels")
    if numbers and max(numbers) > count:
        reason = f"{images.name}/ has a frame {max(numbers)} and its file only {count} lines"
        return Problem("misnumbered", f"{reason}: frames and labels do not fit together")
    return None
