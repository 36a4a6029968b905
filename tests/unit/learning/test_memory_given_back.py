"""Stop, errors, a new beginning and another model give memory back."""

import gc
import weakref

import numpy as np
import pytest
import torch

from napari_unet.errors import TrainingError
from napari_unet.jobs import StepDone, finish
from napari_unet.learning import load
from napari_unet.learning.training import Trainer

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")


def watch(learner):
    """Return weak references to what takes memory in a training, by name."""
    state = learner._state
    trainer = state.trainer
    return {
        name: weakref.ref(thing)
        for name, thing in {
            "trainer": trainer,
            "network": trainer.unet,
            "average": trainer.average,
            "weights": next(trainer.unet.parameters()),
            "optimiser": trainer._optimizer,
            "moment": next(iter(trainer._optimizer.state().values())),
            "head": trainer._head,
            "teacher's head": getattr(trainer, "_teacher_head", trainer),
            "sampler": trainer._sampler,
            "start": state.start.unet,
            "snapshot": state.tuned.network.unet,
            "snapshot's maps": state.tuned.cache,
            "samples": state.samples,
            "model": state.model,
            "forest": state.model.forest,
        }.items()
    }


def alive(things):
    gc.collect()
    return {name for name, thing in things.items() if thing() is not None}


def n_gradients(learner):
    trainer = learner._state.trainer
    parameters = [*trainer.unet.parameters(), *trainer._head.parameters()]
    return sum(parameter.grad is not None for parameter in parameters)


def test_a_new_beginning_keeps_nothing(pretrained, image, strokes):
    pretrained.annotate(image, strokes)
    finish(pretrained.fine_tune(steps=2))
    things = watch(pretrained)
    assert alive(things) == things.keys()
    pretrained.reset()
    assert alive(things) == set()
    assert pretrained._state.cache.n_bytes == 0
    finish(pretrained.fine_tune(steps=1))  # what is painted is still there
    assert pretrained.status.step == 1


def test_nor_does_a_learner_that_is_dropped(new_learner, image, strokes):
    learner = new_learner()
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=1))
    things = watch(learner)
    del learner
    assert alive(things) == set()


@pytest.mark.parametrize("end", ["returned", "closed", "cancelled"])
def test_who_stops_keeps_the_training_but_no_gradients(learner, image, strokes, end):
    learner.annotate(image, strokes)
    job = learner.fine_tune(steps=2)
    for event in job:
        if isinstance(event, StepDone):
            assert n_gradients(learner) > 0
            if end != "returned":
                break
    if end == "closed":
        job.close()
    elif end == "cancelled":
        del job
        gc.collect()
    assert n_gradients(learner) == 0
    assert learner._state.trainer.n_steps == (2 if end == "returned" else 1)


@pytest.mark.parametrize("error", [TrainingError("no"), MemoryError(), ValueError()])
def test_an_error_keeps_no_gradients_nor_anything_after_reset(
    learner, image, strokes, monkeypatch, error
):
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=1))
    things = watch(learner)

    def fail(self, notices):
        self._backward()
        raise error

    monkeypatch.setattr(Trainer, "step", fail)
    with pytest.raises(type(error)):
        finish(learner.fine_tune(steps=1))
    assert n_gradients(learner) == 0
    error.__traceback__ = error.__context__ = None  # told, and dropped
    learner.reset()
    assert alive(things) == set()


def test_other_scales_let_the_training_go(pretrained, image, strokes):
    pretrained.annotate(image, strokes)
    finish(pretrained.fine_tune(steps=1))
    things = watch(pretrained)
    pretrained.set_scales(1)
    finish(pretrained.update())
    gone = things.keys() - alive(things)
    assert gone >= things.keys() - {"start", "forest"}


def test_a_resumed_training_keeps_nothing_either(learner, image, strokes, tmp_path):
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=1))
    path = tmp_path / "state.safetensors"
    learner.save(path, with_training=True)
    resumed = load(path)
    resumed.annotate(image, strokes)
    finish(resumed.fine_tune(steps=1))
    things = watch(resumed)
    resumed.reset()
    assert alive(things) == set()


def test_a_viewer_s_new_settings_let_the_old_learner_go(config, image, strokes):
    from scripted_loop import run

    trainers, left = [], []

    def note(event, inbox):
        if isinstance(event, StepDone) and not trainers:
            found = [x for x in gc.get_objects() if type(x) is Trainer]
            trainers.extend(weakref.ref(trainer) for trainer in found)
            inbox.learn(False)

    def change(inbox):
        inbox.set_config(config.model_copy(update={"seed": 5}))

    def look(inbox):
        gc.collect()
        left.extend(trainer for trainer in trainers if trainer() is not None)

    gc.collect()
    run(
        config,
        lambda inbox: inbox.annotate("image", image, np.array(strokes)),
        lambda inbox: inbox.learn(True),
        change,
        look,
        on=note,
    )
    assert trainers
    assert not left


@needs_cuda
def test_cuda_memory_comes_back(new_learner, image, strokes):
    learner = new_learner(device="cuda", base_channels=32)
    learner.annotate(image, strokes)
    finish(learner.update())
    learner.reset()
    gc.collect()
    before = torch.cuda.memory_allocated()
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=2))
    assert torch.cuda.memory_allocated() > before + 2**20
    learner.reset()
    gc.collect()
    assert torch.cuda.memory_allocated() <= before
