"""The live loop of one viewer: its worker, its inbox, and what must be told again.

A new worker knows nothing. Whoever paints, learns or looks for the first time, or
after an error, starts one here; it is told every annotation and the visible field.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import (
    AnnotationMode,
    InstanceConfig,
    LearnerConfig,
    UncertaintyMeasure,
)
from napari_unet.jobs import (
    AnnotationTaken,
    CancelToken,
    ConfidenceFound,
    HeadFitted,
    JobEvent,
    ModeChanged,
    ObjectsFound,
    Progress,
    RegionFound,
    ScalesChanged,
    Scored,
    SettingsRefused,
    StepDone,
    StoreOpened,
    StoreTaken,
    TilePredicted,
    TileStored,
    UncertaintyMapped,
)
from napari_unet.widgets._bridge import Bridge, Job
from napari_unet.widgets._view import VisibleField

__all__ = ["JobFactory", "LiveLoop", "live_job"]

JobFactory = Callable[[], tuple[Any, Job]]
"""Returns an inbox and the job that reads it, ``job(token)``."""

_OF_A_LEARNER = (
    AnnotationTaken,
    ConfidenceFound,
    HeadFitted,
    ObjectsFound,
    Progress,
    RegionFound,
    Scored,
    StepDone,
    StoreOpened,
    StoreTaken,
    TilePredicted,
    TileStored,
    UncertaintyMapped,
)


def live_job() -> tuple[Any, Job]:
    """Return the inbox and the job of the real learner; loads no torch itself."""
    from napari_unet.learning.inbox import Inbox

    inbox = Inbox()

    def job(token: CancelToken) -> Generator[JobEvent, None, None]:
        from napari_unet.learning.live import live

        for event in live(LearnerConfig(), inbox, token):
            yield event
            if token.cancelled:
                inbox.close()  # ends the prediction of a whole image as well

    return inbox, job


_Told = tuple[Any, TiledLabels, str, TiledLabels | None, Sequence[float] | None]


def _is_painted(annotation: TiledLabels, complete: TiledLabels | None) -> bool:
    """Whether there is anything to learn from: a complete region is background."""
    return annotation.any() or (complete is not None and complete.any())


class LiveLoop(QObject):
    """Starts the job when it is first needed and passes messages to it.

    Signals
    -------
    received : JobEvent
    failed : the exception that ended the job
    ended : the job returned by itself
    settings_refused : the settings before are in use again
    rescaled : a model was taken up that sees `n_scales` sizes
    drained : after each turn that brought events
    """

    received = Signal(object)
    failed = Signal(object)
    ended = Signal()
    settings_refused = Signal()
    rescaled = Signal()
    drained = Signal()

    def __init__(self, make_job: JobFactory, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._make_job = make_job
        self._inbox: Any = None
        self._images: dict[str, _Told] = {}
        self._view: tuple[str, VisibleField] | None = None
        self._class_names: dict[int, str] = {}
        self._n_scales: int | None = None
        self._mode: AnnotationMode = "strokes"
        self._is_of_old_learner = False
        self._objects: InstanceConfig | None = None
        self._uncertainty: tuple[bool, UncertaintyMeasure] = (False, "entropy")
        self._config = self._config_before = LearnerConfig()
        self._bridge = Bridge(self)
        self._bridge.received.connect(self._on_received)
        self._bridge.drained.connect(self.drained)
        self._bridge.failed.connect(self._on_failed)
        self._bridge.finished.connect(self._on_finished)

    @property
    def bridge(self) -> Bridge:
        """The bridge to the worker thread."""
        return self._bridge

    @property
    def is_running(self) -> bool:
        """Whether a worker is there to hear messages."""
        return self._inbox is not None

    @property
    def has_view(self) -> bool:
        """Whether a visible field is kept up to date, so that tiles of it come."""
        return self._view is not None

    @property
    def has_annotations(self) -> bool:
        """Whether anything is painted."""
        return any(_is_painted(a, c) for _, a, _, c, _ in self._images.values())

    def annotate(
        self,
        key: str,
        image: Any,
        annotation: TiledLabels,
        axes: str,
        complete: TiledLabels | None = None,
        scale: Sequence[float] | None = None,
    ) -> None:
        """Tell the newest annotation of an image; the first stroke starts the job.

        An image without strokes is told too: it gets an overlay from the others.
        """
        self._images[key] = (image, annotation, axes, complete, scale)
        if self._inbox is not None:
            self._inbox.annotate(key, *self._images[key])
        elif _is_painted(annotation, complete):
            self._start()

    def forget(self, key: str) -> None:
        """Remove an image whose layers are gone."""
        if key in self._images:
            del self._images[key]
            self.send_if_running("forget", key)
        if self._view is not None and self._view[0] == key:
            self.show(None, None)

    def name_classes(self, names: dict[int, str]) -> None:
        """Tell the class names, which a saved model carries."""
        if names != self._class_names:
            self._class_names = dict(names)
            self.send_if_running("name_classes", names)

    @property
    def n_scales(self) -> int | None:
        """How many sizes of the image the network is to see; None: the usual."""
        return self._n_scales

    def set_scales(self, n_scales: int | None) -> None:
        """Tell how many sizes of the image the network is to see."""
        if n_scales != self._n_scales:
            self._n_scales = n_scales
            self.send_if_running("set_scales", n_scales)

    @property
    def config(self) -> LearnerConfig:
        """The settings of the learner, whatever its mode and scales."""
        return self._config

    def set_config(self, config: LearnerConfig) -> None:
        """Tell other settings: what was learned begins again."""
        if config != self._config:
            self._config_before, self._config = self._config, config
            self._is_of_old_learner = self.is_running
            self.send_if_running("set_config", config)

    @property
    def mode(self) -> AnnotationMode:
        """What annotations hold: strokes, or objects."""
        return self._mode

    def set_mode(self, mode: AnnotationMode) -> None:
        """Tell what annotations hold; what the learner before it says counts no more.

        Forget the images of the other mode first.
        """
        if mode != self._mode:
            self._mode = mode
            self._is_of_old_learner = self.is_running
            self.send_if_running("set_mode", mode)

    def find_objects(self, settings: InstanceConfig | None) -> None:
        """Tell how to cut what is predicted into objects; None: not at all."""
        if settings != self._objects:
            self._objects = settings
            self.send_if_running("find_objects", settings)

    def map_uncertainty(self, is_on: bool, measure: UncertaintyMeasure) -> None:
        """Tell how to measure uncertainty, and whether to map it."""
        if (is_on, measure) != self._uncertainty:
            self._uncertainty = is_on, measure
            self.send_if_running("map_uncertainty", is_on, measure)

    def show(self, key: str | None, field: VisibleField | None) -> None:
        """Name the visible field to keep up to date; None: nothing."""
        view = None if key is None or field is None else (key, field)
        if view != self._view:
            self._view = view
            if self._inbox is not None:
                self._inbox.show(self._request(view))

    def find_confidence(self, key: str, field: VisibleField) -> None:
        """Ask how sure the model is of a field; `ConfidenceFound` is the answer."""
        self.send("find_confidence", self._request((key, field)))

    def send(self, name: str, *args: Any) -> None:
        """Call one method of the inbox, starting a worker where there is none."""
        if self._inbox is None:
            self._start()
        getattr(self._inbox, name)(*args)

    def send_if_running(self, name: str, *args: Any) -> None:
        """Call one method of the inbox, if there is one."""
        if self._inbox is not None:
            getattr(self._inbox, name)(*args)

    def stop(self, timeout_s: float = 20.0) -> bool:
        """End the job and join its thread; return whether it has ended."""
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            inbox.close()
        return self._bridge.stop(timeout_s)

    def _start(self) -> None:
        self._inbox, job = self._make_job()
        self._is_of_old_learner = False
        self._inbox.set_mode(self._mode)
        self._inbox.set_config(self._config)
        self._inbox.set_scales(self._n_scales)
        self._inbox.find_objects(self._objects)
        self._inbox.map_uncertainty(*self._uncertainty)
        for key, told in self._images.items():
            self._inbox.annotate(key, *told)
        self._inbox.name_classes(self._class_names)
        self._inbox.show(self._request(self._view))
        self._bridge.start(job)

    def _request(self, view: tuple[str, VisibleField] | None) -> Any:
        """Turn the visible field into the job's own message."""
        if view is None:
            return None
        from napari_unet.learning.inbox import ViewRequest

        key, field = view
        return ViewRequest(key, field.index, field.y0, field.y1, field.x0, field.x1)

    def _on_received(self, event: JobEvent) -> None:
        if isinstance(event, SettingsRefused):
            self._config = self._config_before
            self.settings_refused.emit()
        elif isinstance(event, ScalesChanged):
            self._n_scales = event.n_scales
            self.rescaled.emit()
        elif isinstance(event, ModeChanged):
            self._is_of_old_learner = event.mode != self._mode
        elif not (self._is_of_old_learner and isinstance(event, _OF_A_LEARNER)):
            self.received.emit(event)

    def _on_failed(self, error: BaseException) -> None:
        self._inbox = None
        self.failed.emit(error)

    def _on_finished(self, _result: object) -> None:
        self._inbox = None
        self.ended.emit()
