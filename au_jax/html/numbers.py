"""Numbers and settings as pages print them; a dash stands for what is not defined."""

from collections.abc import Sequence
from typing import Any

DASH = "\N{EN DASH}"


def number(value: float | None) -> str:
    """A score to four decimals."""
    return DASH if value is None else f"{value:.4f}"


def interval(ends: Sequence[float] | None) -> str:
    """The two ends of a confidence interval."""
    return DASH if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"


def setting(value: Any) -> str:
    """The value of a config's field."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return DASH if value is None or value == "" else str(value)
