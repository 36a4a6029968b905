"""The middle of the dock: learn or pause, how far it is, and what is shown."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from napari_unet.jobs import Progress, Score
from napari_unet.session import CANDIDATE_NAMES, Session, others_text, sight_text
from napari_unet.widgets._keys import KEYS
from napari_unet.widgets._parts import (
    Button,
    card,
    eliding,
    fill,
    label,
    row,
    set_part,
    wrapping,
)
from napari_unet.widgets._state import ViewerState
from napari_unet.widgets._style import Palette

__all__ = ["LearnSection", "age_text", "score_text", "status_text"]

_SCORE_TIP = (
    "Held-out IoU: whole strokes or objects are left out in rotation, and the overlap "
    "between what they say and what was predicted there is measured, 0 to 1, mean over "
    "the classes. With few pixels or strokes held out, the score is rough."
)
_ACCEPTED_TIP = (
    "Most of the annotation was accepted, and so the model was in part scored by what "
    "it said itself. Where that has errors, the score is too high, by 0.1 to 0.3 in "
    "whole planes. Score images that are kept apart (napari-unet evaluate)."
)
_HINTS = {
    "strokes": "Its score takes two strokes per class.",
    "objects": "Its score takes two objects that lie apart.",
}
_COMING = "The overlay comes in a moment, and its score with it."


def clock_text(seconds: float) -> str:
    """Return a duration as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}"


def age_text(session: Session, is_coming: bool = True) -> str:
    """Return how old the overlay is, or that it is older than the model.

    ``is_coming`` tells whether anything is looked at, so that new tiles come.
    """
    age = session.overlay_age_s
    if age is None:
        return ""
    if session.is_updating:
        return "updating …" if is_coming else "out of date"
    if age < 1:
        return "just now"
    if age < 60:
        return f"{age:.0f} s old"
    return f"{clock_text(age)} min old"


def score_text(score: Score | None, is_accepted: bool = False) -> str:
    """Return a score with what was held out for it, or that there is none.

    ``is_accepted``: most of what was held out was a prediction before.
    """
    if score is None or score.mean_iou is None:
        return "no score yet"
    if is_accepted:  # there is no room for more: the tooltip has it
        return f"IoU {score.mean_iou:.2f}, mostly on accepted px"
    return score.text


def status_text(session: Session) -> str:
    """Return the line under the buttons: steps, time, speed."""
    if not session.step:
        if session.phase == "learning":
            return "starting …"
        return "Learn trains the network while you paint on."
    start = "" if session.phase == "learning" else "paused at "
    text = f"{start}step {session.step:,}  ·  {clock_text(session.seconds)}"
    if session.phase == "learning":
        text += f"  ·  {session.steps_per_s:.1f} steps/s"
    return text


