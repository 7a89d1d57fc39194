"""Text tables, CSV and the like, read line by line with any line ends and any encoding."""

import csv
from collections.abc import Iterator
from pathlib import Path

from au_jax.errors import UserError
from au_jax.files import regular_file


def read_table(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped fields of each line of a text table that is not empty.

    Takes any line ends, a byte-order mark and any encoding (bytes that are not UTF-8 come back as
    surrogates, so that file names survive).

    Raises:
      UserError: the file cannot be read, is no text, or has a quotation mark that does not close on
        its line (which would swallow the rows below it).
    """
    try:
        regular_file.size(path)
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
            for fields in reader:
                fields = [field.strip() for field in fields]
                if any("\0" in field for field in fields):
                    raise csv.Error("it has null characters, as UTF-16 has; save it as UTF-8")
                if any("\n" in field or "\r" in field for field in fields):
                    raise UserError(
                        f"{path}: a quotation mark that opens on a line closes on line "
                        f"{reader.line_num} or never; delete it, or the line break behind it"
                    )
                if any(fields):
                    yield reader.line_num, fields
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path} is not a text table ({error}); deliver it as it came") from error
