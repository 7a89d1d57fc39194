"""EmotioNet (Benitez-Quiroz et al., 2016): the manual sheet and the automatic label files.

Splits: `opt`, the optimisation set's manual sheet (.xlsx or .csv); `noisy`, the automatic labels
(`dataFile_*.txt`). An image's folder (`N_0000000001`) stands in for its subject.
"""

import contextlib
import re
import zipfile
from collections.abc import Generator, Iterator
from pathlib import Path

from au_jax import aus as au_names
from au_jax.data.csv_table import read_table
from au_jax.errors import UserError
from au_jax.files import regular_file
from au_jax.prepare.readers import rows
from au_jax.prepare.readers.rows import Problem, RawSet, Row

_CODES = rows.codes(("999",))
_NUMBERS = tuple(int(au[2:]) for au in au_names.EMOTIONET)
_NAME = re.compile(r"((N_\d+)_\d+\.\w+)$")
_FOLDER = re.compile(r"N_\d+")
_MOST_UNPACKED = 10**9  # bytes
_AUTOMATIC_COLUMNS = 62  # URL, original URL, AU1 .. AU60


def read(raw: Path) -> RawSet:
    """Opens EmotioNet in `raw`.

    Raises:
      UserError: no label file or no image is found, two manual sheets are, or the sheet lacks
        a column.
    """
    rows.folder(raw)
    sheets = _find(raw, "EmotioNet_FACS_aws*.xlsx") or _find(raw, "EmotioNet_FACS_aws*.csv")
    automatic = _find(raw, "dataFile_*.txt")
    if not sheets and not automatic:
        raise UserError(
            f"--raw={raw} holds neither EmotioNet_FACS_aws*.xlsx (or .csv) nor dataFile_*.txt, "
            "in it or in a folder in it; name the folder of the EmotioNet files"
        )
    if len(sheets) > 1:
        names = " and ".join(rows.relative(sheet, raw) for sheet in sheets)
        raise UserError(f"--raw={raw} holds several manual sheets, {names}; leave only one there")
    places = _image_folders(raw)
    for sheet in sheets:
        with contextlib.closing(_sheet_rows(sheet)) as first:
            next(first, None)  # its header is checked before anything starts

    def read_rows() -> Iterator[Row]:
        for sheet in sheets:
            for line, url, fields, wrong in _sheet_rows(sheet):
                if wrong:
                    yield Row("opt", rows.relative(sheet, raw), line, problem=wrong)
                    continue
                yield _row(raw, places, "opt", sheet, line, url, fields)
        for file in automatic:
            for line, fields in read_table(file, "\t"):
                wrong = rows.wrong_columns(fields, _AUTOMATIC_COLUMNS)
                if wrong:
                    yield Row("noisy", rows.relative(file, raw), line, problem=wrong)
                    continue
                values = [fields[number + 1] for number in _NUMBERS]
                yield _row(raw, places, "noisy", file, line, fields[0], values)

    return RawSet(
        name="emotionet",
        aus=au_names.EMOTIONET,
        crops=("closeup", "wide"),
        files=(*sheets, *automatic),
        rows=read_rows,
        description="EmotioNet: manual labels (opt) and automatic labels (noisy), 23 AUs.",
    )


def _find(raw: Path, pattern: str) -> list[Path]:
    return sorted(raw.glob(pattern)) or sorted(raw.glob(f"*/{pattern}"))


def _image_folders(raw: Path) -> list[tuple[Path, bool]]:
    """The folders of the images, and whether each image lies in a folder `N_...` of its own."""
    places = []
    inside = (p for p in raw.iterdir() if p.is_dir() and not _FOLDER.fullmatch(p.name))
    for place in (raw, *sorted(inside)):
        nested = next((p for p in place.glob("N_*") if p.is_dir()), None)
        flat = next((p for p in place.glob("N_*") if _NAME.match(p.name)), None)
        places += [(place, True)] * bool(nested) + [(place, False)] * bool(flat)
    if not places:
        raise UserError(
            f"--raw={raw} holds no images; put them there or in a folder there, as "
            "N_0000000001/N_0000000001_00001.jpg or flat as N_0000000001_00001.jpg"
        )
    return places


