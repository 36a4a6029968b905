"""The interactive loop: one job that fits, predicts what is looked at, and trains.

Everything that needs torch happens in this job, one thing at a time: two jobs would
fight for the same cores. It reads an `Inbox`, into which the viewer drops copies of
the annotation, the visible field and the buttons' wishes, and never waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_unet.config import LearnerConfig
from napari_unet.errors import NapariUnetError
from napari_unet.jobs import (
    CancelToken,
    HeadFitted,
    JobEvent,
    LearningChanged,
    Notice,
    Scored,
)
from napari_unet.learning.preload import preload_torch, resting_collector

if TYPE_CHECKING:
    from napari_unet.learning.learner import Learner, LearnerStatus

__all__ = ["Inbox", "ViewRequest", "live"]

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
class _Annotated:
    image: Any
    annotation: NDArray[Any]
    axes: str | None


@dataclass
class _Mail:
    """What has come in since the loop last looked."""

    annotated: dict[str, _Annotated] = field(default_factory=dict)
    class_names: dict[int, str] | None = None
    wants_refresh: bool = False
    wants_reset: bool = False
    save_paths: list[str] = field(default_factory=list)


class Inbox:
    """Mailbox of the interactive loop; every method returns at once, on any thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._mail = _Mail()
        self._view: ViewRequest | None = None
        self._view_number = 0
        self._whole: str | None = None
        self._whole_token: CancelToken | None = None
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
        annotation: NDArray[Any],
        axes: str | None = None,
    ) -> None:
        """Hand over the annotation of an image; the newest one counts.

        ``annotation`` must be a private copy. Without any stroke it removes the image.
        """
        with self._condition:
            self._mail.annotated[key] = _Annotated(image, annotation, axes)
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

    def predict_all(self, key: str) -> None:
        """Predict every plane of an image."""
        with self._condition:
            self._whole, self._whole_token = key, CancelToken()
            self._wake()

    def cancel_prediction(self) -> None:
        """Stop predicting the whole image."""
        with self._condition:
            self._whole = None
            if self._whole_token is not None:
                self._whole_token.cancel()
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

    def save(self, path: str) -> None:
        """Write the model to a file."""
        with self._condition:
            self._mail.save_paths.append(path)
            self._wake()

    def reset(self) -> None:
        """Forget what was learned; what is painted stays."""
        with self._condition:
            self._mail.wants_reset = True
            self._wake()

    def close(self) -> None:
        """End the loop."""
        with self._condition:
            self._is_closed = True
            if self._whole_token is not None:
                self._whole_token.cancel()
            self._wake()

    # -- for the loop ---------------------------------------------------------------

    def take(self) -> _Mail:
        """Take what has come in."""
        with self._condition:
            mail, self._mail = self._mail, _Mail()
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

    def take_whole(self) -> tuple[str | None, CancelToken]:
        """Take the wish for a whole image."""
        with self._condition:
            key, self._whole = self._whole, None
            return key, self._whole_token or CancelToken()


def live(
    config: LearnerConfig, inbox: Inbox, token: CancelToken
) -> Generator[JobEvent, None, None]:
    """Run the interactive loop until the inbox is closed or the token cancelled.

    Yields every event of `Learner`, and `Notice` for what the user should read.
    Expected errors become notices and the loop goes on; all else is a bug and
    propagates.
    """
    yield Notice("Getting ready ...")
    with resting_collector():
        preload_torch()
        from napari_unet.learning.learner import Learner
    loop = _Loop(Learner(config), inbox, token)
    yield Notice(loop.learner.status.device, "device")
    yield Notice("Ready.")
    try:
        yield from loop.run()
    finally:
        loop.learner.reset()


