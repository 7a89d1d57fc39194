"""A lock on a folder's work: one process at a time, and none when that process has ended.

The system lets go of the lock whatever ends the process, a kill among them, so that none is ever
left behind; the file stays, and says who had it last.
"""

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from au_jax.errors import UserError

# What file systems say that have no locks, such as a Lustre mounted without them.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def alone(path: Path, work: str, wait: bool = False) -> Iterator[None]:
    """Keeps other processes out while the block runs, on this machine and, by NFS, on others.

    On a file system without locks nothing is kept out.

    Args:
      path: the file of the lock, in a folder that is there.
      work: what is done, "writes runs/tal".
      wait: whether to wait for the other process to end.

    Raises:
      UserError: another process has the lock; the error names it.
      OSError: the file cannot be written.
    """
    with open(path, "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read(200).strip() or "another process"
            raise UserError(f"{holder} {work} now; wait for it to end, or end it") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        # Who it is helps only; on a full disk the lock does without.
        with contextlib.suppress(OSError):
            lock.truncate(0)
            lock.write(f"process {os.getpid()} of {socket.gethostname()}")
            lock.flush()
        yield
