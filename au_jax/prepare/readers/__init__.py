"""Readers of data sets as their owners deliver them."""

from collections.abc import Mapping
from pathlib import Path

from au_jax.errors import UserError, unknown
from au_jax.prepare.readers import affectnet, affwild2, bp4d, disfa, emotionet, spreadsheet
from au_jax.prepare.readers.rows import RawSet

_READERS = {
    "emotionet": emotionet.read,
    "affwild2": affwild2.read,
    "affectnet": affectnet.read,
    "bp4d": bp4d.read,
    "disfa": disfa.read,
}
DATASETS = (*_READERS, "csv", "gft")


def open_raw(
    dataset: str, raw: Path, name: str = "", columns: Mapping[str, str] | None = None
) -> RawSet:
    """Opens the raw files of a data set and checks what can be checked without reading them all.

    Args:
      dataset: one of `DATASETS`.
      raw: the folder they lie in (for "csv" and "gft" also the table itself).
      name: for "csv": the name to prepare it under, "csv" if empty.
      columns: for "csv" and "gft": see `spreadsheet.read`.

    Raises:
      UserError: the data set is unknown, or its reader finds the folder wrong.
    """
    if dataset in ("csv", "gft"):
        return spreadsheet.read(raw, name or dataset, columns)
    if dataset not in _READERS:
        raise unknown("data set", dataset, DATASETS)
    if columns or name:
        flag = "--columns" if columns else "--name"
        raise UserError(f"{flag} is for --dataset=csv; {dataset} has its own")
    return _READERS[dataset](raw)
