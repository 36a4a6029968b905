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
    AnnotationTaken,
    CancelToken,
    HeadFitted,
    JobEvent,
    LearningChanged,
    Notice,
    Progress,
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
    """One pass after the other: mail, visible field, whole image, one training step.

    Each part may fail by itself: it says so once, and the others go on.
    """

    def __init__(self, learner: Learner, inbox: Inbox, token: CancelToken) -> None:
        self.learner, self.inbox, self.token = learner, inbox, token
        self.images: dict[str, Annotated] = {}
        self.shown: tuple[int, int] = (-1, -1)  # view number, generation
        self.failed_version = -1
        self.told = ""  # the newest advice
        self.training: Generator[JobEvent, None, LearnerStatus] | None = None
        self.training_token = CancelToken()
        self.whole: Generator[JobEvent, None, None] | None = None
        self.whole_key, self.whole_token = "", CancelToken()
        self.whole_generation = 0

    def run(self) -> Generator[JobEvent, None, None]:
        while not self._is_over:
            number = self.inbox.number
            yield from self._read_mail()
            yield from self._update()
            yield from self._show()
            yield from self._predict_whole()
            if self.whole is None:  # who waits for an image does not wait for training
                yield from self._train()
            if self.training is None and self.whole is None:
                yield from self._show()  # the last score may have changed what is shown
                self.inbox.wait(number, self.token)
        self._drop_training()

    @property
    def _is_over(self) -> bool:
        return self.token.cancelled or self.inbox.is_closed

    def _read_mail(self) -> Generator[JobEvent, None, None]:
        mail = self.inbox.take()
        if mail.class_names is not None:
            self.learner.class_names = mail.class_names
        if mail.wants_reset:
            yield from self._stop_training("Forgot what was learned.")
            self.learner.reset()
        if mail.wants_scales:
            yield from self._set_scales(mail.n_scales)
        if mail.wants_reset or mail.wants_refresh:
            self.shown, self.failed_version = (-1, -1), -1
        for key in mail.forgotten:
            self.images.pop(key, None)
            self.learner.forget(key)
        for key, item in mail.annotated.items():
            self.images[key] = item
            yield from self._annotate(key, item)
        if mail.annotated or mail.forgotten:
            yield self._advice()
        for path in mail.save_paths:
            yield from self._save(path)

    def _set_scales(self, n_scales: int | None) -> Generator[JobEvent, None, None]:
        """See other sizes of the image; where training is wanted, it starts again."""
        before = self.learner.config
        try:
            self.learner.set_scales(n_scales)
        except NapariUnetError as error:
            yield Notice(str(error), "warning")
        if self.learner.config == before:
            return
        if self.learner.status.step:
            yield Notice("Other object sizes: fine-tuning begins again.")
        self._drop_training()
        self.failed_version = -1

    def _annotate(self, key: str, item: Annotated) -> Generator[JobEvent, None, None]:
        try:
            self.learner.annotate(
                item.image,
                item.annotation,
                key=key,
                axes=item.axes,
                complete=item.complete,
            )
        except NapariUnetError as error:
            yield Notice(str(error), "warning")

    def _save(self, path: str) -> Generator[JobEvent, None, None]:
        try:
            self.learner.save(path)
            yield Notice(f"Saved the model to {path}")
        except NapariUnetError as error:
            yield Notice(str(error), "warning")

    def _advice(self) -> Notice:
        self.told = self.learner.status.advice
        return Notice(self.told, "advice")

    def _new_advice(self) -> Generator[JobEvent, None, None]:
        """Say what a prediction has shown, or that it is no longer so."""
        if self.learner.status.advice != self.told:
            yield self._advice()

    @property
    def _can_learn(self) -> bool:
        return self.learner.can_learn

    def _update(self) -> Generator[JobEvent, None, None]:
        """Fit to new strokes and show the result before the gate has judged."""
        version = self.learner.annotation_version
        if not self._can_learn or version == self.failed_version:
            return
        try:
            for event in self.learner.update():
                yield event
                if isinstance(event, HeadFitted):
                    yield from self._show()
                if isinstance(event, Scored):
                    yield self._advice()
        except NapariUnetError as error:
            self.failed_version = version
            yield from self._give_up_training(error)

    def _show(self) -> Generator[JobEvent, None, None]:
        """Predict the visible field if it moved or the model changed."""
        view, view_number = self.inbox.view
        now = (view_number, self.learner.generation)
        if view is None or self.learner.generation == 0 or self.shown == now:
            return
        if view.key not in self.images or self.inbox.has_annotations:
            return
        try:
            for event in self._predict(view.key, view=view):
                yield event
                is_stale = self.inbox.view[1] != view_number
                if is_stale or self.inbox.has_annotations or self._is_over:
                    return  # she looks elsewhere, or has painted: begin anew
        except NapariUnetError as error:
            yield Notice(str(error), "warning")
        self.shown = now
        yield from self._new_advice()

    def _predict(
        self,
        key: str,
        *,
        view: ViewRequest | None = None,
        token: CancelToken | None = None,
    ) -> Generator[JobEvent, None, bool]:
        from napari_unet.inference.tiles import Tile

        item = self.images[key]
        done = yield from self.learner.predict_tiles(
            item.image,
            key=key,
            axes=item.axes,
            index=view.index if view else None,
            region=Tile(view.y0, view.y1, view.x0, view.x1) if view else None,
            token=token,
        )
        return done

    def _predict_whole(self) -> Generator[JobEvent, None, None]:
        """Go on with the whole image by one tile, if one is wanted."""
        key, token = self.inbox.take_whole()
        is_older = self.whole_generation != self.learner.generation
        if key is None and self.whole is not None and is_older:
            # half of it by an older model would be a patchwork: begin anew
            key, token = self.whole_key, self.whole_token
        if key is not None:
            if self.learner.generation == 0 or key not in self.images:
                if self.whole is not None:  # its strokes or its model went away
                    self.whole = None
                    yield Notice("Stopped predicting; the finished part stays.")
                text = self.learner.status.advice or "Paint on this image first."
                yield Notice(text, "advice")
                return
            self.whole = self._whole_image(key, token)
            self.whole_key, self.whole_token = key, token
            self.whole_generation = self.learner.generation
        if self.whole is None:
            return
        for event in self.whole:
            yield event
            if isinstance(event, Progress):
                return
        self.whole = None

    def _whole_image(
        self, key: str, token: CancelToken
    ) -> Generator[JobEvent, None, None]:
        started = time.monotonic()
        try:
            if (yield from self._predict(key, token=token)):
                spent = time.monotonic() - started
                yield Notice(f"Predicted the whole image in {spent:.1f} s.")
            else:
                yield Notice("Stopped predicting; the finished part stays.")
            yield from self._new_advice()
        except NapariUnetError as error:
            yield Notice(str(error), "warning")

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
        try:
            event = next(self.training, None)
        except NapariUnetError as error:
            yield from self._give_up_training(error)
            return
        if event is not None:
            yield event
            if isinstance(event, AnnotationTaken):  # which takes older advice back
                yield self._advice()
        else:
            self.inbox.learn(False)
            yield from self._stop_training("")

    def _stop_training(self, reason: str) -> Generator[JobEvent, None, None]:
        """End training after the gate has judged what it came to."""
        if self.training is None:
            return
        self.training_token.cancel()
        try:
            yield from self.training
        except NapariUnetError as error:
            yield Notice(str(error), "warning")
        self.training = None
        yield LearningChanged(False, reason)

    def _give_up_training(
        self, error: NapariUnetError
    ) -> Generator[JobEvent, None, None]:
        """Say what went wrong; training stops, and what was learned stays."""
        self.inbox.learn(False)
        if self.training is not None:
            self._drop_training()
            yield LearningChanged(False, str(error))
        yield Notice(str(error), "warning")

    def _drop_training(self) -> None:
        if self.training is not None:
            self.training.close()
            self.training = None
