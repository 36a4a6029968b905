"""The tables of the paper benchmark, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

from _paper_data import REGION_PX, SETS
from _paper_published import published_table
from _paper_scores import MEASURES
from _paper_titles import OURS_TITLES, PEER_TITLES
from _tables import Record, number, table

__all__ = ["best_peer", "report", "rows_of", "values_of"]

Row = tuple[str, str]
"""A method, and what of it is measured: 'shown' or its 'network' alone."""
_HEADLINE: Row = ("compact", "shown")
_SMALL_IS_GOOD = ("warping_error", "pixel_error")


def report(lines: Sequence[Record], picture: str = "") -> str:
    """Return all tables."""
    full = [line for line in lines if line["case"]["fraction"] >= 1]
    parts = [_head(lines), ""]
    if full:
        parts += ["### Fully annotated: who is ahead", "", *_ahead(full), ""]
        for name in [name for name in SETS if name in _sets(full)]:
            mine = [line for line in full if line["case"]["set"] == name]
            parts += [f"### {SETS[name].title} ({name})", "", *_of_set(mine), ""]
    if any(line["case"]["fraction"] < 1 for line in lines):
        parts += ["### With a part of the annotation", ""]
        if picture:
            parts += [f"![Measure against the annotated part]({picture})", ""]
        parts += [*_fractions(lines), ""]
    parts += ["### What it took", "", *_cost(lines), ""]
    parts += ["### Published figures", "", *published_table(), ""]
    return "\n".join(parts)


def rows_of(lines: Sequence[Record]) -> dict[Row, str]:
    """Return what there are figures of, and the titles, ours first."""
    found = {line["part"] for line in lines}
    rows = {}
    for name, title in OURS_TITLES.items():
        if name in found:
            rows[name, "shown"] = f"{title}: shown"
            rows[name, "network"] = f"{title}: the network alone"
    for name, title in PEER_TITLES.items():
        if name in found:
            rows[name, "network"] = title
    return rows


def values_of(
    lines: Sequence[Record], name: str, row: Row, measure: str, fraction: float = 1.0
) -> list[float]:
    """Return one value for each seed, as it was last measured."""
    by_seed = {
        line["case"]["seed"]: line["scores"][row[1]][measure]
        for line in lines
        if (line["case"]["set"], line["part"]) == (name, row[0])
        and line["case"]["fraction"] == fraction
    }
    return list(by_seed.values())


def best_peer(lines: Sequence[Record], name: str, fraction: float = 1.0) -> Row | None:
    """Return the peer with the best mean of the set's measure; None without any."""
    measure = SETS[name].measure
    means = {
        (peer, "network"): fmean(values)
        for peer in PEER_TITLES
        if (values := values_of(lines, name, (peer, "network"), measure, fraction))
    }
    return max(means, key=lambda row: means[row], default=None)


def _head(lines: Sequence[Record]) -> str:
    first = lines[0]["settings"]
    seeds = sorted({line["case"]["seed"] for line in lines})
    commits = ", ".join(sorted({line["origin"]["commit"] for line in lines}))
    packages = ", ".join(sorted({x["package"] for x in lines if "package" in x}))
    absent = [title for name, title in PEER_TITLES.items() if not _has(lines, name)]
    missing = f" Not run: {'; '.join(absent)}." if absent else ""
    return (
        f"Trained on one half of each set, measured on the rest; "
        f"{first['budget_mpx']:g} million training pixels each (steps x patches x "
        f"output pixels) unless the table of costs says otherwise; {first['device']}, "
        f"{first['threads']} CPU thread{'s' if first['threads'] > 1 else ''}; "
        f"{_count(len(seeds), 'seed')} ({', '.join(map(str, seeds))}); ± is the "
        f"standard deviation over seeds. napari-unet {first['version']} ({commits}); "
        f"{packages or 'no other library'}.{missing} The bundled weights were trained "
        "on other images of three of these kinds (BBBC039, DSB 2018, glioblastoma), "
        "which no peer has seen; of HeLa cells they have seen none, of EM only other "
        "tissue in other microscopes. *Shown* is what "
        "`predict` gives: the gate's choice among network, instant stage and forest."
    )


