"""The exception that a user's mistake raises, what a full disk says, and names as text."""

import errno
import re
from collections.abc import Iterable

# What the system says of a disk, a quota or a size of files that is exhausted.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """A user's mistake: one sentence that names the file, field or flag at fault, and the mend.

    `launch.py` prints the sentence without a stack trace and exits with code 1. It is one line,
    also where it quotes what a library says in several.
    """

    def __init__(self, sentence: str):
        super().__init__(re.sub(r"\s*[\r\n]\s*", " ", sentence))


def unknown(kind: str, name: object, names: Iterable[object]) -> UserError:
    """Returns the error for an unknown `name`, listing the known `names`.

    Args:
      kind: what the name stands for, as a noun ("AU", "split").
      name: the unknown name.
      names: the known names, in the order to list them.
    """
    return UserError(f"unknown {kind} '{name}'; known: {', '.join(map(str, names)) or 'none'}")


def spelled_out(name: str) -> str:
    """`name` with bytes that are no UTF-8, as old file names have them, spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()
