"""The one exception that a user's mistake raises."""


class UserError(Exception):
    """One sentence that names the file, field or flag at fault and the mend.

    `launch.py` prints it without a stack trace and exits with code 1.
    """


def unknown(kind: str, name: object, names: object) -> UserError:
    """Returns the error for an unknown `name`, listing the known `names`.

    Args:
      kind: what the name stands for, as a noun ("AU", "split").
      name: the unknown name.
      names: iterable of the known names, listed in its own order.
    """
    listed = ", ".join(str(n) for n in names)  # type: ignore[attr-defined]
    return UserError(f"unknown {kind} '{name}'; known: {listed}")
