"""The interactive loop's mailbox: what the viewer wants, the newest of each kind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import (
    AnnotationMode,
    ClusterConfig,
    InstanceConfig,
    LearnerConfig,
    UncertaintyMeasure,
)
from napari_unet.jobs import CancelToken

__all__ = ["Annotated", "Inbox", "Mail", "ViewRequest", "Whole"]

_WAIT_S = 0.2


@dataclass(frozen=True)
class ViewRequest:
    """The visible field: a rectangle (px) of the plane at ``index`` of an image."""

    key: str
    index: tuple[int, ...]
    y0: int
    y1: int
    x0: int
    x1: int


@dataclass(frozen=True, eq=False)
class Annotated:
    """An image with a private copy of its annotation, and where that is complete.

    ``scale`` is world units per pixel along each axis of the annotation.
    """

    image: Any
    annotation: TiledLabels | NDArray[Any]
    axes: str | None
    complete: TiledLabels | NDArray[Any] | None = None
    scale: Sequence[float] | None = None


@dataclass(frozen=True, eq=False)
class Whole:
    """The wish for every plane of an image.

    ``open_store`` is an `napari_unet.inference.stream.OpenStore`: labels go there
    instead of into events. With a ``cluster``, it computes what goes there.
    """

    key: str
    scale: Sequence[float] | None
    open_store: Callable[[Any], Any] | None
    token: CancelToken
    cluster: ClusterConfig | None = None


@dataclass
class Mail:
    """What has come in since the loop last looked."""

    annotated: dict[str, Annotated] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    class_names: dict[int, str] | None = None
    wants_refresh: bool = False
    wants_reset: bool = False
    wants_scales: bool = False
    n_scales: int | None = None
    mode: AnnotationMode | None = None
    config: LearnerConfig | None = None
    saves: list[tuple[str, bool]] = field(default_factory=list)
    load_path: str | None = None
    keeps_scales: bool = False


class Inbox:
    """Mailbox of the interactive loop; every method returns at once, on any thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._mail = Mail()
        self._view: ViewRequest | None = None
        self._view_number = 0
        self._objects: InstanceConfig | None = None
        self._objects_number = 0
        self._measure: UncertaintyMeasure = "entropy"
        self._wants_maps = False
        self._to_search: tuple[str, ...] = ()
        self._whole: Whole | None = None
        self._whole_token: CancelToken | None = None
        self._unsure: ViewRequest | None = None
        self._is_learning = False
        self._is_closed = False
        self._number = 0

    def _wake(self) -> None:
        self._number += 1
        self._condition.notify_all()

    def annotate(
        self,
        key: str,
        image: Any,
        annotation: TiledLabels | NDArray[Any],
        axes: str | None = None,
        complete: TiledLabels | NDArray[Any] | None = None,
        scale: Sequence[float] | None = None,
    ) -> None:
        """Hand over the annotation of an image; the newest one counts.

        Arrays must be private copies. An image without any stroke can be predicted, but
        is not learned from.
        """
        with self._condition:
            told = Annotated(image, annotation, axes, complete, scale)
            self._mail.annotated[key] = told
            self._wake()

    def forget(self, key: str) -> None:
        """Drop an image whose layers are gone; what was learned from it stays."""
        with self._condition:
            self._mail.annotated.pop(key, None)
            self._mail.forgotten.append(key)
            self._wake()

    def name_classes(self, names: dict[int, str]) -> None:
        """Set the class names that a saved model carries."""
        with self._condition:
            self._mail.class_names = dict(names)
            self._wake()

    def show(self, request: ViewRequest | None) -> None:
        """Keep this rectangle predicted from now on; None: predict nothing."""
        with self._condition:
            self._view = request
            self._view_number += 1
            self._wake()

    def find_objects(self, settings: InstanceConfig | None) -> None:
        """Cut what is predicted into objects from now on; None: only predict."""
        with self._condition:
            self._objects = settings
            self._objects_number += 1
            self._wake()

    def map_uncertainty(self, on: bool, measure: UncertaintyMeasure) -> None:
        """Measure uncertainty so, and if on, map it wherever something is predicted."""
        with self._condition:
            self._wants_maps, self._measure = on, measure
            self._view_number += 1  # what is seen is predicted again, with its map
            self._wake()

    def find_uncertain(self, keys: Sequence[str]) -> None:
        """Find the least certain region of these images that is not annotated."""
        with self._condition:
            self._to_search = tuple(keys)
            self._wake()

    def predict_all(
        self,
        key: str,
        scale: Sequence[float] | None = None,
        open_store: Callable[[Any], Any] | None = None,
        cluster: ClusterConfig | None = None,
    ) -> None:
        """Predict every plane of an image; the newest wish counts.

        ``scale`` is world units per pixel along each axis of its labels: objects of a
        coarse z stack need it. None: all the same. ``open_store`` and ``cluster`` are
        as in `Whole`; classes go there, and no objects are looked for.
        """
        with self._condition:
            if self._whole_token is not None:
                self._whole_token.cancel()
            self._whole_token = CancelToken()
            token = self._whole_token
            self._whole = Whole(key, scale, open_store, token, cluster)
            self._wake()

    def cancel_prediction(self) -> None:
        """Stop predicting the whole image."""
        with self._condition:
            self._whole = None
            if self._whole_token is not None:
                self._whole_token.cancel()
            self._wake()

    def find_confidence(self, request: ViewRequest) -> None:
        """Tell once how sure the model is of a rectangle; the newest wish counts."""
        with self._condition:
            self._unsure = request
            self._wake()

    def learn(self, on: bool) -> None:
        """Start or pause background fine-tuning."""
        with self._condition:
            self._is_learning = on
            self._wake()

    def refresh(self) -> None:
        """Score and predict the visible field anew, whatever is up to date."""
        with self._condition:
            self._mail.wants_refresh = True
            self._wake()

    def save(self, path: str, with_training: bool = False) -> None:
        """Write the model to a file, if wanted with what its training goes on from."""
        with self._condition:
            self._mail.saves.append((path, with_training))
            self._wake()

    def load(self, path: str, keeps_scales: bool = False) -> None:
        """Go on with the model of a file; what is painted is learned from as before."""
        with self._condition:
            self._mail.load_path, self._mail.keeps_scales = path, keeps_scales
            self._wake()

    def reset(self) -> None:
        """Forget what was learned; what is painted stays."""
        with self._condition:
            self._mail.wants_reset = True
            self._wake()

    def set_scales(self, n_scales: int | None) -> None:
        """Let the network see so many sizes of the image; None: the usual."""
        with self._condition:
            self._mail.wants_scales, self._mail.n_scales = True, n_scales
            self._wake()

    def set_config(self, config: LearnerConfig) -> None:
        """Go on with a new learner of these settings, and learn all strokes anew.

        Mode and scales stay: they have messages of their own.
        """
        with self._condition:
            self._mail.config = config
            self._wake()

    def set_mode(self, mode: AnnotationMode) -> None:
        """Read annotations as strokes, or as objects, and learn from them anew."""
        with self._condition:
            self._mail.mode = mode
            self._wake()

    def close(self) -> None:
        """End the loop."""
        with self._condition:
            self._is_closed = True
            if self._whole_token is not None:
                self._whole_token.cancel()
            self._wake()

    # -- for the loop ---------------------------------------------------------------

    def take(self) -> Mail:
        """Take what has come in."""
        with self._condition:
            mail, self._mail = self._mail, Mail()
            return mail

    def wait(self, since: int, token: CancelToken) -> None:
        """Wait until something comes in after number ``since``."""
        with self._condition:
            while self._number == since and not (self._is_closed or token.cancelled):
                self._condition.wait(_WAIT_S)

    @property
    def number(self) -> int:
        """Counts what has come in."""
        return self._number

    @property
    def has_annotations(self) -> bool:
        """Whether a newer annotation waits."""
        return bool(self._mail.annotated)

    @property
    def is_closed(self) -> bool:
        """Whether the loop shall end."""
        return self._is_closed

    @property
    def is_learning(self) -> bool:
        """Whether background fine-tuning is wanted."""
        return self._is_learning

    @property
    def view(self) -> tuple[ViewRequest | None, int]:
        """The visible field, and a number that grows with each request."""
        with self._condition:
            return self._view, self._view_number

    @property
    def objects(self) -> tuple[InstanceConfig | None, int]:
        """How to cut out objects, and a number that grows with each change of it."""
        with self._condition:
            return self._objects, self._objects_number

    @property
    def uncertainty(self) -> tuple[bool, UncertaintyMeasure]:
        """Whether maps of it are wanted, and how it is measured."""
        with self._condition:
            return self._wants_maps, self._measure

    def take_search(self) -> tuple[str, ...]:
        """Take the wish for an uncertain region: keys of images, or none."""
        with self._condition:
            keys, self._to_search = self._to_search, ()
            return keys

    def take_whole(self) -> Whole | None:
        """Take the wish for a whole image, if there is a new one."""
        with self._condition:
            wish, self._whole = self._whole, None
            return wish

    def take_unsure(self) -> ViewRequest | None:
        """Take the rectangle of which the confidence is wanted, if there is one."""
        with self._condition:
            request, self._unsure = self._unsure, None
            return request
