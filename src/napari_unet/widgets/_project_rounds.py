"""Rounds of the open project: keeps models when learning pauses, goes back to one."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_unet.jobs import JobEvent, LearningChanged
from napari_unet.session import Session
from napari_unet.widgets._live import LiveLoop
from napari_unet.widgets._project import ProjectKeeper

if TYPE_CHECKING:
    from napari_unet.project import Project

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
        self._pending: dict[str, tuple[Project, dict[str, Any] | None]] = {}
        self._kept_step = 0
        self.in_use: int | None = None
        """The round that was gone back to; None: what is learned is the newest."""
        self._timer = QTimer(self)
        self._timer.setInterval(KEEP_MS)
        self._timer.timeout.connect(self.keep)

    @property
    def has_news(self) -> bool:
        """Whether anything was learned that no round keeps yet."""
        return self._session.step > self._kept_step

    def begin(self) -> None:
        """Go on where a project that was opened stood: exactly, if that was kept."""
        project = self._keeper.project
        self._kept_step = 0
        if project is None:
            return
        number, newest = project.record.round_in_use, project.rounds.newest
        path = project.model_in_use
        if path is None and newest is not None:
            path = project.rounds.model(newest.number)
        if path is None:
            return
        if number is not None and number in project.rounds:
            self._kept_step, self.in_use = project.rounds.get(number).step, number
        elif newest is not None:
            self._kept_step = newest.step
        self._live.send("load", str(path), True)

    def go_back(self, number: int) -> None:
        """Go on with the model of a round; what it has now is kept before.

        So it does when the project is opened again, until it has learned more.
        """
        project = self._keeper.project
        if project is None:
            return
        self.keep()
        found = project.rounds.get(number)
        self._kept_step = found.step
        self._use(project, number)
        self._live.send("load", str(project.rounds.model(number)))

    def keep(self) -> None:
        """Keep the model as a round, if it has learned since the last one."""
        session, project = self._session, self._keeper.project
        if project is None or not self.has_news:
            return
        self._kept_step = session.step
        self._use(project, None)
        folder = project.path("rounds")
        path = folder / f".pending.{secrets.token_hex(4)}.safetensors"
        self._keeper.write_anew_if_gone()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return  # that the strokes cannot be saved either is said
        facts = {
            "chosen": session.shown,
            "scores": dict(session.scores),
            "step": session.step,
            "seconds": round(session.seconds, 1),
            "n_px": session.n_px,
            "n_strokes": session.n_strokes,
            "n_images": len(project.images),
        }
        self._pending[str(path)] = project, facts
        self._pending[str(project.training_path)] = project, None
        self._live.send_if_running("save", str(path))
        self._live.send_if_running("save", str(project.training_path), True)

    def _use(self, project: Project, number: int | None) -> None:
        """Note which round is gone on from."""
        self.in_use = number
        self._keeper.note(project, round_in_use=number)

    def collect(self) -> None:
        """Make rounds of models that a learner wrote as its last deed."""
        for path, (_, facts) in list(self._pending.items()):
            if facts is not None and Path(path).exists():
                self.take(path)

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
        project, facts = self._pending.pop(path, (None, None))
        if project is None:
            return False
        if facts is not None:
            self._keeper.keep_round(project, Path(path), facts)
        return True
