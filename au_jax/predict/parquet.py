"""A finished table turned from CSV into Parquet, a few rows at a time."""

import importlib.util
from pathlib import Path

from au_jax.errors import UserError
from au_jax.predict.rows import COUNTS, MEASURES, TEXTS


def check(output: Path) -> None:
    """Raises UserError where the package that writes Parquet is missing."""
    if importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            f"--output={output} needs the package pyarrow; pip install pyarrow, or write a .csv"
        )


def from_csv(table: Path, output: Path) -> None:
    """Writes the rows of the CSV file `table` to `output`; empty cells become nulls."""
    import pyarrow
    from pyarrow import csv, parquet

    with open(table, encoding="utf-8") as file:
        names = file.readline().strip().split(",")
    types = {
        name: pyarrow.string()
        if name in TEXTS
        else pyarrow.int32()
        if name in COUNTS
        else pyarrow.int8()
        if name.endswith("_c")
        else pyarrow.float64()
        if name in MEASURES
        else pyarrow.float32()
        for name in names
    }
    options = csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    parsing = csv.ParseOptions(newlines_in_values=True)
    with (
        csv.open_csv(table, parse_options=parsing, convert_options=options) as batches,
        parquet.ParquetWriter(output, batches.schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
