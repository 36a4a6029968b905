"""Scores of many cases, put together: means over sets, spread over seeds, tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

__all__ = [
    "SCORES",
    "WHERE",
    "Record",
    "by_set",
    "counted",
    "foreground_iou",
    "gain",
    "largest_loss",
    "mean_iou",
    "mean_of",
    "number",
    "pick",
    "spread",
    "table",
]

Record = dict[str, Any]
Score = Callable[[dict[str, float]], float | None]
WHERE = ("same", "other")
_BACKGROUND = "1"


def mean_iou(iou: dict[str, float]) -> float | None:
    """Return the mean over classes; None where the judged image has none of them."""
    return fmean(iou.values()) if iou else None


def foreground_iou(iou: dict[str, float]) -> float | None:
    """Return the mean over classes except the background, which is value 1."""
    return mean_iou({value: x for value, x in iou.items() if value != _BACKGROUND})


SCORES: dict[str, Score] = {"all classes": mean_iou, "foreground": foreground_iou}


def pick(records: Sequence[Record], n_strokes: int) -> list[Record]:
    """Return the cases with so many strokes per class."""
    return [r for r in records if r["case"]["n_strokes"] == n_strokes]


def by_set(
    records: Iterable[Record], key: str, where: str, score: Score
) -> dict[str, float]:
    """Return each set's mean over its cases; sets without a score are left out."""
    found: dict[str, list[float]] = {}
    for record in records:
        value = score(record["scores"].get(key, {}).get(where, {}))
        if value is not None:
            found.setdefault(record["case"]["set"], []).append(value)
    return {name: fmean(values) for name, values in found.items()}


def mean_of(values: dict[str, float]) -> float | None:
    """Return the mean over sets."""
    return fmean(values.values()) if values else None


def spread(
    records: Sequence[Record], key: str, where: str, score: Score
) -> float | None:
    """Return the standard deviation, over seeds, of the mean over sets.

    Only sets that every seed has a score for count: seeds are compared, not sets.
    """
    seeds = {record["case"]["seed"] for record in records}
    parts = [
        by_set((r for r in records if r["case"]["seed"] == seed), key, where, score)
        for seed in sorted(seeds)
    ]
    common = set.intersection(*(set(part) for part in parts)) if parts else set()
    if len(parts) < 2 or not common:
        return None
    return stdev(fmean(part[name] for name in common) for part in parts)


def number(value: float | None, deviation: float | None = None) -> str:
    """Write a score, with its spread where there is one."""
    if value is None:
        return "-"
    return f"{value:.3f}" + ("" if deviation is None else f" ±{deviation:.3f}")


def gain(mine: dict[str, float], its: dict[str, float]) -> str:
    """Write the mean difference over sets and its standard error."""
    gains = [mine[name] - its[name] for name in mine if name in its]
    if not gains:
        return "-"
    error = stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    return f"{fmean(gains):+.3f} ±{error:.3f}"


def largest_loss(mine: dict[str, float], its: dict[str, float]) -> tuple[str, float]:
    """Return the set with the smallest difference, and the difference."""
    gains = {name: mine[name] - its[name] for name in mine if name in its}
    name = min(gains, key=lambda name: gains[name], default="")
    return name, gains.get(name, 0.0)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table, all but the first column to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def counted(records: Sequence[Record]) -> tuple[str, str]:
    """Return what was run, and with which program, for the line above the tables."""
    settings = records[0]["settings"]
    n_sets = len({r["case"]["set"] for r in records})
    n_seeds = len({r["case"]["seed"] for r in records})
    commits = ", ".join(sorted({r["origin"]["commit"] for r in records}))
    return (
        f"{n_sets} sets, {n_seeds} seed{'s' if n_seeds > 1 else ''}, {len(records)} "
        "cases",
        f"start weights: {settings['start']}; napari-unet {settings['version']} "
        f"({commits})",
    )
