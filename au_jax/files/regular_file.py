"""Regular files, which can be read to an end: no named pipes, devices, sockets or folders."""

import errno
import stat
from pathlib import Path


def size(path: Path) -> int:
    """The bytes of the file, which has to be a regular one: opening a pipe waits for ever.

    Raises:
      OSError: it is not there, or something else than a file.
      ValueError: `path` cannot be a file's name.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        what = "it is a folder, a named pipe or a device, and no file"
        raise OSError(errno.EINVAL, what, str(path))
    return state.st_size
