"""Text tables, CSV and the like, read line by line with any line ends and any encoding."""

import csv
from collections.abc import Iterator
from pathlib import Path

from au_jax.errors import UserError


def read_table(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped fields of each line of a text table that is not empty.

    Takes any line ends, a byte-order mark and any encoding (bytes that are not UTF-8 come back as
    surrogates, so that file names survive).

    Raises:
      UserError: the file cannot be read, or is no text.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
            for fields in reader:
                fields = [field.strip() for field in fields]
                if any(fields):
                    yield reader.line_num, fields
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except csv.Error as error:
        raise UserError(f"{path} is not a text table ({error}); deliver it as it came") from error
