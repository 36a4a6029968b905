"""The dock *Project*: its images and how far each is, and its rounds."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_unet.jobs import JobEvent
from napari_unet.project import SUFFIX
from napari_unet.widgets import _desk_events as of_desk
from napari_unet.widgets._docked import Docked
from napari_unet.widgets._open import open_dock
from napari_unet.widgets._parts import fill, line, sync_property, wrapping
from napari_unet.widgets._project_actions import (
    Did,
    add_images,
    change_round,
    delete_round,
    relocate,
    remove_images,
    set_done,
)
from napari_unet.widgets._project_head import ProjectHead, UndoBar
from napari_unet.widgets._project_list import ImageSection
from napari_unet.widgets._project_rows import (
    ImageDetailed,
    ImagesListed,
    RoundsListed,
    detail_image,
    list_images,
    list_rounds,
)
from napari_unet.widgets._project_start import StartSection
from napari_unet.widgets._project_table import RoundSection
from napari_unet.widgets._recent import RecentListed, list_recent, note_recent

__all__ = ["ProjectDock"]

_MAIN = "Interactive segmentation"


class ProjectDock(Docked):
    """Make and open projects, go through their images, go back to earlier rounds.

    Nothing here touches a file: the desk's worker does, and says what it did.

    Parameters
    ----------
    napari_viewer
        The viewer, given by napari because of the parameter's name.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self._keeper = self.state.project
        self._rounds_known: tuple[int, ...] = ()
        state = self.state  # this widget is gone when it is asked for

        def release() -> None:
            if not state.is_open:  # else the main dock does it
                state.end()

        self._release = release
        self.start = StartSection()
        self.head = ProjectHead()
        self.images = ImageSection()
        self.rounds = RoundSection()
        self.undo = UndoBar()
        self.note = wrapping()
        self._fill()
        self._connect()
        self._open()

    def _fill(self) -> None:
        policy = QSizePolicy.Policy  # or napari adds an empty stretch at the bottom
        self.setSizePolicy(policy.Preferred, policy.Expanding)
        self.work = QWidget()
        inner = QVBoxLayout(self.work)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(6)
        fill(inner, self.head)
        inner.addWidget(self.images, 1)
        fill(inner, line(), self.rounds)
        layout = self._column()
        fill(layout, self.start)
        layout.addWidget(self.work, 1)
        fill(layout, self.undo, self.note)
        self._rest = QWidget()  # takes the room below where there is no project
        layout.addWidget(self._rest, 1)

    def _connect(self) -> None:
        for asker in (self.start, self.head):
            asker.make_wanted.connect(self.make_project)
            asker.open_wanted.connect(self.open_project)
        self.head.close_wanted.connect(self._keeper.close)
        images, do = self.images, self._keeper.do
        images.open_wanted.connect(self._open_image)
        images.next_wanted.connect(lambda: self._open_image(None))
        images.add_wanted.connect(lambda paths: do(partial(add_images, paths=paths)))
        images.done_wanted.connect(
            lambda numbers, is_done: do(
                partial(set_done, numbers=numbers, is_done=is_done)
            )
        )
        images.remove_wanted.connect(
            lambda numbers: do(partial(remove_images, numbers=numbers))
        )
        images.found.connect(
            lambda number, path: do(partial(relocate, number=number, path=path))
        )
        rounds = self.rounds
        rounds.back_wanted.connect(self._go_back)
        rounds.delete_wanted.connect(lambda n: do(partial(delete_round, number=n)))
        rounds.pin_wanted.connect(
            lambda n, on: do(partial(change_round, number=n, is_pinned=on))
        )
        rounds.note_wanted.connect(
            lambda n, text: do(partial(change_round, number=n, note=text))
        )

    # --- life -----------------------------------------------------------------------

    def _follow(self) -> None:
        """Follow the project; also when a closed dock is docked again."""
        self._keeper.heard.connect(self._hear)
        self._keeper.changed.connect(self._on_changed)
        self._speakers = (self._keeper, self.state.others, self.state.opener)
        for speaker in self._speakers:
            speaker.said.connect(self.say)
        self.state.changed.connect(self._on_changed)
        self._begin_colours()
        # napari deletes the widget with the window and tells it nothing else
        self.destroyed.connect(self._release)
        self._renew()

    def _unfollow(self) -> None:
        """Follow it no more: the dock was closed with its X."""
        self.destroyed.disconnect(self._release)
        self._keeper.heard.disconnect(self._hear)
        self._keeper.changed.disconnect(self._on_changed)
        for speaker in self._speakers:
            speaker.said.disconnect(self.say)
        self.state.changed.disconnect(self._on_changed)
        self.state.viewer().events.theme.disconnect(self.follow_theme)

    def _coloured(self) -> Iterable[Any]:
        return self.start, self.head, self.images, self.rounds, self.undo

    # --- show -----------------------------------------------------------------------

    def say(self, sentence: str, level: str) -> None:
        """Show one sentence."""
        self.note.setText(sentence)
        sync_property(self.note, "level", level)

    def _renew(self) -> None:
        """Show the project that is open, or that there is none."""
        project = self._keeper.project if self._keeper.is_named else None
        self.start.setVisible(project is None)
        self.work.setVisible(project is not None)
        self._rest.setVisible(project is None)
        self.undo.offer("", None)
        self.images.clear()
        self.rounds.clear()
        self._rounds_known = ()
        if project is None:
            self._keeper.ask(list_recent)
            return
        self.head.show_project(project.record.name, project.folder)
        self._keeper.ask(note_recent)
        self._keeper.do(list_images)
        self._on_changed()

    def _on_changed(self) -> None:
        """Follow what is current, and rounds that were kept meanwhile."""
        project = self._keeper.project
        if project is None or not self._keeper.is_named or not self.state.viewer():
            return
        self.images.show_current(self.state.opener.current)
        known = tuple(kept.number for kept in project.rounds)
        if known != self._rounds_known:
            self._rounds_known = known
            self._keeper.do(list_rounds)

    def _hear(self, event: JobEvent) -> None:
        match event:
            case of_desk.ProjectOpened() | of_desk.ProjectClosed():
                self.say("", "info")
                self._renew()
            case of_desk.Saved():
                self._detail(event.number)
                if event.number not in [row.number for row in self.images.rows]:
                    self._keeper.do(list_images)
            case of_desk.Recognised():
                self._detail(event.number)
            case ImagesListed():
                for number in self.images.show_rows(event.rows):
                    self._detail(number)
            case ImageDetailed():
                self.images.show_detail(event)
            case RoundsListed():
                self.rounds.show_rounds(event)
            case RecentListed():
                self.start.show_recent(event.folders)
            case Did():
                undo = event.undo
                do = None if undo is None else partial(self._keeper.do, undo)
                self.say("", "info")
                self.undo.offer(event.text, do)

    def _detail(self, number: int) -> None:
        if self._keeper.is_named:
            self._keeper.do(partial(detail_image, number=number), is_urgent=False)

    # --- ask ------------------------------------------------------------------------

    def make_project(self, folder: Path) -> None:
        """Make a project in a folder; its name gets the suffix of projects."""
        if not folder.name.endswith(SUFFIX):
            folder = folder.with_name(f"{folder.name}{SUFFIX}")
        self.say(f"Making {folder.name} …", "info")
        self._keeper.create(folder)

    def open_project(self, folder: Path) -> None:
        """Open a project."""
        self.say(f"Opening {folder.name} …", "info")
        self._keeper.open(folder)

    def _open_image(self, number: int | None) -> None:
        """Open an image, or the next one; the main dock follows it."""
        if not self.state.is_open:
            open_dock(self.state.viewer(), _MAIN)
        self.say("", "info")
        if number is None:
            self.state.opener.open_next()
        else:
            self.state.opener.open(number)

    def _go_back(self, number: int) -> None:
        project = self._keeper.project
        if project is None or project.rounds.newest is None:
            return
        rounds = self.state.rounds
        had_news = rounds.has_news and self.state.session.step > 0
        before = rounds.in_use or project.rounds.newest.number

        def undo() -> None:
            newest = project.rounds.newest
            kept = newest.number if had_news and newest is not None else before
            rounds.go_back(kept)
            self.undo.offer(f"Went on with round {kept} again.", None)

        rounds.go_back(number)
        self.undo.offer(f"Went back to round {number}.", undo)
