"""Tables beside the scores: other programs, times, candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from _tables import SCORES, WHERE, Record, by_set, mean_of, number, pick, table
from peers import TITLES

__all__ = ["peers_table", "times_table"]


def peers_table(records: Sequence[Record], strokes: list[int]) -> list[str]:
    """Compare with other programs, on the cases that all of them were asked."""
    present = [name for name in TITLES if any(name in r["scores"] for r in records)]
    lines = [f"{TITLES[n]}: not installed." for n in TITLES if n not in present]
    mine = [r for r in records if all(name in r["scores"] for name in present)]
    if not present or not mine:
        return lines
    versions = ", ".join(mine[0][name]["package"] for name in present)
    lines += [f"{len(mine)} cases, the same strokes and scores; {versions}.", ""]
    titles = {"forest": "forest", "shown@0": "instant"}
    titles |= {name: TITLES[name] for name in present}
    rows = []
    for title, score in SCORES.items():
        for n in strokes:
            cells = [
                " / ".join(
                    number(mean_of(by_set(pick(mine, n), key, where, score)))
                    for where in WHERE
                )
                for key in titles
            ]
            rows.append([f"{n}, {title}", *cells])
    seconds = [median(r["ready_s"][key] for r in mine) for key in titles]
    rows.append(["seconds (median)", *(f"{second:.2f}" for second in seconds)])
    return [*lines, *table(["strokes per class", *titles.values()], rows)]


def times_table(records: Sequence[Record], strokes: list[int]) -> list[str]:
    """Say how long the first labels took and which candidates were shown."""
    rows = []
    for n in strokes:
        mine = pick(records, n)
        overlay = [r["overlay_s"] for r in mine]
        labels = [r["labels_s"] for r in mine]
        shown = [
            f"{at} s: "
            + ", ".join(f"{name} {count}" for name, count in counts.most_common())
            for at in max((r["shown"] for r in mine), key=len)
            for counts in [Counter(r["shown"][at] for r in mine if at in r["shown"])]
        ]
        rows.append(
            [
                str(n),
                f"{median(r['n_px'] for r in mine):.0f}",
                f"{median(overlay):.2f} s (at most {max(overlay):.2f})",
                f"{median(labels):.2f} s (at most {max(labels):.2f})",
                f"{median(r['n_steps'] for r in mine):.0f}",
                "; ".join(shown),
            ]
        )
    header = ["strokes per class", "annotated px", "first overlay", "first `predict`"]
    return table([*header, "steps", "candidates shown (cases)"], rows)
