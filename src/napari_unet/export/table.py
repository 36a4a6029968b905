"""Tables of measurements: columns with a name, a unit and one value per row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import ConfigError

__all__ = ["Column", "Table", "join_tables"]


@dataclass(frozen=True, eq=False)
class Column:
    """One column.

    Attributes
    ----------
    name
        Its heading; the unit is part of it, such as ``"area_um2"``.
    values
        Shape (n_rows,): int64, float64 (NaN: not known) or str.
    unit
        Such as ``"um2"``, ``"px"`` or ``"deg"``; ``""`` for numbers without one.
    meaning
        What it says, in a sentence for people.
    """

    name: str
    values: NDArray[Any]
    unit: str = ""
    meaning: str = ""

    @property
    def is_text(self) -> bool:
        """Whether the values are words."""
        return self.values.dtype.kind not in "iuf"


class Table:
    """Columns of equal length.

    Parameters
    ----------
    columns
        In the order in which people shall read them.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self._places = {column.name: i for i, column in enumerate(self.columns)}
        assert len(self._places) == len(self.columns), "two columns have one name"
        assert len({len(column.values) for column in self.columns}) <= 1

    @property
    def names(self) -> tuple[str, ...]:
        """The headings."""
        return tuple(self._places)

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.columns[0].values) if self.columns else 0

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return the values of a column."""
        return self.columns[self._places[name]].values

    def column(self, name: str) -> Column:
        """Return a column by its heading."""
        return self.columns[self._places[name]]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows in Python's own types."""
        return zip(*(column.values.tolist() for column in self.columns), strict=True)


def join_tables(tables: Sequence[Table]) -> Table:
    """Return one table with the rows of all, one table below the other.

    A column that some of them lack is empty there: NaN, or no word. (Areas in µm² and
    areas in pixels are two columns.)

    Raises
    ------
    ConfigError
        If there is no table.
    """
    if not tables:
        raise ConfigError("there is no table to join: measure an image first")
    if len(tables) == 1:
        return tables[0]
    heads: dict[str, Column] = {}
    for table in tables:
        for column in table.columns:
            heads.setdefault(column.name, column)
    joined = []
    for name, head in heads.items():
        parts = [
            table[name] if name in table else _nothing(table.n_rows, head)
            for table in tables
        ]
        joined.append(Column(name, np.concatenate(parts), head.unit, head.meaning))
    return Table(joined)


def _nothing(n_rows: int, head: Column) -> NDArray[Any]:
    """Return a column without values; whole numbers have no NaN and become floats."""
    return np.full(n_rows, "" if head.is_text else np.nan)
