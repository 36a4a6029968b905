"""The interactive loop: one job that fits, predicts what is looked at, and trains.

Everything that needs torch happens in this job, one thing at a time: two jobs would
fight for the same cores. It reads an `Inbox`, into which the viewer drops copies of
the annotation, the visible field and the buttons' wishes, and never waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING

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
from napari_unet.learning.inbox import Annotated, Inbox, ViewRequest
from napari_unet.learning.preload import preload_torch, resting_collector

if TYPE_CHECKING:
    from napari_unet.learning.learner import Learner, LearnerStatus

__all__ = ["live"]


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
        self.images: dict[str, Annotated] = {}
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
        for key in mail.forgotten:
            self.images.pop(key, None)
            self.learner.forget(key)
        for key, item in mail.annotated.items():
            self.images[key] = item
            try:
                self.learner.annotate(
                    item.image, item.annotation, key=key, axes=item.axes
                )
            except NapariUnetError as error:
                yield Notice(str(error), "warning")
        if mail.annotated or mail.forgotten:
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
        else:
            self.inbox.learn(False)
            yield from self._stop_training("")

    def _stop_training(self, reason: str) -> Generator[JobEvent, None, None]:
        if self.training is None:
            return
        self.training.close()
        self.training = None
        yield LearningChanged(False, reason)
