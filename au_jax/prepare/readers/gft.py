"""GFT (Girard et al., 2017), delivered as a table of the user's own with ten AU columns.

Its layout on disk could not be verified, so `spreadsheet` reads it. The official train and test
subjects must stand in the table's split column.
"""

from collections.abc import Mapping
from pathlib import Path

from au_jax import aus as au_names
from au_jax.prepare.readers import spreadsheet
from au_jax.prepare.readers.rows import RawSet

_AUS = au_names.names(1, 2, 4, 6, 10, 12, 14, 15, 23, 24)


def read(raw: Path, columns: Mapping[str, str] | None = None) -> RawSet:
    """Opens the table of GFT; see `spreadsheet.read`.

    Raises:
      UserError: the table lacks one of the ten AUs or the column `split`.
    """
    return spreadsheet.read(raw, "gft", columns, aus=_AUS, divided=True)
