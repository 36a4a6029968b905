"""The rounds of a project: compare, go back to one, keep or delete them."""

from __future__ import annotations

from datetime import datetime

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QInputDialog, QVBoxLayout, QWidget

from napari_unet.widgets._parts import Button, eliding, fill, label, row, wrapping
from napari_unet.widgets._project_rows import RoundRow, RoundsListed
from napari_unet.widgets._row_delegate import Look
from napari_unet.widgets._row_list import RowList
from napari_unet.widgets._style import Palette

__all__ = ["RoundSection", "when_text"]

_NONE = (
    "A round is kept each time Learn pauses, and every five minutes while it learns: "
    "the model, its score, and what it was."
)
_HINT = "Scores of different strokes: only a hint."
_HINT_TIP = (
    "A score is of the strokes that were held out at that time. What is painted since "
    "is often harder, so that a lower score of a later round need not be worse."
)
_MOST_ROWS = 3
_NONE_CHOSEN = "Choose a round first."
_BEST, _PINNED = "#009E73", "#8C949C"


def when_text(time: datetime, now: datetime) -> str:
    """Return when something was: of today the time alone."""
    is_today = time.date() == now.date()
    return f"{time:%H:%M}" if is_today else f"{time.day} {time:%b %H:%M}"


class RoundSection(QWidget):
    """The rounds, the newest first, and what can be done with the chosen one.

    Signals
    -------
    back_wanted, delete_wanted : number
    pin_wanted : (number, whether it is to be kept)
    note_wanted : (number, text)
    """

    back_wanted = Signal(int)
    delete_wanted = Signal(int)
    pin_wanted = Signal(int, bool)
    note_wanted = Signal(int, str)

    def __init__(self) -> None:
        super().__init__()
        self.space = eliding("muted")
        self.hint = wrapping(_NONE, "muted")
        self.list = RowList(self._look, most_rows=_MOST_ROWS)
        self.back = Button("Go back")
        self.pin = Button("Pin")
        self.note = Button("Note …")
        self.delete = Button("Delete")
        self._buttons = (self.back, self.pin, self.note, self.delete)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        head = row(label("Rounds", "caption"), self.space, spacing=8)
        head.setStretch(1, 1)
        layout.addLayout(head)
        layout.addWidget(self.list)
        self._tools = QWidget()
        self._tools.setLayout(row(*self._buttons, spacing=4))
        fill(layout, self._tools, self.hint)
        self.list.changed.connect(self.refresh)
        self.list.wanted.connect(self.back_wanted)
        self.back.clicked.connect(lambda: self.back_wanted.emit(self._chosen.number))
        self.delete.clicked.connect(
            lambda: self.delete_wanted.emit(self._chosen.number)
        )
        self.pin.clicked.connect(self._on_pin)
        self.note.clicked.connect(self._ask_note)
        self.refresh()

    @property
    def _chosen(self) -> RoundRow:
        chosen: RoundRow = self.list.chosen[0]
        return chosen

    def show_rounds(self, event: RoundsListed) -> None:
        """Show these rounds, and what they take of the disk."""
        self.list.show_rows(event.rows)
        used, most = event.n_bytes / 1e6, event.max_bytes / 1e6
        self.space.setText(f"{used:,.1f} of {most:,.0f} MB" if event.rows else "")
        self.space.setToolTip(
            "What the models take on the disk. Beyond the limit the oldest go, never "
            "the newest, the best, or one that is pinned. The best has the highest "
            "held-out IoU; of equals the newest, which has learned from more strokes."
        )
        self.refresh()

    def clear(self) -> None:
        """Show another project's rounds from now on."""
        self.show_rounds(RoundsListed((), 0, 1))

    def refresh(self) -> None:
        """Enable what can be done; else say why not."""
        has_rounds = bool(self.list.rows)
        self.list.setVisible(has_rounds)
        self._tools.setVisible(has_rounds)
        self.hint.setText(_HINT if has_rounds else _NONE)
        self.hint.setToolTip(_HINT_TIP if has_rounds else "")
        chosen = self.list.chosen
        tips = (
            "Go on with the model of this round (double click, Enter). What was "
            "learned since is kept as a round first.",
            "Never delete it to save space.",
            "Write a line about it.",
            "Delete its model. It can be undone until the project closes.",
        )
        for button, tip in zip(self._buttons, tips, strict=True):
            button.offer(bool(chosen), tip, _NONE_CHOSEN)
        is_pinned = bool(chosen) and chosen[0].is_pinned
        self.pin.set_caption("Unpin" if is_pinned else "Pin")

    def _look(self, kept: RoundRow) -> Look:
        now = datetime.now().astimezone()
        badge = "best" if kept.is_best else ("pinned" if kept.is_pinned else "")
        return Look(
            title=f"{kept.number}   {when_text(kept.time, now)}",
            title_end=kept.score_text,
            badge="best, pinned" if kept.is_best and kept.is_pinned else badge,
            colour=_BEST if kept.is_best else _PINNED,
            details=kept.details,
            tip=kept.tip,
        )

    def _on_pin(self) -> None:
        self.pin_wanted.emit(self._chosen.number, not self._chosen.is_pinned)

    def _ask_note(self) -> None:
        chosen = self._chosen
        text, is_meant = QInputDialog.getText(
            self, f"Round {chosen.number}", "Note", text=chosen.note
        )
        if is_meant:
            self.note_wanted.emit(chosen.number, text.strip()[:2000])

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        for piece in (*self._buttons, self.list):
            piece.set_palette(palette)
