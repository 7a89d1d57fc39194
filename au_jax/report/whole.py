"""Whether a run's report is whole, and of which files it is made: files.json in its folder.

A report that a kill cut off, or that is older than the stages it reports on, is marked so, and made
again. What an earlier report wrote and this one does not is deleted; files of others stay.
"""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TypedDict

from au_jax.errors import UserError
from au_jax.files import atomic_files


class _Files(TypedDict):
    whole: bool
    names: list[str]


def _read(folder: Path) -> _Files:
    """files.json; of a report without one, as of version 0.1.0, nothing is known."""
    try:
        return atomic_files.read_json(folder / "files.json", _Files)
    except UserError:
        return {"whole": False, "names": []}


def _write(folder: Path, names: Collection[str], whole: bool) -> None:
    atomic_files.write_json(folder / "files.json", {"whole": whole, "names": sorted(names)})


def is_whole(folder: Path) -> bool:
    """Whether all files of a report are there, and are of the stages as they are."""
    files = _read(folder)
    return files["whole"] and all((folder / name).is_file() for name in files["names"])


def mark_outdated(folder: Path) -> None:
    """Says that a report, where there is one, is older than the stages.

    Raises:
      UserError: the folder cannot be written.
    """
    if _read(folder)["whole"]:
        _write(folder, _read(folder)["names"], whole=False)


@contextlib.contextmanager
def replaced(folder: Path, names: Collection[str]) -> Iterator[None]:
    """Marks the report as whole when the block, which writes the files `names`, ends well.

    Raises:
      UserError: the folder cannot be written.
    """
    known = {*_read(folder)["names"], *names}
    _write(folder, known, whole=False)
    yield
    for name in known - set(names):
        if Path(name).name == name:
            (folder / name).unlink(missing_ok=True)
    _write(folder, names, whole=True)
