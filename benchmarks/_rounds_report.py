"""The tables of the corrective benchmark, in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from _tables import (
    SCORES,
    WHERE,
    Record,
    Score,
    by_set,
    counted,
    gain,
    mean_iou,
    mean_of,
    number,
    spread,
    table,
)

__all__ = ["report"]

_METHODS = {
    "corrective": "shown, corrective strokes",
    "random": "shown, random strokes",
    "corrective forest": "forest, the same corrective strokes",
    "random forest": "forest, the same random strokes",
}


def report(records: Sequence[Record]) -> str:
    """Return all tables."""
    settings = records[0]["settings"]
    rounds = range(settings["n_rounds"] + 1)
    n_strokes = [fmean(r["n_strokes"][number] for r in records) for number in rounds]
    header = ["start" if not number else f"round {number}" for number in rounds]
    header = [f"{name} ({n:.1f})" for name, n in zip(header, n_strokes, strict=True)]
    lines = [_head(records), ""]
    for title, score in SCORES.items():
        rows = [
            [name, *(_cell(records, f"{key}@{number}", score) for number in rounds)]
            for key, name in _METHODS.items()
        ]
        rows.append(
            [
                "corrective minus random, ± standard error",
                *(_difference(records, number, score) for number in rounds),
            ]
        )
        lines += [f"### Rounds, {title}", ""]
        lines += [*table(["strokes in all (mean)", *header], rows), ""]
    last = rounds[-1]
    lines += [f"### After round {last}, all classes", "", *_per_set(records, last), ""]
    counts = Counter(r["shown"][f"corrective@{last}"] for r in records)
    shown = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    lines += [f"Shown after round {last} of corrections (cases): {shown}.", ""]
    return "\n".join(lines)


def _head(records: Sequence[Record]) -> str:
    settings = records[0]["settings"]
    cases, program = counted(records)
    seconds = settings["fine_tune_s"]
    tuned = f"{seconds:g} s of fine-tuning per round" if seconds else "no fine-tuning"
    return (
        f"{cases}; one stroke per class at the start, then {settings['n_strokes']} "
        f"more per round; {tuned}; {settings['device']}, {settings['threads']} CPU "
        f"thread{'s' if settings['threads'] > 1 else ''}; {program}. "
        "Cells: mean IoU on the image with the strokes / on another image of the set, "
        "means over sets; ± is the standard deviation over seeds."
    )


def _cell(records: Sequence[Record], key: str, score: Score) -> str:
    return " / ".join(
        number(
            mean_of(by_set(records, key, where, score)),
            spread(records, key, where, score),
        )
        for where in WHERE
    )


def _difference(records: Sequence[Record], at: int, score: Score) -> str:
    return " / ".join(
        gain(
            by_set(records, f"corrective@{at}", where, score),
            by_set(records, f"random@{at}", where, score),
        )
        for where in WHERE
    )


def _per_set(records: Sequence[Record], at: int) -> list[str]:
    columns = [
        [by_set(records, f"{key}@{at}", where, mean_iou) for where in WHERE]
        for key in _METHODS
    ]
    rows = [
        [name, *(" / ".join(number(part.get(name)) for part in c) for c in columns)]
        for name in columns[0][0]
    ]
    return table(["set", *_METHODS.values()], rows)
