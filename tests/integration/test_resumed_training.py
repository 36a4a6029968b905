"""Half a training in one process and half in the next one is the whole of it."""

import os
import subprocess
import sys

import numpy as np
import pytest

from napari_unet.core.checkpoint import load_tensors
from napari_unet.jobs import StepDone
from napari_unet.learning import Learner

HALF = """
import sys
import numpy as np
from napari_unet import load
from napari_unet.jobs import finish

folder, mode = sys.argv[1:]
arrays = np.load(f"{folder}/scene.npz")
learner = load(f"{folder}/half.safetensors")
for image, painted in zip(arrays["images"], arrays["painted"]):
    learner.annotate(image, painted)
finish(learner.fine_tune(steps=6))
learner.save(f"{folder}/resumed.safetensors", with_training=True)
np.save(f"{folder}/predicted.npy", learner.predict_probabilities(arrays["images"][0]))
"""
TINY = {"base_channels": 4, "depth": 1, "device": "cpu", "n_threads": 1}
SETTINGS = {
    "default": {
        "augmentation": {"elastic_sigma_px": 4.0, "contrast": 0.2, "noise": 0.1},
        "fine_tune": {"patch_px": 32, "score_every_s": 3600},
    },
    "paper": {
        "recipe": "paper",
        "fine_tune": {"patch_px": 32, "score_every_s": 3600},
    },
    "objects": {
        "annotation_mode": "objects",
        "fine_tune": {"patch_px": 32, "score_every_s": 3600},
    },
}


def _scene(is_of_objects):
    """Return two images, and what is painted on them."""
    images = np.random.default_rng(0).normal(0, 0.05, (2, 48, 48))
    images[:, 16:32, 16:32] += 1
    painted = np.zeros((2, 48, 48), np.uint8)
    painted[:, 3:6, 4:30] = painted[:, 40:44, 4:30] = 1
    painted[0, 18:30, 18:24], painted[0, 18:30, 24:30] = 2, 3 if is_of_objects else 2
    painted[1, 18:22, 18:30], painted[1, 26:30, 18:30] = 2, 3 if is_of_objects else 2
    return images, painted


@pytest.mark.parametrize("name", list(SETTINGS))
def test_two_processes_train_as_one(tmp_path, name):
    from napari_unet.config import LearnerConfig

    images, painted = _scene(name == "objects")
    np.savez(tmp_path / "scene.npz", images=images, painted=painted)
    learner = Learner(LearnerConfig.model_validate({**TINY, **SETTINGS[name]}))
    for image, annotation in zip(images, painted, strict=True):
        learner.annotate(image, annotation)
    n_done = 0
    for event in learner.fine_tune(steps=12):
        if isinstance(event, StepDone):
            n_done += 1
            if n_done == 6:
                learner.save(tmp_path / "half.safetensors", with_training=True)
    learner.save(tmp_path / "whole.safetensors", with_training=True)
    subprocess.run(
        [sys.executable, "-c", HALF, tmp_path, name],
        check=True,
        timeout=150,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    mine, theirs = (
        load_tensors(tmp_path / f"{which}.safetensors")
        for which in ("resumed", "whole")
    )
    for header in (mine[1], theirs[1]):
        assert header.pop("seconds") > 0
        assert header["training"].pop("seconds") > 0
    assert mine[1] == theirs[1]  # scores, the choice, random numbers, counts
    assert mine[0].keys() == theirs[0].keys()
    for key, array in theirs[0].items():
        np.testing.assert_array_equal(mine[0][key], array, strict=True, err_msg=key)
    half, _ = load_tensors(tmp_path / "half.safetensors")
    moved = [k for k in half if k.startswith("training.trainer.unet.down")]
    assert moved
    assert all((half[key] != mine[0][key]).any() for key in moved)
    predicted = np.load(tmp_path / "predicted.npy")
    np.testing.assert_array_equal(predicted, learner.predict_probabilities(images[0]))
