"""Learning stacks by a network that sees the planes around."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr
from scripted_loop import of, run

from napari_unet.core.checkpoint import load_tensors, save_tensors
from napari_unet.core.source import Normaliser
from napari_unet.errors import CheckpointError, ImageError
from napari_unet.export import open_store
from napari_unet.jobs import HeadFitted, Notice, StepDone, TilePredicted, finish
from napari_unet.learning import Learner, candidates
from napari_unet.learning import training as training_module
from napari_unet.learning.inbox import ViewRequest
from napari_unet.learning.networks import ensure_trainer

SEEING = pytest.mark.parametrize("dimensions", ["2.5d", "3d"])
SHAPE = (7, 48, 48)


@pytest.fixture
def stack(scene):
    """A square in each of seven planes, and strokes in three of them."""
    image = np.stack([scene.image(seed=z) for z in range(SHAPE[0])])
    strokes = np.zeros(SHAPE, np.uint8)
    strokes[1] = strokes[3] = strokes[6] = scene.strokes()
    return image, strokes


@pytest.fixture
def make(scene, bundle, monkeypatch):
    bundle(monkeypatch)

    def make(dimensions, **changes):
        update = {"dimensions": dimensions, **changes}
        return Learner(scene.pretrained.model_copy(update=update))

    return make


@SEEING
def test_training_sees_the_planes_around_and_the_start_does_not(
    make, stack, dimensions
):
    image, strokes = stack
    learner = make(dimensions)
    learner.annotate(image, strokes, scale=(2.5, 1, 1))
    losses = [e.loss for e in learner.fine_tune(steps=4) if hasattr(e, "loss")]
    assert np.isfinite(losses).all()
    state = learner._state
    assert state.start.unet.planes_around == 0
    tuned = state.tuned.network.unet
    assert tuned.planes_around == {"2.5d": 1, "3d": 4}[dimensions]
    assert tuned.config.anisotropy == (2.5 if dimensions == "3d" else 1)
    assert any(
        not torch.equal(a, b)
        for (_, a), (_, b) in zip(
            state.trainer.network.unet.named_parameters(),
            tuned.named_parameters(),
            strict=True,
        )
    )


@SEEING
def test_what_training_begins_with_predicts_as_the_2d_network(make, stack, dimensions):
    image, strokes = stack
    learner = make(dimensions)
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=0))
    flat = finish(learner.predict_job(image, candidate="instant", probabilities=True))
    state = learner._state
    begun = ensure_trainer(state).network
    assert begun.unet.planes_around
    state.model = replace(state.model, start=begun)
    deep = finish(learner.predict_job(image, candidate="instant", probabilities=True))
    assert flat.std() > 0.05
    np.testing.assert_allclose(deep, flat, rtol=0, atol=1e-3)


@SEEING
def test_neighbours_can_be_learned(make, dimensions):
    """Only the plane below tells what is here: a 2D network cannot know."""
    rng = np.random.default_rng(0)
    image = rng.normal(0, 0.05, (9, 48, 48)).astype(np.float32)
    image[::2, :, 24:] += 1  # planes of both kinds, the same on their left
    strokes = np.zeros(image.shape, np.uint8)
    for z in range(1, 8):
        strokes[z, 6:9, 4:20] = strokes[z, 30:33, 4:20] = 1
        strokes[z, 16:19, 28:44] = strokes[z, 40:43, 28:44] = 2
    # an odd plane is dark everywhere: its right half differs by its neighbours alone
    learner = make(dimensions)
    learner.annotate(image, strokes)
    list(learner.fine_tune(steps=60))
    truth = np.ones(image.shape, int)
    truth[:, :, 24:] = 2
    right = {
        name: (learner.predict(image, candidate=name) == truth)[3:6:2, :, 28:].mean()
        for name in ("instant", "fine-tuned")
    }
    assert right["fine-tuned"] > right["instant"] + 0.2


@SEEING
def test_a_model_is_saved_and_learns_on(make, stack, dimensions, tmp_path):
    image, strokes = stack
    learner = make(dimensions)
    learner.annotate(image, strokes, scale=(3, 1, 1))
    list(learner.fine_tune(steps=2))
    learner.save(tmp_path / "model.safetensors")
    again = Learner.load(tmp_path / "model.safetensors")
    assert again.config.dimensions == dimensions
    for name in ("instant", "fine-tuned"):
        np.testing.assert_array_equal(
            again.predict(image, candidate=name), learner.predict(image, candidate=name)
        )
    again.annotate(image, strokes)
    list(again.fine_tune(steps=1))
    before, after = (one._state.tuned.network.unet.config for one in (learner, again))
    assert after == before


def test_a_file_whose_network_is_not_as_its_settings_say_is_refused(
    make, stack, tmp_path
):
    image, strokes = stack
    learner = make("3d")
    learner.annotate(image, strokes)
    list(learner.fine_tune(steps=1))
    path = tmp_path / "model.safetensors"
    learner.save(path)
    tensors, header = load_tensors(path)
    header["tuned_network"] = {**header["tuned_network"], "z_levels": 1}
    save_tensors(path, tensors, header)
    with pytest.raises(CheckpointError, match="not as the settings say"):
        Learner.load(path)


@SEEING
def test_images_without_z_are_refused(make, scene, dimensions):
    learner = make(dimensions)
    with pytest.raises(ImageError, match=f"no z: with dimensions '{dimensions}'"):
        learner.annotate(scene.image(), scene.strokes())
    with pytest.raises(ImageError, match="no z"):
        learner.annotate(np.zeros((3, 48, 48)), np.zeros((3, 48, 48), int), axes="TYX")


def test_images_without_z_are_not_predicted_either(make, stack, scene):
    learner = make("3d")
    learner.annotate(*stack)
    finish(learner.update())
    with pytest.raises(ImageError, match="trained with '2d'"):
        learner.predict(scene.image())


@pytest.mark.parametrize("scale", [(1, 1), (0, 1, 1), (float("nan"), 1, 1)])
def test_impossible_scales_are_refused(make, stack, scale):
    with pytest.raises(ImageError, match="finite numbers, not 0"):
        make("3d").annotate(*stack, scale=scale)


def test_the_setting_wins_over_the_image_s_scale(make, stack):
    learner = make("3d", voxel_anisotropy=2.0)
    learner.annotate(*stack, scale=(1, 1, 1))
    finish(learner.fine_tune(steps=0))
    network = ensure_trainer(learner._state).network.unet
    assert network.config.anisotropy == 2


def test_a_batch_of_slabs_is_halved_where_memory_runs_out(make, stack, monkeypatch):
    learner = make("3d")
    learner.annotate(*stack)
    finish(learner.fine_tune(steps=0))
    real = training_module.sparse_loss

    def poor(logits, *rest):
        if len(logits) > 1:
            raise MemoryError
        return real(logits, *rest)

    monkeypatch.setattr(training_module, "sparse_loss", poor)
    notices = [e for e in learner.fine_tune(steps=1) if hasattr(e, "message")]
    assert learner._state.trainer.batch_size == 1
    assert any("went on with 1 patch" in n.message for n in notices)


def test_a_running_loop_goes_over_to_3d_and_back(scene, bundle, monkeypatch, stack):
    """All strokes are learned anew, by a learner that fine-tunes as it is told."""
    bundle(monkeypatch)
    image, strokes = stack
    flat = scene.pretrained
    deep = flat.model_copy(update={"dimensions": "3d"})
    seen = []
    real = training_module.Trainer.step

    def note(trainer, notices):
        seen.append((trainer.unet.planes_around, trainer.unet.config.anisotropy))
        return real(trainer, notices)

    monkeypatch.setattr(training_module.Trainer, "step", note)

    def on(event, inbox):
        if isinstance(event, StepDone):
            inbox.learn(False)

    learn = lambda inbox: inbox.learn(True)  # noqa: E731
    events = run(
        flat,
        lambda inbox: inbox.show(ViewRequest("image", (3,), 0, 48, 0, 48)),
        lambda inbox: inbox.annotate("image", image, strokes, "ZYX", None, (3, 1, 1)),
        learn,
        lambda inbox: inbox.set_config(deep),
        learn,
        lambda inbox: inbox.set_config(flat),
        learn,
        on=on,
    )
    assert seen == [(0, 1), (4, 3), (0, 1)]
    assert len({e.annotation_version for e in of(events, HeadFitted)}) == 1
    assert {e.index for e in of(events, TilePredicted)} == {(3,)}
    assert [e for e in of(events, Notice) if e.level == "warning"] == []


@SEEING
def test_a_stack_is_streamed_with_the_pixels_of_predict(
    make, stack, dimensions, tmp_path, monkeypatch
):
    n_planes, n_fits = [], []
    compute, fit = candidates.compute_slab_maps, Normaliser.fit

    def count(unet, source, plane, n, *rest):
        n_planes.append(n)
        return compute(unet, source, plane, n, *rest)

    def count_fits(stack):
        n_fits.append(stack)
        return fit(stack)

    monkeypatch.setattr(candidates, "compute_slab_maps", count)
    monkeypatch.setattr(Normaliser, "fit", count_fits)
    image, strokes = stack
    learner = make(dimensions)
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=2))
    state = learner._state
    state.model = state.model.using(state.tuned, "fine-tuned")
    state.cache.clear()
    state.model.predictor().cache.clear()
    n_planes.clear()
    n_fits.clear()
    path = tmp_path / "labels.zarr"
    finish(learner.stream_job(image, lambda plan: open_store(path, plan)))
    assert len(n_fits) <= 1
    if dimensions == "3d":
        n_rows = -(-SHAPE[1] // state.tile_px)
        assert sum(n_planes) == SHAPE[0] * n_rows**2  # each computed once
        assert max(n_planes) > 1
    labels = zarr.open_group(path)["0"][...]
    np.testing.assert_array_equal(labels, learner.predict(image))
    assert len(np.unique(labels)) > 1
