"""Errors of threads: a full disk's are told of once, by the main thread; all others are printed."""

import errno
import os
import sys
import threading

import pytest

from au_jax.process import repeated_errors


@pytest.fixture
def printed(monkeypatch, capsys):
    """The function that gives what was printed of errors since its last call."""
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    repeated_errors.pass_over()
    return lambda: capsys.readouterr().err


def in_thread(error):
    def fails():
        raise error

    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()


def unraisable(error):
    class Dying:
        def __del__(self):
            raise error

    Dying()


@pytest.mark.parametrize("raised", [in_thread, unraisable])
def test_a_full_disk_and_what_was_closed_for_it_are_passed_over(printed, raised):
    for error in (
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError("handle is closed"),
        RuntimeError("Event loop is closed"),
    ):
        raised(error)
        assert printed() == ""
    for error in (OSError(errno.EACCES, "no"), RuntimeError("Event loop"), ValueError("wrong")):
        raised(error)
        assert f"{type(error).__name__}: {error}" in printed()
