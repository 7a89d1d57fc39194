"""Writes the report of a run, by one process at a time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax

from au_jax import log, sharding
from au_jax.files import atomic_files, file_forms, lock
from au_jax.report import results, whole
from au_jax.run_dir import RunFolder


def report(workdir: Path) -> None:
    """`--mode=report`: the report of a run from what its stages left.

    Raises:
      UserError: there is no run, a file of it is damaged, or the report cannot be written.
    """
    folder = RunFolder(workdir)
    atomic_files.read_json(folder.config, file_forms.Order)
    write(folder)
    log.say(f"the report is {folder.report / 'index.html'}")


def write(folder: RunFolder, anew: bool = True) -> None:
    """Writes the report; other processes wait, as one that has ended is taken to be lost.

    Args:
      anew: whether to write it where it is whole, too.
    """
    if jax.process_index() == 0:
        atomic_files.make_folder(folder.report, f"--workdir={folder.path}")
        with locked(folder):
            if anew or not whole.is_whole(folder.report):
                atomic_files.sweep(folder.report)
                results.write(folder)
    sharding.barrier("the report is written")


@contextlib.contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Keeps others from writing the report or marking it as outdated; waits until none does."""
    with atomic_files.locked(lock.alone, folder.report_lock, "writes the report", True):
        yield
