"""The tables of the guided benchmark, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from _guided import ARMS
from _tables import (
    SCORES,
    WHERE,
    Record,
    by_set,
    counted,
    gain,
    mean_iou,
    mean_of,
    number,
    table,
)
from _tables import spread as deviation

__all__ = ["report"]

_NAMES = {
    "random": "at random places",
    "guided": "where it is least sure",
    "corrective": "in its largest errors",
}


def report(records: Sequence[Record]) -> str:
    """Return all tables."""
    settings = records[0]["settings"]
    rounds = range(settings["n_rounds"] + 1)
    arms = [arm for arm in ARMS if all(f"{arm}@0" in r["scores"] for r in records)]
    n_strokes = [fmean(r["n_random"][k] for r in records) for k in rounds]
    header = [f"round {k} ({n:.1f})" for k, n in zip(rounds, n_strokes, strict=True)]
    lines = [_head(records), ""]
    for title, score in SCORES.items():
        rows = []
        for arm in arms:
            cells = [
                " / ".join(
                    number(
                        mean_of(by_set(records, f"{arm}@{k}", where, score)),
                        deviation(records, f"{arm}@{k}", where, score),
                    )
                    for where in WHERE
                )
                for k in rounds
            ]
            rows.append([_NAMES[arm], *cells])
        for arm in arms[1:]:
            cells = [
                " / ".join(
                    gain(
                        by_set(records, f"{arm}@{k}", where, score),
                        by_set(records, f"random@{k}", where, score),
                    )
                    for where in WHERE
                )
                for k in rounds
            ]
            rows.append([f"{arm} minus random, ± standard error", *cells])
        lines += [f"### Strokes, {title}", ""]
        lines += [*table(["strokes (in all, mean)", *header], rows), ""]
    last = rounds[-1]
    lines += [
        f"### After round {last}, all classes",
        "",
        *_per_set(records, arms, last),
    ]
    return "\n".join([*lines, ""])


def _head(records: Sequence[Record]) -> str:
    settings = records[0]["settings"]
    cases, program = counted(records)
    return (
        f"{cases}, windows of {settings['window_px']} px; one stroke per class at the "
        f"start, then {settings['n_strokes']} more per round; uncertainty: "
        f"{settings['measure']}; no fine-tuning; {settings['device']}, {program}. "
        "Cells: mean IoU on the image with the strokes / on another image of the set, "
        "means over sets; ± is the standard deviation over seeds."
    )


def _per_set(records: Sequence[Record], arms: Sequence[str], last: int) -> list[str]:
    columns = [
        [by_set(records, f"{arm}@{last}", where, mean_iou) for where in WHERE]
        for arm in arms
    ]
    rows = [
        [name, *(" / ".join(number(part.get(name)) for part in c) for c in columns)]
        for name in columns[0][0]
    ]
    return table(["set", *(_NAMES[arm] for arm in arms)], rows)
