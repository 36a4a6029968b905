"""Projects that were open lately: a small list in the user's data folder; no Qt."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from napari_unet.core.atomic import replace_file
from napari_unet.errors import NapariUnetError
from napari_unet.jobs import JobEvent
from napari_unet.project import is_project
from napari_unet.widgets._desk import Desk

__all__ = ["N_RECENT", "RecentListed", "list_recent", "note_recent"]

N_RECENT = 5
_FILE = "recent-projects.json"


@dataclass(frozen=True)
class RecentListed(JobEvent):
    """The folders of projects that were open lately, the last one first."""

    folders: tuple[Path, ...]


def list_recent(desk: Desk) -> Generator[JobEvent, None, None]:
    """Say which projects were open lately and are still there."""
    there = [
        folder for folder in _read(desk.place.parent / _FILE) if is_project(folder)
    ]
    yield RecentListed(tuple(there))


def note_recent(desk: Desk) -> Generator[JobEvent, None, None]:
    """Put the project that is open at the top of the list."""
    if desk.project is None or not desk.is_named:
        return
    folder, file = desk.project.folder, desk.place.parent / _FILE
    folders = [folder, *(known for known in _read(file) if known != folder)]
    text = json.dumps([str(known) for known in folders[:N_RECENT]], indent=1)
    with suppress(OSError, NapariUnetError):  # it is a convenience
        file.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    yield from list_recent(desk)


def _read(file: Path) -> list[Path]:
    """Return what is written there; nothing where it cannot be read."""
    try:
        names = json.loads(file.read_text(encoding="utf-8"))
        return [Path(str(name)) for name in list(names)[:N_RECENT]]
    except (OSError, ValueError, TypeError):
        return []