class LearnSection(QWidget):
    """Buttons, status line, progress bar and the card that names what is shown."""

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = state
        self.learn = Button("Learn", "learn", "primary", KEYS["learn"])
        self.update_now = Button("Update now", key=KEYS["update_now"])
        self.stop = Button("Stop", "stop", key=KEYS["stop"])
        self.status = eliding("muted")
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        policy = self.progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # nothing below may jump
        self.progress.setSizePolicy(policy)
        buttons = row(self.learn, self.update_now, self.stop)
        buttons.setStretch(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(buttons)
        fill(layout, self.status, self.progress, self._make_card())
        self.learn.clicked.connect(state.toggle_learning)
        self.update_now.clicked.connect(state.update_now)
        self.stop.clicked.connect(state.stop)

    def _make_card(self) -> QWidget:
        frame, layout = card(spacing=2)
        self.age = label(part="muted")
        self.shown = eliding("strong")
        self.score = eliding()
        self.others = wrapping(part="muted", n_lines=2)
        self.reason = wrapping(part="muted", n_lines=1)
        for text in (self.others, self.reason):
            text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._caption = label("Showing", "caption")
        self._head, self._lines = row(self._caption, 1, self.age), layout
        layout.addLayout(self._head)
        fill(layout, self.shown, self.score, self.others, self.reason)
        self.card = frame
        return frame

    def set_brief(self, is_brief: bool) -> None:
        """Show what is shown and its score, and the rest of the card as its tooltip."""
        for piece in (self._caption, self.others, self.reason):
            piece.setVisible(not is_brief)
        is_in_head = self._head.indexOf(self.shown) >= 0
        if is_brief and not is_in_head:
            self._head.insertWidget(0, self.shown, 99)
        elif is_in_head and not is_brief:
            self._lines.insertWidget(1, self.shown)

    def refresh(self) -> None:
        """Show what the session holds."""
        session = self._state.session
        is_learning = session.phase == "learning"
        can_learn = self._state.can_learn
        self.learn.set_caption("Pause" if is_learning else "Learn")
        self.learn.set_icon("pause" if is_learning else "learn")
        self.learn.offer(
            can_learn or is_learning,
            f"Train the network in the background, or pause ({KEYS['learn']}). "
            "The overlay changes only to what scores better.",
            self._state.why_not,
        )
        self.update_now.offer(
            can_learn,
            "Take the newest strokes and predict what you look at "
            f"({KEYS['update_now']}).",
            self._state.why_not,
        )
        is_busy = is_learning or session.progress is not None
        self.stop.offer(
            is_busy,
            f"Stop learning and predicting ({KEYS['stop']}). What was learned stays.",
            "Nothing is running.",
        )
        self.status.setText(status_text(session))
        self._refresh_progress()
        self._refresh_card()

    def refresh_age(self) -> None:
        """Let the overlay's age go on."""
        self.age.setText(age_text(self._state.session, self._state.live.has_view))

    def _refresh_progress(self) -> None:
        progress = self._state.session.progress
        self.progress.setVisible(progress is not None)
        if progress is not None:
            self.progress.setRange(0, max(1, progress.total))
            self.progress.setValue(progress.done)
            self.status.setText(self._progress_text(progress))

    def _progress_text(self, progress: Progress) -> str:
        """Return how far a long work is, and how long it will still take."""
        if progress.total <= 1:
            is_cut = progress.what == "split"
            return "finding objects …" if is_cut else "predicting …"
        parts = [
            f"{progress.what or 'working'}: {progress.done:,} of {progress.total:,}"
        ]
        left_s = self._state.whole.bar.left_s
        if left_s is not None:
            parts.append(f"{clock_text(left_s)} left")
        if self._state.session.phase == "learning":
            parts.append("learning waits")
        return "  ·  ".join(parts)

    def _hint(self) -> str:
        """Return what stands in the place of a score before there is any overlay."""
        painted = [entry for entry in self._state.classes if entry.n_px]
        is_enough = all(entry.n_strokes > 1 for entry in painted)
        if self._state.mode == "strokes" and self._state.can_learn and is_enough:
            return _COMING
        return _HINTS[self._state.mode]

    def _refresh_card(self) -> None:
        session = self._state.session
        name = CANDIDATE_NAMES.get(session.shown, session.shown)
        self.shown.setText(name[:1].upper() + name[1:] if name else "nothing yet")
        is_accepted = self._state.proofread.is_most_accepted
        score = score_text(session.score, is_accepted)
        self.score.setText(score if session.shown else self._hint())
        others = others_text(session.scores, session.shown)
        self.others.setText(f"others: {others}" if others else "")
        self.reason.setText(session.reason)
        tip = _SCORE_TIP
        if is_accepted and session.score is not None:
            tip = "\n\n".join([session.score.text, tip, _ACCEPTED_TIP])
        if session.n_scales:
            factor = self._state.config.downsampling
            sight = sight_text(session.n_scales, session.reach_px, factor)
            tip += f"\n\nThe network that is shown sees {sight}."
        if self._caption.isHidden():
            rest = (self.others.full_text, self.reason.full_text)
            tip = "\n\n".join([*filter(None, rest), tip])
        self.card.setToolTip(tip)
        self.refresh_age()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        for button in (self.learn, self.update_now, self.stop):
            button.set_palette(palette)
        set_part(self.learn, "primary")
