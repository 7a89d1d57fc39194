"""Numbers in text files: plain digits, of bounded length, and nothing that only Python reads.

`int` and `float` take "1_000", digits of other scripts, "nan", "1e400" and texts of any length;
what a table means by those is not known, so they are no numbers here.
"""

import re

_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
_REAL = re.compile(r"[+-]?(\d{1,30}\.?\d{0,30}|\.\d{1,30})([eE][+-]?\d{1,2})?", re.ASCII)


def whole(text: str) -> int | None:
    """The number that up to nine digits write, which fits int32; None for any other text."""
    return int(text) if _WHOLE.fullmatch(text) else None


def real(text: str) -> float | None:
    """The finite number that a text such as "-1.5e-3" writes; None for any other text."""
    return float(text) if _REAL.fullmatch(text) else None
