"""Where the labels of a large image go: what will happen, and what did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_unet.widgets._keys import KEYS
from napari_unet.widgets._parts import Button, ToolButton, row, wrapping
from napari_unet.widgets._state import ViewerState
from napari_unet.widgets._store_place import size_text, store_path
from napari_unet.widgets._stored import StoredImage
from napari_unet.widgets._style import Palette

__all__ = ["StoreRow"]

_CAPTIONS = {"running": "Pause prediction", "paused": "Go on predicting"}
_MAX_SHARE = 4 / 3  # of a byte for each pixel: with all coarser levels, uncompressed


class StoreRow(QWidget):
    """A line below *Predict whole image*, of large images only; never a dialog.

    Where the store is another model's, it offers the two ways out.
    """

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = state
        self.text = wrapping(part="muted")
        self.change = ToolButton("folder", "Choose another place for the labels.")
        self.other = Button("New name")
        self.overwrite = Button("Overwrite")
        self.other.setToolTip("Leave that store as it is, and begin one beside it.")
        self.overwrite.setToolTip("Remove what is in that store, and begin anew.")
        line = row(self.text, self.change)
        line.setStretch(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(line)
        layout.addLayout(row(self.other, self.overwrite))
        self.change.clicked.connect(self._choose)
        self.other.clicked.connect(self._begin_beside)
        self.overwrite.clicked.connect(self._begin_anew)

    @property
    def caption(self) -> str:
        """What the button above does now."""
        stored = self._stored
        phase = "planned" if stored is None else stored.phase
        return _CAPTIONS.get(phase, "Predict whole image")

    @property
    def why_not(self) -> str:
        """Why the image cannot be predicted into its store; ``""`` if it can."""
        stored = self._stored
        if stored is None:
            return ""
        if stored.phase == "taken":
            return "Choose a new name, or overwrite what is there."
        return "" if stored.phase == "running" else stored.why_not

    @property
    def _stored(self) -> StoredImage | None:
        """Where the current image goes; None: into memory."""
        state = self._state
        return state.stored.of(state.book.current) if state.whole.is_for_disk else None

    def refresh(self) -> None:
        """Say what will happen, or happens."""
        stored = self._stored
        self.setVisible(stored is not None)
        if stored is None:
            return
        text = self._text_of(stored)
        if self._state.objects.is_on and stored.phase == "planned":
            text += " Classes, not objects: those must fit into memory."
        self.text.setText(text)
        self.text.setToolTip(f"{stored.path}\nAnother place: the button beside this.")
        is_taken = stored.phase == "taken"
        self.other.setVisible(is_taken)
        self.overwrite.setVisible(is_taken)
        self.change.setEnabled(stored.phase != "running")

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        for button in (self.change, self.other, self.overwrite):
            button.set_palette(palette)

    def _text_of(self, stored: StoredImage) -> str:
        name = stored.path.name
        if stored.phase == "taken":
            return f"{name} was begun with another model or image."
        if stored.phase == "done":
            return f"Labels are in {stored.path}"
        if stored.phase == "running":
            strokes = "strokes come between tiles"
            if stored.scheduler:
                strokes = f"{stored.scheduler} computes, strokes come at once"
            return (
                f"Goes into {name}; {strokes}, and learning waits. "
                f"{KEYS['predict']} pauses."
            )
        if stored.why_not:
            return stored.why_not
        if stored.phase == "paused":
            so_far = f"{stored.n_done:,} of {stored.n_tiles:,} tiles"
            return f"Paused: {name} holds {so_far if stored.n_tiles else 'a part'}."
        entry = self._state.book.current
        assert entry is not None
        size = size_text(int(np.prod(entry.shape)) * _MAX_SHARE)
        folder = stored.path.parent
        where = "~" if folder == Path.home() else folder.name or str(folder)
        verb = "goes on in" if stored.path.exists() else "goes tile by tile into"
        scheduler = self._state.stored.scheduler
        what = f"Large, on {scheduler}" if scheduler else "Large"
        return f"{what}: {verb} {where}/{name}, {size} at most."

    def _choose(self) -> None:
        entry, stored = self._state.book.current, self._stored
        if entry is None or stored is None:
            return
        text, _ = QFileDialog.getSaveFileName(
            self,
            "Labels of the whole image",
            str(stored.path),
            "OME-Zarr (*.zarr)",
            options=QFileDialog.Option.DontConfirmOverwrite,  # it is gone on with
        )
        if text:
            self._state.stored.place(entry, store_path(text))

    def _begin_beside(self) -> None:
        entry = self._state.book.current
        if entry is not None:
            self._state.stored.place_free(entry)

    def _begin_anew(self) -> None:
        entry = self._state.book.current
        if entry is not None:
            self._state.stored.begin(entry, overwrite=True)
