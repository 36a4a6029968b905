"""The interactive loop: one job that fits, predicts what is looked at, and trains.

Everything that needs torch happens in this job, one thing at a time: two jobs would
fight for the same cores. It reads an `Inbox`, into which the viewer drops copies of
the annotation, the visible field and the buttons' wishes, and never waits for it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from napari_unet.config import LearnerConfig
from napari_unet.errors import ConfigError, NapariUnetError
from napari_unet.jobs import (
    AnnotationTaken,
    CancelToken,
    HeadFitted,
    JobEvent,
    LearningChanged,
    ModeChanged,
    ModelSaved,
    Notice,
    Progress,
    ScalesChanged,
    Scored,
    SettingsRefused,
)
from napari_unet.learning.inbox import Inbox, Mail, ViewRequest
from napari_unet.learning.live_confidence import find_confidence
from napari_unet.learning.live_images import ToldOf
from napari_unet.learning.live_whole import WholePrediction
from napari_unet.learning.preload import preload_torch, resting_collector

if TYPE_CHECKING:
    from napari_unet.inference.predict import Store
    from napari_unet.learning.learner import Learner, LearnerStatus

__all__ = ["live"]

_NOTHING = (-1, -1, -1)


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
    yield Notice("")
    try:
        yield from loop.run()
    finally:
        loop.learner.reset()


class _Loop:
    """One pass after the other: mail, visible field, whole image, one training step.

    Each part may fail by itself: it says so once, and the others go on.
    """

    def __init__(self, learner: Learner, inbox: Inbox, token: CancelToken) -> None:
        from napari_unet.learning.live_guide import Guide
        from napari_unet.learning.live_objects import FieldObjects

        self.learner, self.inbox, self.token = learner, inbox, token
        self.told_of = ToldOf()
        self.images = self.told_of.images
        self.objects = FieldObjects()
        self.guide = Guide(inbox, token)
        self.shown = _NOTHING  # view number, generation, number of the objects' wish
        self.failed_version = -1
        self.told = ""  # the newest advice
        self.training: Generator[JobEvent, None, LearnerStatus] | None = None
        self.training_token = CancelToken()
        self.whole = WholePrediction()

    def run(self) -> Generator[JobEvent, None, None]:
        while not self._is_over:
            number = self.inbox.number
            yield from self._read_mail()
            self.guide.follow(self.learner)
            yield from self._update()
            yield from self._show()
            yield from self.guide.search(self.learner, self.images, self._why_not)
            yield from find_confidence(
                self.learner, self.images, self.inbox, self.token
            )
            yield from self._predict_whole()
            is_whole = self.whole.is_running
            if not is_whole:  # who waits for an image does not wait for training
                yield from self._train()
            if self.training is None and not is_whole:
                yield from self._show()  # the last score may have changed what is shown
                self.inbox.wait(number, self.token)
        for path, with_training in self.inbox.take().saves:
            yield from self._save(path, with_training)  # its last deed
        self._drop_training()
        self.whole.drop()

    @property
    def _is_over(self) -> bool:
        return self.token.cancelled or self.inbox.is_closed

    def _read_mail(self) -> Generator[JobEvent, None, None]:
        mail = self.inbox.take()
        if mail.class_names is not None:
            self.learner.class_names = mail.class_names
        # before the rest: what was learned until then is to be saved
        for path, with_training in mail.saves:
            yield from self._save(path, with_training)
        if mail.wants_reset:
            yield from self._stop_training("Forgot what was learned.")
            self.learner.reset()
        if mail.wants_scales:
            yield from self._set_scales(mail.n_scales)
        if mail.wants_reset or mail.wants_refresh:
            self.shown, self.failed_version = _NOTHING, -1
        for key in mail.forgotten:
            self.told_of.forget(key)
            self.learner.forget(key)
            self.guide.watch.forget(key)
        self.images.update(mail.annotated)
        is_new = yield from self._renew(mail)
        if mail.load_path is not None:
            is_new |= yield from self._load(mail.load_path, mail.keeps_scales)
        keys = list(self.images if is_new else mail.annotated)
        if mail.wants_refresh:
            keys += self.told_of.unreadable - set(keys)
        if mail.wants_reset:  # what did not go with what was learned may go now
            keys += self.told_of.refused.keys() - set(keys)
        for key in keys:
            yield from self.told_of.tell(self.learner, key)
        if mail.annotated or mail.forgotten or is_new or mail.mode is not None:
            yield self._advice()

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

    def _renew(self, mail: Mail) -> Generator[JobEvent, None, bool]:
        """Begin with an empty learner where it is to be another one; say whether."""
        if mail.config is None and mail.mode is None:
            return False
        old = self.learner
        mode = mail.mode or old.config.annotation_mode
        same = old.config.model_copy(update={"annotation_mode": mode})
        config = same if mail.config is None else _with_own(mail.config, same)
        try:
            learner = old if config == old.config else type(old)(config)
        except NapariUnetError as error:  # no such device, say
            yield Notice(str(error), "warning")
            yield SettingsRefused()
            learner = old if same == old.config else type(old)(same)
        if learner is not old:
            yield from self._take_up(learner)
        yield ModeChanged(mode)
        return learner is not old

    def _load(self, path: str, keeps_scales: bool) -> Generator[JobEvent, None, bool]:
        """Go on with the model of a file; say whether that is so.

        With ``keeps_scales`` it is to see the sizes that are set now, even where it
        learned others; else those are set that it learned.
        """
        old = self.learner
        try:
            learner = type(old).load(path, old.config.device)
            mode, wanted = learner.config.annotation_mode, old.config.annotation_mode
            if mode != wanted:
                raise ConfigError(
                    f"the model {path} learned {mode}, and {wanted} are painted now"
                )
        except NapariUnetError as error:
            yield Notice(str(error), "warning")
            return False
        yield from self._take_up(learner)
        if keeps_scales:
            yield from self._set_scales(old.config.instant.n_scales)
        else:
            yield ScalesChanged(learner.config.instant.n_scales)
        return True

    def _take_up(self, learner: Learner) -> Generator[JobEvent, None, None]:
        """Go on with another learner, which is to be told all annotations."""
        old = self.learner
        self._drop_training()
        mode = learner.config.annotation_mode
        # of another mode, the overlay keeps nothing
        is_same_mode = mode == old.config.annotation_mode
        yield from self.whole.stop("" if is_same_mode else "Stopped predicting.")
        learner.class_names = old.class_names
        old.reset()
        self.learner = learner
        self.told_of.try_again()
        self.shown, self.failed_version = _NOTHING, -1
        yield Notice(learner.status.device, "device")

    def _save(self, path: str, with_training: bool) -> Generator[JobEvent, None, None]:
        try:
            self.learner.save(path, with_training=with_training)
            yield ModelSaved(path)
        except NapariUnetError as error:
            yield Notice(str(error), "warning")

    def _advice(self) -> Notice:
        self.told = self._advice_text
        return Notice(self.told, "advice")

    def _new_advice(self) -> Generator[JobEvent, None, None]:
        """Say what a prediction has shown, or that it is no longer so."""
        if self._advice_text != self.told:
            yield self._advice()

    @property
    def _advice_text(self) -> str:
        """What to paint; where painting does not help, why."""
        refused = "" if self.learner.can_learn else self.told_of.why_refused
        return refused or self.learner.status.advice

    def _why_not(self) -> str:
        """Say what to paint where nothing can be predicted yet."""
        return self._advice_text or "Paint on this image first."

    def _update(self) -> Generator[JobEvent, None, None]:
        """Fit to new strokes and show the result before the gate has judged."""
        version = self.learner.annotation_version
        if not self.learner.can_learn or version == self.failed_version:
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
        settings, objects_number = self.inbox.objects
        now = (view_number, self.learner.generation, objects_number)
        if view is None or self.learner.generation == 0 or self.shown == now:
            return
        if view.key not in self.images or self.inbox.has_annotations:
            return
        self.objects.begin(view)
        self.guide.follow(self.learner)  # wishes may be newer than this pass
        store = None if settings is None else self.objects.store
        try:
            for event in self._predict(view, store):
                if not isinstance(event, Progress):  # which is for whole images
                    yield event
                yield from self.guide.maps()
                is_stale = self.inbox.view[1] != view_number
                if is_stale or self.inbox.has_annotations or self._is_over:
                    return  # she looks elsewhere, or has painted: begin anew
            if settings is not None:
                learner = self.learner
                yield from self.objects.show(
                    view, learner.generation, settings, learner.smallest_object_px
                )
        except NapariUnetError as error:
            yield Notice(str(error), "warning")
        self.shown = now
        yield from self._new_advice()

    def _predict(
        self, view: ViewRequest, store: Store | None
    ) -> Generator[JobEvent, None, bool]:
        """Predict the visible field."""
        from napari_unet.inference.tiles import Tile

        item = self.images[view.key]
        done = yield from self.learner.predict_tiles(
            item.image,
            key=view.key,
            axes=item.axes,
            index=view.index,
            region=Tile(view.y0, view.y1, view.x0, view.x1),
            store=store,
        )
        return done

    def _predict_whole(self) -> Generator[JobEvent, None, None]:
        """Go on with the whole image by one tile, if one is wanted."""
        wish = self.inbox.take_whole()
        if wish is None and not self.whole.is_running:
            return
        why_not = self._why_not()
        settings, _ = self.inbox.objects
        yield from self.whole.advance(
            self.learner, self.images, wish, settings, why_not
        )
        yield from self.guide.maps()
        if not self.whole.is_running:
            yield from self._new_advice()

    def _train(self) -> Generator[JobEvent, None, None]:
        """Do one step of fine-tuning, or start or stop it."""
        if not self.inbox.is_learning:
            yield from self._stop_training("")
            return
        if self.training is None:
            for key in list(self.told_of.unreadable):  # maybe its drive is back
                yield from self.told_of.tell(self.learner, key)
            if not self.learner.can_learn:
                if self.inbox.has_annotations:  # painted while this turn took its time
                    return
                self.inbox.learn(False)
                yield LearningChanged(False, self._advice_text)
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


def _with_own(config: LearnerConfig, own: LearnerConfig) -> LearnerConfig:
    """Return settings with another's mode and scales, which have their own messages."""
    instant = config.instant.model_copy(update={"n_scales": own.instant.n_scales})
    mode = own.annotation_mode
    return config.model_copy(update={"instant": instant, "annotation_mode": mode})
