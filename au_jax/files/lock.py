"""Locks on a folder's work: one process at a time, or several together, until they have ended.

The system lets go of a lock whatever ends its process, a kill among them, so that none is ever
left behind; the file stays, and says who had it last.
"""

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from au_jax.errors import UserError

# What file systems say that have no locks, such as a Lustre mounted without them.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Held(UserError):
    """Another process has the lock; the sentence names it."""


@contextlib.contextmanager
def alone(path: Path, work: str, wait: bool = False) -> Iterator[None]:
    """Keeps other processes out while the block runs, on this machine and, by NFS, on others.

    On a file system without locks nothing is kept out.

    Args:
      path: the file of the lock, in a folder that is there.
      work: what is done, "writes runs/tal".
      wait: whether to wait for the other process to end.

    Raises:
      Held: another process has the lock.
      OSError: the file cannot be written.
    """
    with open(path, "a+") as lock:
        try:
            _hold(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), work)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield


@contextlib.contextmanager
def together(path: Path, work: str) -> Iterator[None]:
    """Lets other processes in that work together, and keeps those out that work `alone`.

    Args:
      path, work: as for `alone`.

    Raises:
      Held: another process has the lock alone.
      UserError: the file system has no locks.
      OSError: the file cannot be written.
    """
    with open(path, "a+") as lock:
        try:
            _hold(lock, fcntl.LOCK_SH | fcntl.LOCK_NB, work)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise UserError(
                f"{path.parent} is on a file system without locks, so that processes cannot share "
                "the work; let one of them work there, or name a folder of another file system"
            ) from error
        yield


def _hold(lock: TextIO, operation: int, work: str) -> None:
    """Takes the lock, and writes who has it into its file."""
    try:
        fcntl.flock(lock, operation)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read(200).strip() or "another process"
        raise Held(f"{holder} {work} now; wait for it to end, or end it") from None
    # Who it is helps only; on a full disk the lock does without.
    with contextlib.suppress(OSError):
        lock.truncate(0)
        lock.write(f"process {os.getpid()} of {socket.gethostname()}")
        lock.flush()
