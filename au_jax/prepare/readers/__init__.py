"""Readers of data sets as their owners deliver them, in one table.

A data set of this package has a module here and a line in `READERS`. A reader of your own needs
neither: name it `module:function`. It takes the raw folder and returns a `rows.RawSet`.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from au_jax import outside
from au_jax.data.datasets import EMBEDDED
from au_jax.errors import UserError, unknown
from au_jax.prepare.readers import (
    affectnet,
    affwild2,
    bp4d,
    disfa,
    emotionet,
    gft,
    people,
    rendered_faces,
    spreadsheet,
)
from au_jax.prepare.readers.rows import RawSet

READERS: dict[str, Callable[..., RawSet]] = {
    "emotionet": emotionet.read,
    "affwild2": affwild2.read,
    "affectnet": affectnet.read,
    "bp4d": bp4d.read,
    "disfa": disfa.read,
    "gft": gft.read,
    "people": people.read,
    rendered_faces.NAME: rendered_faces.read,
    "csv": spreadsheet.read,
}
# Names that data of the user's own cannot have: folds and configs know them.
TAKEN = (EMBEDDED, *(name for name in READERS if name not in ("csv", "people")))


def open_raw(
    dataset: str,
    raw: Path,
    name: str = "",
    columns: Mapping[str, str] | None = None,
    render: Mapping[str, str] | None = None,
) -> RawSet:
    """Opens the raw files of a data set and checks what can be checked without reading them all.

    Args:
      dataset: a key of `READERS`, or `module:function` for a reader of your own.
      raw: the folder they lie in (for "csv" and "gft" also the table itself).
      name: what to call the prepared data set, for readers with an argument `name` ("people" and
        "csv" and "rendered_faces").
      columns: see `spreadsheet.read`, for readers with an argument `columns` ("csv" and "gft").
      render: what to render, see `rendered_faces.read`.

    Raises:
      UserError: the data set is unknown, or its reader finds the folder wrong.
    """
    reader = _reader(dataset)
    given = {"columns": columns, "name": name, "render": render}
    options = {key: value for key, value in given.items() if value}
    for flag in options:
        if flag not in inspect.signature(reader).parameters:
            takers = [key for key, r in READERS.items() if flag in inspect.signature(r).parameters]
            raise UserError(
                f"--{flag} is for --dataset={' or '.join(takers)}; {dataset} has its own"
            )
    if name:
        _check_name(f"--name={name}", name, TAKEN)
    raw_set = reader(raw, **options)
    if not isinstance(raw_set, RawSet):
        raise UserError(
            f"--dataset={dataset} returns no RawSet; au_jax/prepare/readers/rows.py says what it is"
        )
    _check_name(f"the name '{raw_set.name}' of --dataset={dataset}", raw_set.name, (EMBEDDED,))
    return raw_set


def _reader(dataset: str) -> Callable[..., RawSet]:
    if ":" in dataset:
        return outside.resolve("reader", dataset)
    if dataset not in READERS:
        raise unknown("data set", dataset, (*READERS, "module:function"))
    return READERS[dataset]


def _check_name(what: str, name: str, taken: Sequence[str]) -> None:
    """A name becomes a folder's and a TFDS data set's."""
    if not re.fullmatch("[a-z][a-z0-9_]{0,63}", name) or name in taken:
        raise UserError(
            f"{what} cannot be a data set's name; use up to 64 small letters, digits and _, and "
            f"none of {', '.join(taken)}"
        )
