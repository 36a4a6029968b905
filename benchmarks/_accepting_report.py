"""The tables of the accepting benchmark, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from _accepting import ARMS, N_BEFORE
from _tables import (
    WHERE,
    Record,
    by_set,
    counted,
    gain,
    largest_loss,
    mean_iou,
    mean_of,
    number,
    spread,
    table,
)

__all__ = ["report"]

_NAMES = {
    "none": "nothing",
    "objects": "objects that are right",
    "plane": "the plane, errors too",
    "above": "what is surer than 0.90",
}


def report(records: Sequence[Record]) -> str:
    """Return all tables."""
    settings = records[0]["settings"]
    last = N_BEFORE + settings["n_rounds"]
    keys = [f"{N_BEFORE}", f"{N_BEFORE}+"]
    keys += [f"{n}" for n in range(N_BEFORE + 1, last + 1)]
    header = ["before", "after", *(f"round {n}" for n in keys[2:])]
    if settings["steps"]:
        keys, header = [*keys, "tuned"], [*header, f"{settings['steps']} steps"]
    lines = [_head(records), "", "Mean IoU over all classes", ""]
    lines += [*table(["accepted", *header], _scores(records, keys)), ""]
    lines += [f"Against accepting nothing, after round {last}", ""]
    head = ["accepted", "wrong pixels", "gain, ± standard error", "worst set"]
    lines += [*table(head, _gains(records, f"{last}")), ""]
    lines += [f"Shown beside true IoU of the painted image, after round {last}", ""]
    head = ["accepted", "shown", "true", "shown minus true", "largest of a case"]
    return "\n".join([*lines, *table(head, _held_out(records, f"{last}")), ""])


def _scores(records: Sequence[Record], keys: Sequence[str]) -> list[list[str]]:
    return [
        [
            _NAMES[arm],
            *(
                " / ".join(
                    number(
                        mean_of(by_set(records, f"{arm}@{key}", where, mean_iou)),
                        spread(records, f"{arm}@{key}", where, mean_iou),
                    )
                    for where in WHERE
                )
                for key in keys
            ),
        ]
        for arm in ARMS
    ]


def _gains(records: Sequence[Record], last: str) -> list[list[str]]:
    """Compare each arm with accepting nothing, on both images."""
    rows = []
    for arm in ARMS[1:]:
        pairs = [
            [by_set(records, f"{a}@{last}", where, mean_iou) for a in (arm, "none")]
            for where in WHERE
        ]
        worst = [largest_loss(*pair) for pair in pairs]
        n_px = sum(r[arm]["n_accepted_px"] for r in records)
        n_wrong = sum(r[arm]["n_wrong_px"] for r in records)
        rows.append(
            [
                _NAMES[arm],
                f"{n_wrong / max(n_px, 1):.1%}",
                " / ".join(gain(*pair) for pair in pairs),
                " / ".join(f"{name} {loss:+.3f}" for name, loss in worst),
            ]
        )
    return rows


def _held_out(records: Sequence[Record], last: str) -> list[list[str]]:
    """Compare what the dock shows with the truth, where it shows something."""
    rows = []
    for arm in ARMS:
        pairs = []
        for record in records:
            shown = (record if arm == "none" else record[arm])["held_out"][last]
            true = mean_iou(record["scores"][f"{arm}@{last}"]["same"])
            if shown is not None and true is not None:
                pairs.append((shown, true))
        if not pairs:
            rows.append([_NAMES[arm], "-", "-", "-", "-"])
            continue
        rows.append(
            [
                _NAMES[arm],
                *(number(fmean(column)) for column in zip(*pairs, strict=True)),
                f"{fmean(shown - true for shown, true in pairs):+.3f}",
                f"{max(shown - true for shown, true in pairs):+.3f}",
            ]
        )
    return rows


def _head(records: Sequence[Record]) -> str:
    settings = records[0]["settings"]
    cases, program = counted(records)
    return (
        f"{cases}, windows of {settings['window_px']} px; one stroke per class at the "
        f"start, then {settings['n_strokes']} more per round in the largest errors; "
        f"accepted after round {N_BEFORE}; {settings['device']}, {program}. "
        "Cells: on the image with the strokes / on another image of the set, means "
        "over sets; ± is the standard deviation over seeds."
    )
