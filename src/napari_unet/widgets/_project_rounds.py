"""Rounds of the open project: keeps models when learning pauses, goes back to one."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer

from napari_unet.jobs import JobEvent, LearningChanged
from napari_unet.session import Session
from napari_unet.widgets._live import LiveLoop
from napari_unet.widgets._project import ProjectKeeper

__all__ = ["ProjectRounds"]

KEEP_MS = 300_000
"""While learning goes on: what a crash may cost of it at most."""


class ProjectRounds(QObject):
    """Asks the learner for its model at the end of a round, and every five minutes."""

    def __init__(
        self,
        keeper: ProjectKeeper,
        live: LiveLoop,
        session: Session,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._keeper, self._live, self._session = keeper, live, session
        self._pending: dict[str, dict[str, Any]] = {}
        self._kept_step = 0
        self._timer = QTimer(self)
        self._timer.setInterval(KEEP_MS)
        self._timer.timeout.connect(self.keep)

    def begin(self) -> None:
        """Go on where a project that was opened stood: exactly, if that was kept."""
        project = self._keeper.project
        self._kept_step = 0
        newest = None if project is None else project.rounds.newest
        if project is None or newest is None:
            return
        if project.training_path.exists():
            self._kept_step = newest.step
            self._live.send("load", str(project.training_path))
        else:
            self.go_back(newest.number)

    def go_back(self, number: int) -> None:
        """Go on with the model of a round; what it has now is kept before."""
        project = self._keeper.project
        if project is None:
            return
        self.keep()
        newest = project.rounds.get(number)
        self._kept_step = newest.step
        self._live.send("load", str(project.rounds.model(number)))

    def keep(self) -> None:
        """Keep the model as a round, if it has learned since the last one."""
        session, project = self._session, self._keeper.project
        if project is None or not session.step or session.step <= self._kept_step:
            return
        self._kept_step = session.step
        folder = project.path("rounds")
        path = folder / f".pending.{secrets.token_hex(4)}.safetensors"
        self._keeper.write_anew_if_gone()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return  # that the strokes cannot be saved either is said
        self._pending[str(path)] = {
            "chosen": session.shown,
            "scores": dict(session.scores),
            "step": session.step,
            "seconds": round(session.seconds, 1),
            "n_px": session.n_px,
            "n_strokes": session.n_strokes,
            "n_images": len(project.images),
        }
        self._live.send_if_running("save", str(path))
        self._live.send_if_running("save", str(project.training_path), True)

    def hear(self, event: JobEvent) -> None:
        """Notice that learning began or paused."""
        if isinstance(event, LearningChanged):
            if event.is_learning:
                self._timer.start()
            else:
                self._timer.stop()
                self.keep()

    def take(self, path: str) -> bool:
        """Make a model that was written a round; False where it is none of ours."""
        project = self._keeper.project
        if project is not None and path == str(project.training_path):
            return True
        facts = self._pending.pop(path, None)
        if facts is None:
            return False
        self._keeper.keep_round(Path(path), facts)
        return True