def _row(raw, places, split, file, line, url: str, values: list[str]) -> Row:
    name = _NAME.search(url.strip("'\" "))
    where = rows.relative(file, raw)
    if name is None:
        reason = f"the URL '{url[:80]}' does not end in an image's name"
        return Row(split, where, line, problem=Problem("bad row", reason))
    labels, problem = rows.decode(values, [f"AU {n}" for n in _NUMBERS], _CODES)
    candidates = [
        place / name[2] / name[1] if nested else place / name[1] for place, nested in places
    ]
    image = candidates[0]
    if len(candidates) > 1:
        image = next((path for path in candidates if path.exists()), candidates[0])
    return Row(
        split,
        where,
        line,
        image=rows.relative(image, raw),
        labels=labels,
        subject=name[2],
        problem=problem,
    )


def _sheet_rows(path: Path) -> Generator[tuple[int, str, list[str], Problem | None], None, None]:
    """Line, URL and the 23 codes of every row of the manual sheet, by the names in its header.

    A row of another length than the header has a problem in their place; a workbook leaves empty
    cells at a row's end out.
    """
    has_labels = False
    with _open_sheets(path) as sheets:
        for lines in sheets:
            header = [cell.strip("'\" ") for cell in next(lines, (0, []))[1]]
            if "URL" not in header and len(sheets) > 1:
                continue  # older workbooks have sheets of notes beside those of labels
            has_labels = True
            at = _columns(path, header)
            for line, fields in lines:
                if path.suffix != ".csv":
                    fields = fields + [""] * (len(header) - len(fields))
                wrong = rows.wrong_columns(fields, len(header))
                url, *codes = ("", "") if wrong else (fields[i].strip("'\" ") for i in at)
                yield line, url, codes, wrong
    if not has_labels:
        raise UserError(f"{path} has no sheet with a column 'URL' in its first line")


def _columns(path: Path, header: list[str]) -> list[int]:
    """Where the URL and the 23 AUs stand."""
    wanted = ["URL", *(f"AU {number}" for number in _NUMBERS)]
    missing = [name for name in wanted if name not in header]
    if missing:
        raise UserError(
            f"{path} lacks the column '{missing[0]}' in its first line; give the sheet as the "
            "EmotioNet team delivers it"
        )
    twice = [name for name in wanted if header.count(name) > 1]
    if twice:
        raise UserError(f"{path} has the column '{twice[0]}' twice; delete the wrong one")
    return [header.index(name) for name in wanted]


@contextlib.contextmanager
def _open_sheets(path: Path) -> Iterator[list[Iterator[tuple[int, list[str]]]]]:
    """The lines of a .csv file, or of each sheet of a workbook."""
    if path.suffix == ".csv":
        yield [read_table(path)]
        return
    import openpyxl

    def damaged(error: Exception) -> UserError:
        return UserError(f"{path} cannot be read as .xlsx ({error}); download it again")

    def lines(sheet) -> Iterator[tuple[int, list[str]]]:
        rows_of_sheet = enumerate(sheet.iter_rows(values_only=True), 1)
        while True:
            try:
                line, cells = next(rows_of_sheet)
            except StopIteration:
                return
            except Exception as error:
                raise damaged(error) from error
            fields = ["" if cell is None else str(cell).strip() for cell in cells]
            if any(fields):
                yield line, fields

    try:
        regular_file.size(path)
        with zipfile.ZipFile(path) as packed:
            unpacked = sum(part.file_size for part in packed.infolist())
        if unpacked > _MOST_UNPACKED:
            raise ValueError(f"it unpacks to {unpacked} bytes, which no sheet of labels has")
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # zipfile, XML and openpyxl each raise their own
        raise damaged(error) from error
    with contextlib.closing(book):
        yield [lines(sheet) for sheet in book.worksheets]