def _ahead(lines: Sequence[Record]) -> list[str]:
    """Compare what the program shows with the best peer, in each set's own measure."""
    rows, n_ahead, n_compared = [], 0, 0
    for name in [name for name in SETS if name in _sets(lines)]:
        measure = SETS[name].measure
        mine = values_of(lines, name, _HEADLINE, measure)
        peer = best_peer(lines, name)
        its = values_of(lines, name, peer, measure) if peer else []
        difference = fmean(mine) - fmean(its) if mine and its else None
        n_compared += difference is not None
        n_ahead += difference is not None and difference > 0
        rows.append(
            [
                SETS[name].title,
                _measure_title(name, measure, lines),
                _cell(measure, mine),
                f"{PEER_TITLES[peer[0]]}: {_cell(measure, its)}" if peer else "-",
                "-" if difference is None else f"{difference:+.3f}",
            ]
        )
    header = ["set", "measure", OURS_TITLES["compact"], "best peer", "difference"]
    return [
        *table(header, rows),
        "",
        f"Ahead of every peer on {n_ahead} of {_count(n_compared, 'set')} compared. "
        "One measure per set was chosen before any run; the best peer is the one that "
        "tested best, which is in the peers' favour.",
    ]


def _of_set(lines: Sequence[Record]) -> list[str]:
    name, measures = lines[0]["case"]["set"], MEASURES[lines[0]["kind"]]
    rows = [
        [title, *(_cell(m, values_of(lines, name, row, m)) for m in measures)]
        for row, title in rows_of(lines).items()
    ]
    halves = (
        f"Trained on {_count(len(lines[0]['train']), 'image')} "
        f"({', '.join(lines[0]['train'])}), measured on "
        f"{_count(len(lines[0]['test']), 'image')} ({', '.join(lines[0]['test'])})."
    )
    return [*table(["method", *measures.values()], rows), "", halves]


def _fractions(lines: Sequence[Record]) -> list[str]:
    fractions = sorted({line["case"]["fraction"] for line in lines})
    partial = [line for line in lines if line["case"]["fraction"] < 1]
    rows = []
    for name in [name for name in SETS if name in _sets(partial)]:
        measure = SETS[name].measure
        mine = [line for line in partial if line["case"]["set"] == name]
        for row, title in rows_of(mine).items():
            cells = [
                _cell(measure, values_of(lines, name, row, measure, fraction))
                for fraction in fractions
            ]
            rows.append([SETS[name].title, title, *cells])
    header = ["set (its own measure)", "method", *(f"{f:.0%}" for f in fractions)]
    return [
        *table(header, rows),
        "",
        f"A part is squares of {REGION_PX} px of the training half, completely "
        "annotated, drawn by the seed; smaller parts lie in larger ones.",
    ]


def _cost(lines: Sequence[Record]) -> list[str]:
    titles = OURS_TITLES | PEER_TITLES
    rows = []
    for name in [name for name in titles if _has(lines, name)]:
        mine = [line for line in lines if line["part"] == name]
        steps = sorted({(x["n_steps"], x["batch"], x["patch_px"]) for x in mine})
        shape = "; ".join(f"{n} x {batch} x {px}² px" for n, batch, px in steps)
        chosen = sorted({x["chosen"] for x in mine if "chosen" in x})
        rows.append(
            [
                titles[name],
                shape,
                f"{fmean(x['mpx'] for x in mine):.1f}",
                f"{fmean(x['train_s'] for x in mine):.0f}",
                f"{fmean(x['train_cpu_s'] for x in mine):.0f}",
                f"{fmean(x['test_s'] for x in mine):.0f}",
                ", ".join(chosen) or "-",
            ]
        )
    header = [
        "method",
        "steps",
        "Mpx",
        "training (s)",
        "CPU (s)",
        "testing (s)",
        "shown",
    ]
    return [
        *table(header, rows),
        "",
        "Seconds are means over cases. *CPU*: of the processor, in training, which "
        "other work on the machine does not lengthen. Ours include the instant stage "
        "and the gate's scoring, and testing twice where what is shown is not the "
        "network alone.",
    ]


def _measure_title(name: str, measure: str, lines: Sequence[Record]) -> str:
    kind = next(line["kind"] for line in lines if line["case"]["set"] == name)
    return MEASURES[kind][measure]


def _cell(measure: str, values: Sequence[float]) -> str:
    if not values:
        return "-"
    spread = stdev(values) if len(values) > 1 else None
    if measure not in _SMALL_IS_GOOD:
        return number(fmean(values), spread)
    return f"{fmean(values):.5f}" + ("" if spread is None else f" ±{spread:.5f}")


def _sets(lines: Sequence[Record]) -> set[str]:
    return {line["case"]["set"] for line in lines}


def _has(lines: Sequence[Record], method: str) -> bool:
    return any(line["part"] == method for line in lines)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")
