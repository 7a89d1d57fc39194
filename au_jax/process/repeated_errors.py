"""Errors in threads of libraries that only repeat a full disk, which the main thread tells of.

TensorStore writes in threads of its own. When a disk is full they print a trace each, beside the
one sentence that the command ends with.
"""

import sys
import threading

from au_jax.errors import NO_ROOM

# What such threads meet when the main one has closed what they work with.
_CLOSED = ("Event loop is closed", "handle is closed")


def pass_over() -> None:
    """Keeps Python from printing echoes; other errors of threads are printed as ever."""
    of_thread, unraisable = threading.excepthook, sys.unraisablehook

    def tell_of_thread(told: threading.ExceptHookArgs) -> None:
        if not _is_echo(told.exc_value):
            of_thread(told)

    def tell_unraisable(told: "sys.UnraisableHookArgs") -> None:
        if not _is_echo(told.exc_value):
            unraisable(told)

    threading.excepthook, sys.unraisablehook = tell_of_thread, tell_unraisable


def _is_echo(error: BaseException | None) -> bool:
    return (isinstance(error, OSError) and error.errno in NO_ROOM) or str(error) in _CLOSED
