"""Where the strokes are saved, in one line; and what was painted here before."""

from __future__ import annotations

import time

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QVBoxLayout, QWidget

from napari_unet.widgets._parts import (
    Button,
    ToolButton,
    eliding,
    fill,
    row,
    set_part,
    sync_property,
    wrapping,
)
from napari_unet.widgets._project import ProjectKeeper
from napari_unet.widgets._style import Palette

__all__ = ["OfferCard", "ProjectLine", "saved_text"]

_TIP = (
    "What you paint is saved as you paint it, also without a project. A project keeps "
    "images, strokes, settings and models together."
)


class ProjectLine(QWidget):
    """Says when and where strokes were saved last, and opens the dock *Project*.

    Signals
    -------
    wanted : the dock is asked for
    """

    wanted = Signal()

    def __init__(self, keeper: ProjectKeeper) -> None:
        super().__init__()
        self._keeper = keeper
        self.text = eliding()
        self.text.setToolTip(_TIP)
        self.open = ToolButton("folder", "Project: open, make, images, rounds")
        layout = row(self.text, self.open, spacing=2)
        layout.setStretch(0, 1)
        self.setLayout(layout)
        self.open.clicked.connect(self.wanted)

    def refresh(self) -> None:
        """Show how it stands."""
        problem = self._keeper.problem
        text = saved_text(self._keeper)
        self.text.setText(text or "Strokes are saved as you paint.")
        self.text.setToolTip(problem or _TIP)
        sync_property(self.text, "level", "error" if problem else "info")

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.open.set_palette(palette)


class OfferCard(QFrame):
    """Offers what was painted on the image before; hidden where there is nothing."""

    def __init__(self, keeper: ProjectKeeper) -> None:
        super().__init__()
        self._keeper = keeper
        set_part(self, "tip")
        self.text = wrapping()
        self.bring = Button("Bring back", "", "primary")
        self.dismiss = Button("No, thanks")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(9, 7, 9, 7)
        layout.setSpacing(6)
        fill(layout, self.text)
        layout.addLayout(row(self.bring, self.dismiss, 1))
        self.bring.setToolTip("Open what was saved, and go on with it.")
        self.dismiss.setToolTip("Do not offer it again. It is kept for 90 days.")
        self.bring.clicked.connect(keeper.bring_back)
        self.dismiss.clicked.connect(keeper.dismiss)
        self.hide()

    def refresh(self) -> None:
        """Show the offer, if there is one."""
        offer = self._keeper.offer
        self.setVisible(offer is not None)
        if offer is not None:
            unsaved = offer[1]
            self.text.setText(
                f"You painted here {unsaved.painted:on %d %b at %H:%M} "
                f"({unsaved.n_px:,} px)."
            )

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.bring.set_palette(palette)
        self.dismiss.set_palette(palette)


def saved_text(keeper: ProjectKeeper) -> str:
    """Say what is saved where; "" before there is anything."""
    if keeper.problem:
        return f"Not saved: {keeper.problem}"
    project, saved_s = keeper.project, keeper.saved_s
    if project is None or saved_s is None:
        return "" if project is None else f"Project {project.folder.name}"
    where = f" to {project.folder.name}" if keeper.is_named else ""
    if keeper.has_unsaved:
        return f"Saving{where} …"
    return f"Saved {_ago(time.monotonic() - saved_s)}{where}"


def _ago(seconds: float) -> str:
    """Return how long ago something was, in words."""
    if seconds < 60:
        return f"{seconds:.0f} s ago"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min ago"
    return f"{seconds / 3600:.0f} h ago"
