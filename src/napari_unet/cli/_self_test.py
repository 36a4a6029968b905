"""The doctor's self-test: learn a part of the sample and compare with its truth."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from napari_unet.config import LearnerConfig
from napari_unet.jobs import finish
from napari_unet.learning import Learner
from napari_unet.sample import load_sample

__all__ = ["SelfTest", "learn_and_predict"]

# holds strokes of both classes
_PART = (slice(180, 436), slice(384, 640))
# far below what any candidate reaches here: less means that wrong numbers come out
_ENOUGH = 0.8


@dataclass(frozen=True)
class SelfTest:
    """What learning and predicting gave on this machine."""

    text: str
    is_ok: bool


def learn_and_predict(device: str, total_s: float) -> SelfTest:
    """Learn for some seconds and predict.

    Parameters
    ----------
    device
        As in `LearnerConfig`.
    total_s
        About how long the learning may take (s); training gets 1 s at least.

    Raises
    ------
    DeviceError, OutOfMemoryError
        If the device is absent, or too small for anything.
    """
    sample = load_sample("nuclei")
    image, strokes = sample.image[_PART], sample.strokes[_PART]
    learner = Learner(LearnerConfig.model_validate({"device": device}))
    started = time.monotonic()
    learner.annotate(image, strokes)
    learner.predict(image)
    first_s = time.monotonic() - started
    status = finish(learner.fine_tune(seconds=max(total_s - first_s, 1.0)))
    started = time.monotonic()
    labels = learner.predict(image)
    predict_s = max(time.monotonic() - started, 1e-6)
    share = float(np.mean(labels == sample.truth[_PART]))
    text = (
        f"{status.device}: first labels in {first_s:.1f} s, "
        f"{status.step / max(status.seconds, 1e-6):.1f} training steps/s, "
        f"{image.size / predict_s / 1e6:.1f} Mpx/s, {share:.0%} of the sample right"
    )
    return SelfTest(text, share > _ENOUGH and status.step > 0)