class _Loop:
    """One pass after the other: mail, visible field, whole image, one training step."""

    def __init__(self, learner: Learner, inbox: Inbox, token: CancelToken) -> None:
        self.learner, self.inbox, self.token = learner, inbox, token
        self.images: dict[str, _Annotated] = {}
        self.shown: tuple[int, int] = (-1, -1)  # view number, generation
        self.failed_version = -1
        self.training: Generator[JobEvent, None, LearnerStatus] | None = None
        self.training_token = CancelToken()

    def run(self) -> Generator[JobEvent, None, None]:
        while not (self.token.cancelled or self.inbox.is_closed):
            number = self.inbox.number
            try:
                yield from self._pass()
            except NapariUnetError as error:
                yield from self._fail(error)
            if self.training is None:
                self.inbox.wait(number, self.token)
        yield from self._stop_training("")

    def _pass(self) -> Generator[JobEvent, None, None]:
        yield from self._read_mail()
        if self.learner.annotation_version != self.failed_version:
            yield from self._update()
            yield from self._show()
        yield from self._predict_whole()
        yield from self._train()

    def _fail(self, error: NapariUnetError) -> Generator[JobEvent, None, None]:
        """Say what went wrong, once, and wait for something to change."""
        self.failed_version = self.learner.annotation_version
        yield from self._stop_training(str(error))
        self.inbox.learn(False)
        yield Notice(str(error), "warning")

    def _read_mail(self) -> Generator[JobEvent, None, None]:
        mail = self.inbox.take()
        if mail.class_names is not None:
            self.learner.class_names = mail.class_names
        if mail.wants_reset:
            yield from self._stop_training("Forgot what was learned.")
            self.learner.reset()
            self.shown, self.failed_version = (-1, -1), -1
        if mail.wants_refresh:
            self.shown, self.failed_version = (-1, -1), -1
        for key, item in mail.annotated.items():
            self.images[key] = item
            try:
                self.learner.annotate(
                    item.image, item.annotation, key=key, axes=item.axes
                )
            except NapariUnetError as error:
                yield Notice(str(error), "warning")
        if mail.annotated:
            advice = self.learner.status.advice
            yield Notice(advice, "advice")
        for path in mail.save_paths:
            self.learner.save(path)
            yield Notice(f"Saved the model to {path}")

    def _update(self) -> Generator[JobEvent, None, None]:
        """Fit to new strokes and show the result before the gate has judged."""
        if not self._can_learn:
            return
        for event in self.learner.update():
            yield event
            if isinstance(event, HeadFitted):
                yield from self._show()
            if isinstance(event, Scored):
                yield Notice(self.learner.status.advice, "advice")

    @property
    def _can_learn(self) -> bool:
        return self.learner.n_classes_painted >= 2

    @property
    def _nothing_to_show(self) -> bool:
        return self.learner.generation == 0

    def _show(self) -> Generator[JobEvent, None, None]:
        """Predict the visible field if it moved or the model changed."""
        view, view_number = self.inbox.view
        generation = self.learner.generation
        if view is None or self._nothing_to_show or view.key not in self.images:
            return
        if self.shown == (view_number, generation):
            return
        token = CancelToken()
        for event in self._predict(view.key, token, view):
            yield event
            if self.inbox.view[1] != view_number or self.token.cancelled:
                return  # she looks elsewhere: begin anew there
        self.shown = (view_number, generation)

    def _predict(
        self, key: str, token: CancelToken, view: ViewRequest | None
    ) -> Generator[JobEvent, None, None]:
        from napari_unet.inference.tiles import Tile

        item = self.images[key]
        region = plane = None
        if view is not None:
            region = Tile(view.y0, view.y1, view.x0, view.x1)
            plane = view.index
        yield from self.learner.predict_tiles(
            item.image, key=key, axes=item.axes, index=plane, region=region, token=token
        )

    def _predict_whole(self) -> Generator[JobEvent, None, None]:
        key, token = self.inbox.take_whole()
        if key is None:
            return
        if self._nothing_to_show or key not in self.images:
            yield Notice(
                self.learner.status.advice or "Paint on this image first.", "advice"
            )
            return
        started = time.monotonic()
        yield from self._predict(key, token, None)
        if token.cancelled:
            yield Notice("Stopped predicting; the finished part stays.")
        else:
            spent = time.monotonic() - started
            yield Notice(f"Predicted the whole image in {spent:.1f} s.")

    def _train(self) -> Generator[JobEvent, None, None]:
        """Do one step of fine-tuning, or start or stop it."""
        if not self.inbox.is_learning:
            yield from self._stop_training("")
            return
        if self.training is None:
            if not self._can_learn:
                self.inbox.learn(False)
                yield LearningChanged(False, self.learner.status.advice)
                return
            self.training_token = CancelToken()
            self.training = self.learner.fine_tune(token=self.training_token)
            yield LearningChanged(True)
        event = next(self.training, None)
        if event is not None:
            yield event

    def _stop_training(self, reason: str) -> Generator[JobEvent, None, None]:
        if self.training is None:
            return
        self.training.close()
        self.training = None
        yield LearningChanged(False, reason)
