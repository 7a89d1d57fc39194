"""Pieces of HTML: text is escaped, and every tag is closed, as in XML."""

from collections.abc import Sequence
from html import escape
from typing import Any

DASH = "\N{EN DASH}"  # an undefined figure


def number(value: float | None) -> str:
    return DASH if value is None else f"{value:.4f}"


def interval(ci: Sequence[float] | None) -> str:
    return DASH if ci is None else f"{ci[0]:.4f} to {ci[1]:.4f}"


def value(value: Any) -> str:
    """A value of a config."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return DASH if value is None or value == "" else str(value)


def cell(content: str, kind: str = "td", attributes: str = "") -> str:
    return f"<{kind}{attributes}>{escape(content)}</{kind}>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, text: Sequence[str] = ()) -> str:
    """A table of plain text; the first column names the row.

    Args:
      text: the heads of the columns that hold words, not figures.
    """
    left = [column == 0 or name in text for column, name in enumerate(head)]
    classes = [' class="words"' if is_left else "" for is_left in left]
    heads = "".join(cell(h, "th", c + ' scope="col"') for h, c in zip(head, classes, strict=True))
    body = []
    for row in rows:
        name = cell(row[0], "th", ' scope="row"')
        rest = "".join(cell(v, "td", c) for v, c in zip(row[1:], classes[1:], strict=True))
        body.append(f"<tr>{name}{rest}</tr>")
    return wide(f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table>")


def wide(html: str) -> str:
    """What may be wider than a phone, scrolled sideways within the page."""
    return f'<div class="wide">{html}</div>'


def folded(title: str, html: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{html}</details>"
