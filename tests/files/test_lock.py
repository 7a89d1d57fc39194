"""Locks on a folder's work: who holds one is named, and a process that is gone holds nothing."""

import errno
import os
import subprocess
import sys

import pytest

from au_jax.errors import UserError
from au_jax.files import lock

HOLD = """
import os, sys
from pathlib import Path
from au_jax.files import lock
with lock.alone(Path(sys.argv[1]), "works"):
    print(os.getpid(), flush=True)
    sys.stdin.readline()
"""


def test_a_second_process_is_told_who_works_until_that_one_is_killed(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        number = int(other.stdout.readline())
        with (
            pytest.raises(UserError, match=rf"process {number} of .* writes here now; wait for it"),
            lock.alone(path, "writes here"),
        ):
            pass
        other.kill()
    with lock.alone(path, "writes here"):
        assert path.read_text().startswith(f"process {os.getpid()} of ")
    with lock.alone(path, "writes here"):  # and again, after the end of the block
        pass


def test_a_file_system_without_locks_keeps_nobody_out(tmp_path, monkeypatch):
    def without(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", without)
    with lock.alone(tmp_path / "lock", "writes here"), lock.alone(tmp_path / "lock", "too"):
        pass


def test_processes_work_together_but_not_beside_one_that_works_alone(tmp_path):
    path = tmp_path / "lock"
    with (
        lock.together(path, "writes here"),
        lock.together(path, "writes here"),
        pytest.raises(lock.Held, match="writes here now"),
        lock.alone(path, "writes here"),
    ):
        pass
    with (
        lock.alone(path, "writes here"),
        pytest.raises(lock.Held, match="writes here now"),
        lock.together(path, "writes here"),
    ):
        pass


def test_work_is_not_shared_on_a_file_system_without_locks(tmp_path, monkeypatch):
    def without(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", without)
    with (
        pytest.raises(UserError, match="without locks, so that processes cannot share"),
        lock.together(tmp_path / "lock", "writes here"),
    ):
        pass
