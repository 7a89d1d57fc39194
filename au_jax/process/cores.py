"""Number of CPU cores that this process may use, for its threads and worker processes."""

import os

from au_jax.errors import UserError


def usable() -> int:
    """The cores that the process may run on, which a scheduler such as Slurm may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def as_many(asked: int, field: str) -> int:
    """`asked`, or all usable cores for 0.

    Args:
      field: the flag or field that `asked` comes from.

    Raises:
      UserError: `asked` is below 0.
    """
    if asked < 0:
        raise UserError(f"{field}={asked} is below 0; give a number of cores, or 0 for all")
    return asked or usable()
