"""Atomic files: JSON, text and arrays that are written whole or not at all, and checked when read.

A file is written under another name beside its place and renamed into it, so that a kill or a full
disk leaves the old one as it was, and nobody ever reads half of one.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from au_jax import allowed
from au_jax.errors import UserError
from au_jax.files import file_forms

REDO = "delete the stage's folder to redo it"
# What begins the name of a file that is being written, before it has its own.
_UNFINISHED = ".unfinished-"
# The same in version 0.1.0, where the number was that of the process.
_OLD_UNFINISHED = re.compile(r"\.\d+\..+")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which becomes `path` when the block ends well.

    A file or a folder is made of it; an empty folder may be in its place.

    Raises:
      UserError: the disk is full, or the folder cannot be written.
    """
    # Not by the process's number: those of several hosts may be the same.
    temporary = path.with_name(f"{_UNFINISHED}{secrets.token_hex(4)}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):  # a folder that is not there cannot hold it
            _delete(temporary)


def sweep(folder: Path) -> None:
    """Deletes what killed processes left half-written in a folder and those in it.

    Nothing may be writing there meanwhile. Checkpoints are left to Orbax, and the report, which has
    a lock of its own, to those who write it.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in ("model", "state", "report")]
        for name in files:
            if name.startswith(_UNFINISHED) or _OLD_UNFINISHED.fullmatch(name):
                with contextlib.suppress(OSError):
                    (Path(place) / name).unlink()


def sweep_beside(folder: Path, names: Iterable[str]) -> None:
    """Deletes what killed processes left of files or folders that nobody else is writing.

    Args:
      folder: in which they lie.
      names: of the files or folders when they are whole.
    """
    ends = tuple(f".{name}" for name in names)
    for left in folder.iterdir():
        if left.name.startswith(_UNFINISHED) and left.name.endswith(ends):
            _delete(left)


def try_writing(folder: Path) -> None:
    """Makes a folder unless it is there, and a file in it that is gone at once.

    Raises:
      OSError: one of them cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def reason(error: OSError) -> str:
    """What the system says of a file that could not be used: "Read-only file system"."""
    return error.strerror or str(error)


def make_folder(path: Path, flag: str) -> None:
    """Makes a folder that is to be written, with those that it lies in, unless it is there.

    Args:
      flag: that names it, or the variable.

    Raises:
      UserError: it cannot be made, or a file lies in its place.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{flag} cannot be used: {path}: {reason(error)}; name a folder that can be written"
        ) from error


@contextlib.contextmanager
def locked(
    take: Callable[..., contextlib.AbstractContextManager[None]], path: Path, work: str, *how: bool
) -> Iterator[None]:
    """Holds the lock `take(path, work, *how)`; raises UserError where it cannot be written."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(take(path, work, *how))
        except OSError as error:
            raise UserError(f"cannot write {path}: {reason(error)}") from error
        yield


def write_text(path: Path, text: str) -> None:
    """Writes a text file.

    Raises:
      UserError: see `replacing`.
    """
    with replacing(path) as temporary:
        temporary.write_text(text)


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON.

    Raises:
      UserError: see `replacing`.
    """
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path, form: Any = Any, mend: str = "") -> Any:
    """The content of a JSON file.

    Args:
      form: the annotation that it is checked against, see `file_forms`.
      mend: what to do where it cannot be read; by default what helps with a run's folder.

    Raises:
      UserError: `path` is missing, not JSON, or not of this form.
    """
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{path} is missing; {mend or 'is this the folder of a run?'}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {reason(error)}; {mend or REDO}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); {mend or REDO}") from error
    fault = allowed.fault(value, form)
    if fault:
        raise UserError(f"{path} is damaged, as {fault}; {mend or REDO}")
    return value


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes named arrays as an .npz file, without pickled objects.

    Raises:
      UserError: see `replacing`.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_arrays(path: Path, forms: file_forms.Arrays | None = None) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, by name.

    Args:
      forms: of the arrays, any others being passed over; None for all, unchecked.

    Raises:
      UserError: `path` is missing, damaged, or holds other arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in forms or stored if name in stored}
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; {REDO}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {reason(error)}") from error
    except MemoryError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy each raise their own
        raise UserError(f"{path} is damaged ({error}); {REDO}") from error
    fault = forms and file_forms.fault_of_arrays(arrays, forms)
    if fault:
        raise UserError(f"{path} is damaged, as {fault}; {REDO}")
    return arrays
