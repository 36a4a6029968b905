"""Tables to CSV and Parquet."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

from napari_unet.core.atomic import replace_file
from napari_unet.errors import FileError
from napari_unet.export.table import Table

__all__ = ["TABLE_SUFFIXES", "check_table_suffix", "write_table"]

TABLE_SUFFIXES = (".csv", ".parquet")
"""What tables can be written to."""


def write_table(path: str | os.PathLike[str], table: Table) -> Path:
    """Write a table; the suffix chooses the format.

    ``.csv`` is UTF-8 with a heading, commas between values and ``.`` for decimals; a
    number that is not known is empty. Every number comes back exactly. ``.parquet``
    also keeps the type of each column, and its unit and meaning as the field's
    metadata. The file appears whole or not at all.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileError
        If the suffix is unknown, pyarrow is missing, the folder is missing or
        read-only, or the disk is full.
    """
    path = Path(path)
    check_table_suffix(path)
    write = _write_parquet if path.suffix.lower() == ".parquet" else _write_csv
    with replace_file(path) as temporary:
        write(temporary, table)
    return path


def check_table_suffix(path: str | os.PathLike[str]) -> None:
    """Raise `FileError` unless `write_table` can write to a file of that suffix."""
    suffix = Path(path).suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise FileError(
            f"{path} has the suffix '{Path(path).suffix}'; tables can be written to "
            ".csv and .parquet"
        )
    if suffix == ".parquet":
        _pyarrow()


def _write_csv(path: Path, table: Table) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.names)
        writer.writerows([_cell(value) for value in row] for row in table.rows())


def _cell(value: Any) -> Any:
    """Return what is written of a value: of a float, the shortest that is exact."""
    return "" if isinstance(value, float) and math.isnan(value) else value


def _write_parquet(path: Path, table: Table) -> None:
    pa, parquet = _pyarrow()
    fields, arrays = [], []
    for column in table.columns:
        kind = (
            pa.string() if column.is_text else pa.from_numpy_dtype(column.values.dtype)
        )
        says = {"unit": column.unit, "description": column.meaning}
        fields.append(pa.field(column.name, kind, metadata=says))
        arrays.append(pa.array(column.values.tolist(), kind))
    units = {column.name: column.unit for column in table.columns if column.unit}
    schema = pa.schema(fields, metadata={"units": json.dumps(units)})
    parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), path)


def _pyarrow() -> tuple[Any, Any]:
    """Import what writes Parquet."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise FileError(
            "to write Parquet, the package pyarrow is needed: pip install "
            '"napari-unet[parquet]", or write the table to .csv'
        ) from error
    return pyarrow, parquet
