"""Whole predictions of large images: into a store on disk, shown while it grows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.config import ClusterConfig
from napari_unet.jobs import (
    JobEvent,
    Progress,
    StoreOpened,
    StoreTaken,
    TilePredicted,
    TileStored,
    WholeEnded,
)
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._images import ImageBook
from napari_unet.widgets._store_place import (
    default_path,
    free_path,
    is_large,
    why_not_there,
)
from napari_unet.widgets._stored_layer import LiveTiles, store_of, stored_layer
from napari_unet.widgets._view import visible_field

__all__ = ["Opener", "StoredImage", "StoredImages"]

ANSWER_S = 15.0
"""The live loop waits so long for a cluster; who closes the dock, 20 s for the loop."""
REDRAW_MS = 1000
OUTLINE_REDRAW_MS = 5000
"""Outlines of what is in sight take some 0.2 s, for which the window stands still."""

Phase = Literal["planned", "running", "paused", "taken", "done"]


@dataclass(frozen=True, eq=False)
class Opener:
    """Opens a store, on the worker; each wish has one of its own."""

    path: Path
    scale: Sequence[float]
    unit: str
    class_names: Mapping[int, str]
    overwrite: bool

    def __call__(self, plan: Any) -> Any:
        """Return the store for a plan, with what an earlier run left in it."""
        from napari_unet.export import open_store

        return open_store(
            self.path,
            plan,
            scale=self.scale,
            unit=self.unit,
            class_names=self.class_names,
            resume=True,
            overwrite=self.overwrite,
        )


@dataclass(eq=False)
class StoredImage:
    """Where the labels of one image go, and how far they are."""

    path: Path
    why_not: str
    """Why they cannot go there; ``""`` if they can."""
    phase: Phase = "planned"
    n_done: int = 0
    n_tiles: int = 0
    opener: Opener | None = None
    """Of the newest wish."""
    live: LiveTiles = field(default_factory=LiveTiles)
    scheduler: str = ""
    """Of the cluster that computes it; ``""``: this computer."""
    fresh: list[TileStored] = field(default_factory=list)
    """Tiles that came since the last drawing."""


class StoredImages(QObject):
    """The stores of one viewer's images; one at a time grows.

    Signals
    -------
    changed : a place or a phase is another
    wanted : (key, scale, Opener, ClusterConfig | None): an image is to be predicted
        into a store, on a cluster or here
    unwanted : what is under way shall end
    warned : one sentence
    """

    changed = Signal()
    wanted = Signal(str, object, object, object)
    unwanted = Signal()
    warned = Signal(str)

    def __init__(
        self,
        viewer: Callable[[], Any],
        book: ImageBook,
        names: Callable[[], dict[int, str]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._book, self._names = viewer, book, names
        self._images: dict[str, StoredImage] = {}
        self.folder: Path | None = None
        """Where something was last exported to."""
        self._scheduler = ""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._redraw)

    def of(self, entry: AnnotatedImage | None) -> StoredImage | None:
        """Return where an image's labels go; None: it is small, and stays in memory."""
        if entry is None:
            return None
        if entry.key not in self._images:
            if not is_large(entry.shape):
                return None
            path = default_path(entry.image, self.folder)
            self._images[entry.key] = StoredImage(
                path, why_not_there(path, entry.shape)
            )
        return self._images[entry.key]

    @property
    def scheduler(self) -> str:
        """Which cluster computes, as in `ClusterConfig`; ``""``: this computer."""
        return self._scheduler

    def compute_on(self, scheduler: str) -> None:
        """Let a cluster compute from the next beginning on; ``""``: this computer."""
        if scheduler != self._scheduler:
            self._scheduler = scheduler
            self.changed.emit()

    def place(self, entry: AnnotatedImage, path: Path) -> None:
        """Let an image's labels go to another store."""
        stored = self.of(entry)
        if stored is None or stored.phase == "running":
            return
        stored.path, stored.why_not = path, why_not_there(path, entry.shape)
        stored.phase, stored.n_done, stored.n_tiles = "planned", 0, 0
        self.changed.emit()

    def place_free(self, entry: AnnotatedImage) -> None:
        """Let them go to a new store beside the one that is taken, and begin."""
        stored = self.of(entry)
        if stored is not None:
            self.place(entry, free_path(stored.path))
            self.begin(entry)

    def begin(self, entry: AnnotatedImage, *, overwrite: bool = False) -> None:
        """Predict an image into its store, or go on with it."""
        stored = self.of(entry)
        if stored is None or stored.phase == "running":
            return
        stored.why_not = why_not_there(stored.path, entry.shape)
        if stored.why_not:
            self.changed.emit()
            return
        self.end()  # of another image
        layer = entry.prediction or entry.annotation
        assert layer is not None
        scale, unit = tuple(map(float, layer.scale)), str(layer.units[-1])
        stored.opener = Opener(stored.path, scale, unit, self._names(), overwrite)
        stored.phase = "running"
        address = stored.scheduler = self._scheduler
        cluster = ClusterConfig(address=address, answer_s=ANSWER_S) if address else None
        self.wanted.emit(entry.key, scale, stored.opener, cluster)
        self.changed.emit()

    @property
    def running(self) -> str | None:
        """Key of the image whose store grows now."""
        items = self._images.items()
        return next((key for key, s in items if s.phase == "running"), None)

    def end(self) -> None:
        """Note that nothing more is to come; who begins again goes on there."""
        for stored in self._images.values():
            if stored.phase == "running":
                stored.phase = "paused"
                self.changed.emit()

    def forget(self, key: str) -> None:
        """End the growing of an image that is gone, or that nothing is known of."""
        stored = self._images.get(key)
        is_running = stored is not None and stored.phase == "running"
        if self._book.get(key) is None:
            self._images.pop(key, None)
        if stored is not None and is_running:
            stored.phase = "paused"
            self.unwanted.emit()
            self.warned.emit(
                "Its image or annotation is gone: the prediction of the whole image "
                f"was stopped, and {stored.path} keeps the finished part."
            )

    def restart(self) -> None:
        """Let go of every store: other values are predicted from here on."""
        self.end()
        for entry in self._book:
            if entry.stored is not None:
                entry.stored.visible = False
                entry.drop_stored()
        self._images.clear()
        self.changed.emit()

    # --- while it grows ------------------------------------------------------------

    def listen(self) -> None:
        """Follow the layer list."""
        self._viewer().layers.events.removed.connect(self._on_removed)
        for entry in self._book:
            if entry.stored is not None and entry.stored not in self._viewer().layers:
                entry.drop_stored()

    def deafen(self) -> None:
        """Stop following, and drawing."""
        self._viewer().layers.events.removed.disconnect(self._on_removed)
        self._timer.stop()

    def hear(self, event: JobEvent) -> bool:
        """Take what the job says of a store; False of the answer to an earlier wish."""
        if isinstance(event, TilePredicted):
            stored = self._images.get(event.key)
            if stored is not None:
                stored.live.note(event)
                self._redraw_soon()  # it may lie above what is stored
        elif isinstance(event, TileStored):
            self._take(event)
        elif isinstance(event, Progress):
            growing = self._images.get(self.running or "")
            if growing is not None and event.what == "predict":
                growing.n_done, growing.n_tiles = event.done, event.total
        elif isinstance(event, (StoreOpened, StoreTaken, WholeEnded)):
            if event.opener is None:
                return True
            items = self._images.items()
            key = next((k for k, s in items if s.opener is event.opener), None)
            if key is None:
                return False
            self._answer(key, self._images[key], event)
        return True

    def _answer(
        self,
        key: str,
        stored: StoredImage,
        event: StoreOpened | StoreTaken | WholeEnded,
    ) -> None:
        """Take the answer to the newest wish for an image."""
        entry = self._book.get(key)
        if isinstance(event, StoreOpened):
            stored.n_done, stored.n_tiles = event.n_done, event.n_tiles
            if entry is not None:
                self._show(entry, stored, event.levels)
        elif isinstance(event, StoreTaken):
            stored.phase = "taken"
        else:
            if event.is_done:
                stored.phase = "done"
            elif (
                stored.phase == "running"
            ):  # without a tile, nothing is to be gone on with
                stored.phase = "paused" if stored.n_tiles else "planned"
            self._redraw(with_thumbnail=True)
        self.changed.emit()

    def _show(self, entry: AnnotatedImage, stored: StoredImage, levels: Any) -> None:
        """Show a store, in the layer that is there if it is of the same one."""
        layers = self._viewer().layers
        layer = entry.stored
        is_new = stored.opener is not None and stored.opener.overwrite
        if layer is not None and store_of(layer) == stored.path and not is_new:
            return
        overlay = entry.prediction
        if overlay is not None:
            stored.live.is_shown = lambda: bool(overlay.visible)
            overlay.events.visible.connect(self._on_seen)
        layer = stored_layer(entry.image, entry.axes, stored.path, levels, stored.live)
        entry.show_stored(layers, layer)

    def _take(self, tile: TileStored) -> None:
        stored, entry = self._images.get(tile.key), self._book.get(tile.key)
        if stored is None or entry is None or entry.stored is None:
            return
        stored.fresh.append(tile)
        field = visible_field(self._viewer(), entry.stored)
        is_volume = self._viewer().dims.ndisplay != 2
        if is_volume or (
            field is not None
            and field.index == tile.index
            and field.y0 < tile.y + tile.height
            and tile.y < field.y1
            and field.x0 < tile.x + tile.width
            and tile.x < field.x1
        ):
            self._redraw_soon()

    def _on_seen(self, _event: Any) -> None:
        self._redraw_soon()

    def _redraw_soon(self) -> None:
        if not self._timer.isActive():
            outlines = any(
                e.stored is not None and e.stored.contour for e in self._book
            )
            self._timer.start(OUTLINE_REDRAW_MS if outlines else REDRAW_MS)

    def _redraw(self, *, with_thumbnail: bool = False) -> None:
        """Show what came, and empty the live overlay below it, in one go."""
        for key, stored in self._images.items():
            entry = self._book.get(key)
            if entry is None or entry.stored is None:
                continue
            fresh, stored.fresh = stored.fresh, []
            overlay = entry.prediction
            if overlay is not None:
                emptied = [stored.live.give_way(t, overlay.data) for t in fresh]
                if any(emptied):
                    entry.redraw(with_thumbnail=False)
            entry.stored.refresh(
                extent=False, thumbnail=with_thumbnail, highlight=False
            )

    def _on_removed(self, event: Any) -> None:
        """Go on without a layer that was removed; what grows in it waits."""
        layer = event.value
        for entry in self._book:
            stored = self._images.get(entry.key)
            if stored is not None and entry.prediction in (None, layer):
                stored.live.clear()
                self._redraw_soon()
            if entry.stored is None or entry.stored is not layer:
                continue
            entry.drop_stored()
            if stored is not None and stored.phase == "running":
                stored.phase = "paused"
                self.unwanted.emit()
                self.warned.emit(
                    f"'{layer.name}' was removed, so its prediction waits: "
                    f"{stored.path} keeps the finished part, and Go on shows it again."
                )
            self.changed.emit()
