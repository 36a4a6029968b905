"""The tables of the interactive benchmark, in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

__all__ = ["put_between_marks", "report"]

Record = dict[str, Any]
_BACKGROUND = "1"
_MARKS = ("<!-- interactive: begin -->", "<!-- interactive: end -->")
_MAY_LOSE = 0.02


def report(records: Sequence[Record], has_candidates: bool = False) -> str:
    """Return all tables; with every candidate where ``has_candidates``."""
    methods = _methods(records, has_candidates)
    strokes = sorted({r["case"]["n_strokes"] for r in records})
    seeds = {r["case"]["seed"] for r in records}
    sets = list(dict.fromkeys(r["case"]["set"] for r in records))
    first = records[0]["settings"]
    lines = [
        f"{len(sets)} sets, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}, "
        f"{len(records)} cases; images cut to a central window of "
        f"{first['window_px']} px where larger; {first['threads']} CPU "
        f"thread{'s' if first['threads'] > 1 else ''}; start weights: "
        f"{first['start']}; napari-unet {first['version']}. Cells: mean IoU on the "
        "image with the strokes / on another image of the set.",
        "",
    ]
    for title, score in (
        ("all classes", _mean_iou),
        ("without the background", _foreground_iou),
    ):
        lines += [f"### Mean over sets, {title}", ""]
        lines += _overview(records, methods, strokes, score)
        lines += ["", f"The same, minus the forest ({title}; ± standard error)", ""]
        lines += _gains(records, methods, strokes, score)
        lines.append("")
    lines += ["### Shown, and how long it took", ""]
    lines += [*_times(records, strokes), "", *_losses(records, methods, strokes), ""]
    for title, score in (
        ("all classes", _mean_iou),
        ("without the background", _foreground_iou),
    ):
        for n in strokes:
            lines += [f"### {n} strokes per class, {title}", ""]
            lines += [*_per_set(records, methods, n, score), ""]
    return "\n".join(lines)


def put_between_marks(path: Path, text: str) -> None:
    """Write the text into a page between its marks, or as a new page."""
    begin, end = _MARKS
    page = path.read_text(encoding="utf-8") if path.exists() else f"{begin}\n{end}\n"
    if begin not in page or end not in page:
        raise SystemExit(f"{path} has no lines '{begin}' and '{end}': add them first")
    head, tail = page.split(begin)[0], page.split(end)[1]
    path.write_text(f"{head}{begin}\n\n{text}\n{end}{tail}", encoding="utf-8")


def _methods(records: Sequence[Record], has_candidates: bool) -> dict[str, str]:
    """Return the methods to show and their titles."""
    titles: dict[str, str] = {}
    for key in records[0]["scores"]:
        name, _, seconds = key.partition("@")
        if key == "forest":
            titles[key] = "forest"
        elif key == "shown@0":
            titles[key] = "instant"
        elif name == "shown":
            titles[key] = f"after {seconds} s"
        elif has_candidates:
            titles[key] = f"({name}, {seconds} s)" if seconds else f"({name})"
    order = sorted(titles, key=lambda key: titles[key].startswith("("))
    return {key: titles[key] for key in order}


def _mean_iou(iou: dict[str, float]) -> float | None:
    return fmean(iou.values()) if iou else None


def _foreground_iou(iou: dict[str, float]) -> float | None:
    return _mean_iou({v: x for v, x in iou.items() if v != _BACKGROUND})


def _by_set(
    records: Sequence[Record],
    n_strokes: int,
    value: Callable[[Record], float | None],
) -> dict[str, float]:
    """Return the mean over cases of each set; sets without a value are left out."""
    found: dict[str, list[float]] = {}
    for record in records:
        if record["case"]["n_strokes"] == n_strokes:
            number = value(record)
            if number is not None:
                found.setdefault(record["case"]["set"], []).append(number)
    return {name: fmean(numbers) for name, numbers in found.items()}


def _scores(
    records: Sequence[Record], method: str, n_strokes: int, score: Any
) -> Iterator[dict[str, float]]:
    """Yield the score by set on the same and on the other image."""
    for where in ("same", "other"):
        yield _by_set(
            records,
            n_strokes,
            lambda r, where=where: score(r["scores"][method].get(where, {})),
        )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _overview(
    records: Sequence[Record], methods: dict[str, str], strokes: list[int], score: Any
) -> list[str]:
    rows = []
    for n in strokes:
        cells = []
        for method in methods:
            pair = _scores(records, method, n, score)
            cells.append(" / ".join(_number(by_set.values()) for by_set in pair))
        rows.append([str(n), *cells])
    return _table(["strokes per class", *methods.values()], rows)


def _number(values: Any) -> str:
    values = list(values)
    return f"{fmean(values):.3f}" if values else "-"


def _gains(
    records: Sequence[Record], methods: dict[str, str], strokes: list[int], score: Any
) -> list[str]:
    rows = []
    for n in strokes:
        forest = list(_scores(records, "forest", n, score))
        cells = []
        for method in [m for m in methods if m != "forest"]:
            parts = []
            for mine, its in zip(
                _scores(records, method, n, score), forest, strict=True
            ):
                gains = [mine[name] - its[name] for name in mine]
                error = stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0
                parts.append(f"{fmean(gains):+.3f} ±{error:.3f}" if gains else "-")
            cells.append(" / ".join(parts))
        rows.append([str(n), *cells])
    titles = [title for method, title in methods.items() if method != "forest"]
    return _table(["strokes per class", *titles], rows)


def _per_set(
    records: Sequence[Record], methods: dict[str, str], n: int, score: Any
) -> list[str]:
    columns = [list(_scores(records, method, n, score)) for method in methods]
    rows = []
    for name in columns[0][0]:
        cells = [
            " / ".join(
                f"{by_set[name]:.3f}" if name in by_set else "-" for by_set in pair
            )
            for pair in columns
        ]
        rows.append([name, *cells])
    means = [" / ".join(_number(by_set.values()) for by_set in p) for p in columns]
    return _table(["set", *methods.values()], [*rows, ["**mean**", *means]])


def _times(records: Sequence[Record], strokes: list[int]) -> list[str]:
    """Say how long the first labels took and which candidates were shown."""
    rows = []
    for n in strokes:
        mine = [r for r in records if r["case"]["n_strokes"] == n]
        overlay = [r["overlay_s"] for r in mine]
        labels = [r["labels_s"] for r in mine]
        shown = [
            f"{at} s: "
            + ", ".join(f"{name} {count}" for name, count in counts.most_common())
            for at in mine[0]["shown"]
            for counts in [Counter(r["shown"][at] for r in mine)]
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
    return _table([*header, "steps", "candidates shown (cases)"], rows)


def _losses(
    records: Sequence[Record], methods: dict[str, str], strokes: list[int]
) -> list[str]:
    """Name the sets where what is shown is clearly worse than the forest."""
    found = []
    for method in [m for m in methods if m.startswith("shown")]:
        for n in strokes:
            pairs = zip(
                ("same", "other"),
                _scores(records, method, n, _mean_iou),
                _scores(records, "forest", n, _mean_iou),
                strict=True,
            )
            found += [
                f"- {name}, {where} image, {n} strokes, {methods[method]}: "
                f"{mine[name] - its[name]:+.3f}"
                for where, mine, its in pairs
                for name in mine
                if mine[name] < its[name] - _MAY_LOSE
            ]
    if not found:
        return [f"In no set more than {_MAY_LOSE} below the forest."]
    return [f"More than {_MAY_LOSE} below the forest:", "", *found]
