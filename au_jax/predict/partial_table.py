"""A table that grows step by step and survives a kill: FILE.partial, beside it FILE.progress.

The progress names the command, how many bytes of the table are whole, and what the work needs to go
on behind them. What stands behind these bytes, such as half a row, is dropped and written again.
"""

import csv
import fcntl
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from au_jax.errors import UserError
from au_jax.files import atomic_files


class _Progress(TypedDict):
    command: Mapping[str, Any]
    bytes: int
    state: Mapping[str, Any]


class PartialTable:
    """The table of one command, in CSV; it has its name only when it is whole.

    Attributes:
      state: what the last whole step kept, None where the work begins.
    """

    def __init__(self, output: Path, command: Mapping[str, Any], header: Sequence[str]):
        """Opens the table, or the part of it that an earlier call left.

        Args:
          output: FILE, the name of the whole table.
          command: {flag or other fact: JSON-able value} that the rows follow from.
          header: the names of the columns.

        Raises:
          UserError: FILE is there, another process writes it, it was begun by another command, or
            the folder cannot be written.
        """
        self._output, self._command = output, dict(command)
        self.path = output.with_name(f"{output.name}.partial")
        self._progress = output.with_name(f"{output.name}.progress")
        self._amended = output.with_name(f"{output.name}.amended")
        if output.exists():
            raise UserError(f"{output} is there already; delete it, or give another --output")
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab")  # noqa: SIM115
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left = (self._progress, self._amended, output)
            atomic_files.sweep_beside(output.parent, [path.name for path in left])
        except BlockingIOError as error:
            raise UserError(f"another process writes {self.path}; wait for it to end") from error
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error
        self.state: dict[str, Any] | None = None
        if self._progress.exists():
            self._go_on()
        else:
            self._file.truncate(0)
            self._write([header])

    def _go_on(self) -> None:
        progress = atomic_files.read_json(
            self._progress, _Progress, f"delete it and {self.path} to begin again"
        )
        for name, value in progress["command"].items():
            if self._command.get(name) != value:
                raise UserError(
                    f"{self.path} was begun with another {name}; give the same command to go on "
                    "with it, delete it and its .progress, or give another --output"
                )
        if os.fstat(self._file.fileno()).st_size < progress["bytes"]:
            raise UserError(f"{self.path} is shorter than it was; delete it and its .progress")
        self._file.truncate(progress["bytes"])
        self.state = progress["state"]

    def append(self, rows: Sequence[Sequence[str]], state: Mapping[str, Any]) -> None:
        """Adds rows, and keeps what the work behind them needs.

        Raises:
          UserError: the disk is full.
        """
        self._write(rows)
        size = os.fstat(self._file.fileno()).st_size
        kept = {"command": self._command, "bytes": size, "state": state}
        atomic_files.write_json(self._progress, kept)

    def _write(self, rows: Sequence[Sequence[str]]) -> None:
        lines = []
        for row in rows:
            # With its usual end of a line the writer quotes every cell that holds a part of one.
            text = io.StringIO()
            csv.writer(text).writerow(row)
            lines.append(text.getvalue().removesuffix("\r\n") + "\n")
        try:
            # A file's name may be no valid text; its odd bytes are then written as \\udcXX.
            self._file.write("".join(lines).encode("utf-8", "backslashreplace"))
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error

    def finish(self, amend: Callable[[Path, Path], None] | None = None) -> None:
        """Gives the whole table its name, turned into Parquet where that ends in .parquet.

        Args:
          amend: (table, new file) -> None, which writes the table anew, such as with more columns.
        """
        self._file.close()
        whole = self.path
        if amend:
            whole = self._amended
            with atomic_files.replacing(whole) as unfinished:
                amend(self.path, unfinished)
        if self._output.suffix == ".parquet":
            from au_jax.predict.parquet import from_csv

            with atomic_files.replacing(self._output) as unfinished:
                from_csv(whole, unfinished)
            whole.unlink()
        else:
            os.replace(whole, self._output)
        self.path.unlink(missing_ok=True)
        self._progress.unlink()
