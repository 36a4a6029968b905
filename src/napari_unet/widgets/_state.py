"""What the docks of one viewer share: its images, classes, session and live loop.

Keyed by the viewer itself, because napari hands plugins a new proxy each time. The
state survives a closed dock, so that opening it again goes on where it was; its thread
does not.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_unet.config import AnnotationMode, GuidanceConfig, LearnerConfig
from napari_unet.jobs import (
    JobEvent,
)
from napari_unet.session import Session
from napari_unet.widgets._between import Between
from napari_unet.widgets._brush import Brush
from napari_unet.widgets._classes import ClassList
from napari_unet.widgets._corrections import CorrectionsWatch
from napari_unet.widgets._ends import Ends
from napari_unet.widgets._guidance_file import read_guidance
from napari_unet.widgets._guide import Guide
from napari_unet.widgets._images import ImageBook
from napari_unet.widgets._interactions import InteractionLog
from napari_unet.widgets._keys import bind_keys
from napari_unet.widgets._live import JobFactory, LiveLoop, live_job
from napari_unet.widgets._notify import notify
from napari_unet.widgets._objects import ObjectsView
from napari_unet.widgets._overlay import Overlay
from napari_unet.widgets._painting import Painting
from napari_unet.widgets._project import ProjectKeeper
from napari_unet.widgets._project_opener import ImageOpener
from napari_unet.widgets._project_others import OtherImages
from napari_unet.widgets._project_rounds import ProjectRounds
from napari_unet.widgets._project_settings import ProjectSettings
from napari_unet.widgets._proofread import Proofreader
from napari_unet.widgets._reports import Reports
from napari_unet.widgets._stored import StoredImages
from napari_unet.widgets._whole import WholeRequest

__all__ = ["ViewerState", "known_state", "state_of"]

_BUSY = (
    "The learner is still busy and could not be stopped yet; it ends after its current "
    "tile or step."
)

_states: weakref.WeakKeyDictionary[Any, ViewerState] = weakref.WeakKeyDictionary()


def state_of(viewer: Any, make_job: JobFactory = live_job) -> ViewerState:
    """Return the one state of a viewer, or of a proxy of it; made when first asked for.

    ``make_job`` counts only then; tests put a small job in.
    """
    raw = getattr(viewer, "__wrapped__", viewer)
    if raw not in _states:
        _states[raw] = ViewerState(raw, make_job)
    return _states[raw]


def known_state(viewer: Any) -> ViewerState | None:
    """Return the state of a viewer if there is one."""
    return _states.get(getattr(viewer, "__wrapped__", viewer))


class ViewerState(QObject):
    """The shared state, and everything that a button or a key can ask for.

    Signals
    -------
    changed : images, annotation, classes, brush or overlay settings differ
    renewed : the session or the counts have news
    """

    changed = Signal()
    renewed = Signal()

    def __init__(self, viewer: Any, make_job: JobFactory = live_job) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._release_keys: Callable[[], None] | None = None
        self._n_open = 0
        self.session = Session()
        self.whole = WholeRequest(self)
        self.classes = ClassList(self)
        self.book = ImageBook(self.viewer, self)
        self.brush = Brush(self.book, self.classes, self)
        self.overlay = Overlay(self.viewer, self.book, self.classes, self)
        self.objects = ObjectsView(self.book, self.overlay, self)
        self.stored = StoredImages(
            self.viewer, self.book, lambda: self.classes.names, self
        )
        self.painting = Painting(self.book, self.classes, self)
        self.between = Between(self.book, self)
        self.live = LiveLoop(make_job, self)
        self.guide = Guide(self.viewer, self.book, self.live, self)
        self.project = ProjectKeeper(self.book, self.classes, self)
        self.settings = ProjectSettings(self)
        self.ends = Ends(self)
        self.reports = Reports(self)
        self.corrections = CorrectionsWatch(
            self.viewer, self.book, self.session, self.project, self
        )
        self.interactions = InteractionLog(self.book, self.project, self)
        self.rounds = ProjectRounds(self.project, self.live, self.session, self)
        self.others = OtherImages(
            self.project, self.book, self.live, self.classes, self
        )
        self.opener = ImageOpener(
            self.viewer, self.others, self.painting, self.brush, self
        )
        self.proofread = Proofreader(self)
        self._connect()
        self._name_classes()

    def viewer(self) -> Any:
        """Return the viewer itself."""
        return self._viewer()

    def _connect(self) -> None:
        self.book.refused.connect(self.warn)
        self.book.removed.connect(self.reports.take_removed)
        self.book.changed.connect(self._on_book_changed)
        self.book.rechannelled.connect(self.start_over)
        self.painting.refused.connect(self.warn)
        self.painting.failed.connect(self.ends.tell_not_counted)
        self.painting.copied.connect(self.reports.take_copied)
        self.between.told.connect(self.reports.take_told)
        self.between.failed.connect(self.ends.tell_failed)
        self.overlay.viewed.connect(self.live.show)
        self.objects.wanted.connect(self.live.find_objects)
        self.objects.changed.connect(self.session.forget_objects)
        self.objects.changed.connect(self.session.unsay)
        self.live.received.connect(self.apply)
        self.live.rescaled.connect(self.settings.describe)
        self.guide.said.connect(self.reports.take_told)
        self.guide.uncertainty.changed.connect(self.changed)
        self.live.drained.connect(self.renewed)
        self.live.failed.connect(self.ends.tell_failed)
        self.live.ended.connect(self.ends.tell_ended)
        self.live.settings_refused.connect(self.ends.go_on_as_before)
        self.classes.counted.connect(self.changed)
        self.classes.changed.connect(self._name_classes)
        self.project.changed.connect(self.renewed)
        self.corrections.changed.connect(self.renewed)
        self.opener.turned.connect(self.corrections.arrive)
        self.project.leaving.connect(self.rounds.keep)
        self.project.opened.connect(self.settings.take_up)
        for project_part in (self.project, self.others, self.opener):
            project_part.said.connect(self.reports.take_project_said)
        self.others.told.connect(self.reports.take_other_told)
        self.classes.changed.connect(self.settings.describe)
        self.stored.wanted.connect(self.whole.send)
        self.stored.unwanted.connect(self.whole.end)
        self.stored.warned.connect(self.warn)
        parts = self.brush, self.overlay, self.objects, self.classes, self.stored
        for part in parts:
            part.changed.connect(self.changed)

    # --- a dock opens or closes --------------------------------------------------

    def resume(self) -> None:
        """Follow the viewer: the main dock opened."""
        self._n_open += 1
        if self._n_open == 1:
            self.set_guidance(read_guidance())
            self._release_keys = bind_keys(self.viewer(), self)
            self.overlay.listen()
            self.book.listen()
            self.stored.listen()

    def suspend(self) -> None:
        """Stop the job and join its thread: the main dock or the viewer closed."""
        self._n_open = max(0, self._n_open - 1)
        if self._n_open or self._release_keys is None:
            return
        self.painting.take()
        self.painting.stop()
        self.guide.stop()
        self.interactions.stop()
        self.between.stop()
        self.proofread.tool.end()
        self.project.flush()  # strokes first: what follows takes longer
        self.rounds.keep()
        has_ended = self.live.stop()
        self.rounds.collect()
        if not self.project.flush():
            problem = self.project.problem or "the disk does not answer"
            notify(f"Not everything is saved: {problem}")
        self.ends.note()
        self.session.unsay()
        if not has_ended:
            self.session.say(_BUSY, "warning")
            notify(_BUSY)
        release_keys, self._release_keys = self._release_keys, None
        if self.viewer() is not None:
            self.book.deafen()
            self.overlay.deafen()
            self.stored.deafen()
            release_keys()

    @property
    def is_open(self) -> bool:
        """Whether the main dock follows the viewer."""
        return self._n_open > 0

    def end(self) -> None:
        """Stop everything and let go of the project: the viewer closed."""
        self.suspend()
        self.project.shut()

    # --- what a person can ask for -----------------------------------------------

    @property
    def can_learn(self) -> bool:
        """Whether enough is painted to learn from."""
        return self.classes.can_learn and self.live.has_annotations

    @property
    def why_not(self) -> str:
        """What to paint before anything can be learned."""
        if self.mode == "strokes":
            return "Paint strokes of at least two classes first."
        return "Paint an object first, and background or a complete region."

    @property
    def mode(self) -> AnnotationMode:
        """What is painted: strokes of classes, or objects."""
        return self.book.mode

    def set_mode(self, mode: AnnotationMode) -> None:
        """Paint strokes, or objects. Either has layers of its own, and none is lost."""
        if mode == self.mode:
            return
        self.stop()
        self.session.restart()
        self.session.unsay()
        self.stored.restart()
        self.classes.set_mode(mode)
        self.book.set_mode(mode)  # which forgets all images, and then
        self.live.set_mode(mode)  # a learner begins; they are told when copied
        if mode == "objects":
            self.objects.set_on(True)
        self.settings.describe()
        self.renewed.emit()

    def learn(self, on: bool) -> None:
        """Start background learning, or pause it."""
        is_learning = self.session.phase == "learning"
        if on == is_learning or (on and not self.can_learn):
            return
        self.session.want_learning(on)
        if on:
            self.live.send("learn", True)
        else:
            self.live.send_if_running("learn", False)
        self.renewed.emit()

    def toggle_learning(self) -> None:
        """Learn if paused, pause if learning."""
        self.learn(self.session.phase != "learning")

    def update_now(self) -> None:
        """Take the strokes, score, and predict the visible field at once."""
        self.painting.take()
        if self.can_learn:
            self.book.make_prediction()
            self.overlay.look(is_wanted=True)
            self.session.want_update()
            self.live.send("refresh")
            self.renewed.emit()

    def next_uncertain(self) -> None:
        """Go to where the model is least sure, of what is not painted."""
        self.painting.take()
        if self.can_learn:
            self.guide.find_next()
        elif self.book.current is not None:
            self.warn(self.why_not)

    def fill_between(self) -> None:
        """Fill in what lies between the painted planes of the current stack."""
        self.painting.take()
        self.between.fill()

    def predict_all(self) -> None:
        """Predict the whole current image; a large one into a store, or pause that."""
        self.whole.ask()

    def stop(self) -> None:
        """Stop predicting and learning; what was learned stays."""
        self.whole.end()
        self.live.send_if_running("learn", False)
        self.session.stop()
        self.renewed.emit()

    def start_over(self) -> None:
        """Forget what was learned; the strokes stay and are learned from anew."""
        self.whole.end()
        self.live.send_if_running("learn", False)
        self.live.send_if_running("reset")
        self.session.restart()
        if self.live.has_annotations:
            self.session.be_ready()
        self.renewed.emit()

    @property
    def n_scales(self) -> int | None:
        """How many sizes of the image the network is to see; None: the usual."""
        return self.live.n_scales

    def set_scales(self, n_scales: int | None) -> None:
        """Let the network see so many sizes of the image; None: the usual."""
        if n_scales != self.n_scales:
            self.live.set_scales(n_scales)
            self.settings.describe()
            self.renewed.emit()

    @property
    def config(self) -> LearnerConfig:
        """The learner's settings."""
        return self.live.config

    def set_config(self, config: LearnerConfig) -> None:
        """Use other settings; strokes stay, and what was learned begins again."""
        if config != self.live.config:
            self.whole.end()
            self.live.set_config(config)
            self.session.restart()
            if self.live.has_annotations:
                self.session.be_ready()
            self.settings.describe()
            self.changed.emit()
            self.renewed.emit()

    def set_guidance(self, config: GuidanceConfig) -> None:
        """Use other settings of guidance, at once."""
        self.guide.set_config(config)
        self.interactions.set_on(config.log_interactions)
        self.changed.emit()

    def warn(self, sentence: str) -> None:
        """Say one sentence in the dock and as a notification."""
        self.session.say(sentence, "warning")
        notify(sentence)
        self.renewed.emit()

    # --- what the job and the layers report --------------------------------------

    def apply(self, event: JobEvent) -> None:
        """Take one event of the job into layers and session."""
        self.reports.take(event)

    def _name_classes(self) -> None:
        self.live.name_classes(self.classes.names)

    def _on_book_changed(self) -> None:
        self.overlay.dress()
        self.overlay.look_soon()
        self.changed.emit()
