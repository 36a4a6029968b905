"""Which labels of two images meet, and on how many pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Contingency", "contingency"]


@dataclass(frozen=True)
class Contingency:
    """A sparse contingency table: only the pairs of labels that occur.

    Labels are numbered in the order in which they first appear (last axis fastest), so
    that nothing depends on which label an object happens to carry.

    Parameters
    ----------
    row_labels, column_labels : numpy.ndarray
        (n_rows,) and (n_columns,): the labels of the two images, each once.
    rows, columns : numpy.ndarray
        (n_pairs,), int64: indices into them.
    n_px : numpy.ndarray
        (n_pairs,), int64: pixels that the two labels share, at least 1.
    """

    row_labels: np.ndarray
    column_labels: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    n_px: np.ndarray


def contingency(first: np.ndarray, second: np.ndarray) -> Contingency:
    """Count the pixels of every pair of labels of two arrays of the same shape.

    Label images hold long runs of one label. Only the runs are sorted, not the pixels:
    some 20 times less work and memory, and labels may be of any size.
    """
    first, second = first.ravel(), second.ravel()
    is_start = np.ones(first.size, dtype=bool)
    if first.size:
        np.not_equal(first[1:], first[:-1], out=is_start[1:])
        is_start[1:] |= second[1:] != second[:-1]
    starts = np.flatnonzero(is_start)
    lengths = np.diff(starts, append=first.size)
    row_labels, rows = _numbered(first[starts])
    column_labels, columns = _numbered(second[starts])
    pairs, run_pairs = np.unique(
        rows * len(column_labels) + columns, return_inverse=True
    )
    n_px = np.zeros(len(pairs), dtype=np.int64)
    np.add.at(n_px, run_pairs, lengths)
    n_columns = max(len(column_labels), 1)
    return Contingency(
        row_labels, column_labels, pairs // n_columns, pairs % n_columns, n_px
    )


def _numbered(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels in the order of their first appearance, and where each is."""
    unique, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return unique[order], rank[inverse]
