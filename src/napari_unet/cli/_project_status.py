"""``project status``: images, what is painted, rounds, and who works with it."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import print_table, seconds_text, write_json
from napari_unet.cli._options import add_json

if TYPE_CHECKING:
    from napari_unet.annotation.tiled import TiledLabels
    from napari_unet.project import Project, ProjectImage, Round

__all__ = ["add_parser", "painted_px", "print_rounds", "round_facts"]


def add_parser(actions: Any) -> None:
    """Add the command to the parser."""
    parser = actions.add_parser(
        "status",
        help="say what a project holds",
        description="Say what a project holds, also while it is open elsewhere: its "
        "images, what is painted on them, whether their files are found, and the "
        "rounds with their scores.",
        allow_abbrev=False,
    )
    parser.add_argument("project", type=Path, metavar="DIR", help="the project folder")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from napari_unet.project import Project, ProjectLock

    with Project.open(args.project, is_read_only=True) as project:
        painting_s, unsure = _painting_seconds(project), _uncertainty(project)
        facts = {
            "project": project.record.name,
            "folder": project.folder,
            "mode": project.record.mode,
            "classes": {e.value: e.name for e in project.record.classes},
            "open_in": ProjectLock(project.folder).holder(),
            "images": [
                {
                    **_image_facts(project, image, painting_s),
                    "uncertainty": unsure.get(image.number),
                }
                for image in project.images
            ],
            "rounds": [round_facts(round_) for round_ in project.rounds],
        }
        if args.json:
            write_json(facts)
        else:
            _print(project, facts)
    return 0


def _painting_seconds(project: Project) -> dict[int | str, float] | None:
    """Return seconds of painting for each image; None where nobody noted them."""
    from napari_unet.project.notes import INTERACTIONS, read_lines
    from napari_unet.project.work_time import painting_seconds

    return painting_seconds(read_lines(project.folder / INTERACTIONS)) or None


def _uncertainty(project: Project) -> dict[int, float]:
    """Return how unsure the newest prediction of each image is, as far as known."""
    from napari_unet.project import PREDICTIONS
    from napari_unet.project.notes import read_uncertainty

    return read_uncertainty(project.folder / PREDICTIONS)


def painted_px(labels: TiledLabels | None) -> dict[int, int]:
    """Return how many pixels have each value, but for 0."""
    import numpy as np

    counts: Counter[int] = Counter()
    for tile in () if labels is None else labels.tiles.values():
        values, n_px = np.unique(tile[tile > 0], return_counts=True)
        counts.update(dict(zip(values.tolist(), n_px.tolist(), strict=True)))
    return dict(sorted(counts.items()))


def _image_facts(
    project: Project,
    image: ProjectImage,
    painting_s: Mapping[int | str, float] | None,
) -> dict[str, Any]:
    from napari_unet.cli._project_images import file_state

    mode = project.record.mode
    painted = painted_px(project.annotation(image.number, mode))
    facts: dict[str, Any] = {}
    if mode == "objects":  # all of them are the class 2
        facts["n_objects"] = sum(value > 1 for value in painted)
        n_px = sum(n for value, n in painted.items() if value > 1)
        painted = {v: n for v, n in ((1, painted.get(1, 0)), (2, n_px)) if n}
    complete = painted_px(project.complete(image.number, mode))
    if painting_s is not None:
        facts["painting_s"] = round(painting_s.get(image.number, 0.0), 1)
    return {
        "number": image.number,
        "name": image.name,
        "status": image.status,
        "painted_px": painted,
        **facts,
        "complete_px": sum(complete.values()),
        "file": file_state(project, image),
        "path": image.path if image.path is not None else image.absolute_path,
    }


def round_facts(round_: Round) -> dict[str, Any]:
    """Return a round as JSON has it."""
    facts: dict[str, Any] = round_.model_dump(mode="json")
    return {**facts, "mean_iou": round_.mean_iou}


def _print(project: Project, facts: dict[str, Any]) -> None:
    names = facts["classes"]
    classes = ", ".join(f"{value} {name}" for value, name in names.items())
    statuses = Counter(image["status"] for image in facts["images"])
    told = ", ".join(f"{n} {status}" for status, n in statuses.items())
    rows = [
        ("project", f"{facts['project']} ({facts['folder']})"),
        ("paints", facts["mode"]),
        ("classes", classes),
        ("open in", facts["open_in"] or "no program"),
        ("images", f"{len(facts['images'])}{f': {told}' if told else ''}"),
    ]
    for name, text in rows:
        if text:
            print(f"{name:10} {text}")
    if facts["images"]:
        print()
        header = ["image", "name", "status", "painted px", "file"]
        table = [
            [i["number"], i["name"], i["status"], _painted_text(i), i["file"]]
            for i in facts["images"]
        ]
        if any(i["uncertainty"] is not None for i in facts["images"]):
            header.append("unsure")
            for row, i in zip(table, facts["images"], strict=True):
                mean = i["uncertainty"]
                row.append("-" if mean is None else f"{mean:.2f}")
        if any("painting_s" in i for i in facts["images"]):
            header.append("painting")
            for row, i in zip(table, facts["images"], strict=True):
                row.append(f"{i['painting_s'] / 60:.1f} min")
        print_table(header, table)
    if facts["rounds"]:
        print()
        print_rounds(project)


def _painted_text(image: dict[str, Any]) -> str:
    px = image["painted_px"]
    texts = [f"{value}: {n:,}" for value, n in px.items()]
    if image.get("n_objects"):
        texts.append(f"{image['n_objects']} objects")
    if image["complete_px"]:
        texts.append(f"complete: {image['complete_px']:,}")
    return ", ".join(texts) or "-"


def print_rounds(project: Project) -> None:
    """Print the rounds as a table."""
    from napari_unet.jobs import CANDIDATE_NAMES

    best = project.rounds.best
    header = ("round", "time", "uses", "IoU", "px", "images", "trained", "MB", "note")
    rows = []
    for r in project.rounds:
        marks = [r.note, "pinned" * r.is_pinned, "best" * (r == best)]
        rows.append(
            (
                r.number,
                f"{r.time:%Y-%m-%d %H:%M}",
                CANDIDATE_NAMES.get(r.chosen, r.chosen),
                r.mean_iou,
                r.n_px,
                r.n_images,
                f"{r.step} steps, {seconds_text(r.seconds)}",
                r.n_bytes / 1e6,
                ", ".join(filter(None, marks)),
            )
        )
    print_table(header, rows)
