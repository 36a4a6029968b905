"""The tables of the interactive benchmark, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from _curve import curve_tables
from _side_tables import peers_table, times_table
from _tables import (
    SCORES,
    WHERE,
    Record,
    by_set,
    gain,
    largest_loss,
    mean_iou,
    mean_of,
    number,
    pick,
    spread,
    table,
)

__all__ = ["report"]

_MAY_LOSE = 0.02


def report(
    records: Sequence[Record], picture: str = "", has_candidates: bool = False
) -> str:
    """Return all tables; with every candidate where ``has_candidates``."""
    methods = _methods(records, has_candidates)
    strokes = sorted({r["case"]["n_strokes"] for r in records})
    lines = [_head(records), ""]
    for title, score in SCORES.items():
        lines += [f"### Mean over sets, {title}", ""]
        lines += _overview(records, methods, strokes, score)
        lines += ["", f"The same, minus the forest ({title}; ± standard error)", ""]
        lines += [*_gains(records, methods, strokes, score), ""]
    lines += ["### Largest loss against the forest", ""]
    lines += [*_worst(records, methods, strokes), ""]
    lines += [*_losses(records, methods, strokes), ""]
    lines += ["### Score against seconds since the first stroke", ""]
    if picture:
        lines += [f"![Mean IoU against seconds since the first stroke]({picture})", ""]
    lines += [*curve_tables(records, strokes), ""]
    lines += ["### Other programs", "", *peers_table(records, strokes), ""]
    lines += ["### Shown, and how long it took", "", *times_table(records, strokes), ""]
    for title, score in SCORES.items():
        for n in strokes:
            lines += [f"### {n} strokes per class, {title}", ""]
            lines += [*_per_set(pick(records, n), methods, score), ""]
    return "\n".join(lines)


def _head(records: Sequence[Record]) -> str:
    seeds = {r["case"]["seed"] for r in records}
    sets = {r["case"]["set"] for r in records}
    first = records[0]["settings"]
    commits = sorted({r["origin"]["commit"] for r in records})
    return (
        f"{len(sets)} sets, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}, "
        f"{len(records)} cases; images cut to a central window of "
        f"{first['window_px']} px where larger; {first['device']}, {first['threads']} "
        f"CPU thread{'s' if first['threads'] > 1 else ''}; start weights: "
        f"{first['start']}; napari-unet {first['version']} ({', '.join(commits)}). "
        "Cells: mean IoU on the image with the strokes / on another image of the set, "
        "mean over seeds within a set, then over sets; ± is the standard deviation "
        "over seeds of the mean over sets. *Foreground* is the mean over the classes "
        "except the background, which is the first class (value 1) of every set."
    )


def _methods(records: Sequence[Record], has_candidates: bool) -> dict[str, str]:
    """Return the methods to show and their titles."""
    titles: dict[str, str] = {}
    # cases may differ in how long they were fine-tuned
    longest = max(records, key=lambda r: len(r["scores"]))
    for key in longest["scores"]:
        name, _, seconds = key.partition("@")
        if key == "forest":
            titles[key] = "forest"
        elif key == "shown@0":
            titles[key] = "instant"
        elif name == "shown":
            titles[key] = f"after {seconds} s"
        elif has_candidates and name.split("+")[0] in ("instant", "fine-tuned"):
            titles[key] = f"({name}, {seconds} s)" if seconds else f"({name})"
    order = sorted(titles, key=lambda key: (titles[key][0] == "(", key != "forest"))
    return {key: titles[key] for key in order}


def _overview(
    records: Sequence[Record], methods: dict[str, str], strokes: list[int], score: Any
) -> list[str]:
    rows = []
    for n in strokes:
        mine = pick(records, n)
        cells = [
            " / ".join(
                number(
                    mean_of(by_set(mine, method, where, score)),
                    spread(mine, method, where, score),
                )
                for where in WHERE
            )
            for method in methods
        ]
        rows.append([str(n), *cells])
    return table(["strokes per class", *methods.values()], rows)


def _gains(
    records: Sequence[Record], methods: dict[str, str], strokes: list[int], score: Any
) -> list[str]:
    others = {m: title for m, title in methods.items() if m != "forest"}
    rows = []
    for n in strokes:
        mine = pick(records, n)
        cells = [
            " / ".join(
                gain(
                    by_set(mine, method, where, score),
                    by_set(mine, "forest", where, score),
                )
                for where in WHERE
            )
            for method in others
        ]
        rows.append([str(n), *cells])
    return table(["strokes per class", *others.values()], rows)


def _worst(
    records: Sequence[Record], methods: dict[str, str], strokes: list[int]
) -> list[str]:
    """Name, for what is shown, the set that is worst in comparison with the forest."""
    shown = {m: title for m, title in methods.items() if m.startswith("shown")}
    rows = []
    for title, score in SCORES.items():
        for n in strokes:
            cells = []
            for method in shown:
                parts = []
                for where in WHERE:
                    name, loss = largest_loss(
                        by_set(pick(records, n), method, where, score),
                        by_set(pick(records, n), "forest", where, score),
                    )
                    lost = f"{name} {loss:+.3f}" if loss < 0 else "none"
                    parts.append(lost if name else "-")
                cells.append(" / ".join(parts))
            rows.append([f"{n}, {title}", *cells])
    return table(["strokes per class", *shown.values()], rows)


def _losses(
    records: Sequence[Record], methods: dict[str, str], strokes: list[int]
) -> list[str]:
    """Name all sets where what is shown is clearly worse than the forest."""
    found = []
    for method in [m for m in methods if m.startswith("shown")]:
        for n in strokes:
            for where in WHERE:
                mine = by_set(pick(records, n), method, where, mean_iou)
                its = by_set(pick(records, n), "forest", where, mean_iou)
                found += [
                    f"- {name}, {where} image, {n} strokes, {methods[method]}: "
                    f"{mine[name] - its[name]:+.3f}"
                    for name in mine
                    if mine[name] < its[name] - _MAY_LOSE
                ]
    if not found:
        return [f"In no set more than {_MAY_LOSE} below the forest (all classes)."]
    return [f"More than {_MAY_LOSE} below the forest (all classes):", "", *found]


def _per_set(
    records: Sequence[Record], methods: dict[str, str], score: Any
) -> list[str]:
    columns = [
        [by_set(records, method, where, score) for where in WHERE] for method in methods
    ]
    rows = [
        [name, *(" / ".join(number(part.get(name)) for part in c) for c in columns)]
        for name in columns[0][0]
    ]
    means = [" / ".join(number(mean_of(part)) for part in c) for c in columns]
    return table(["set", *methods.values()], [*rows, ["**mean**", *means]])
