"""A training that is saved and loaded goes on exactly, or sensibly where it cannot."""

import json

import numpy as np
import pytest
import torch

from napari_unet.config import AugmentationConfig, LearnerConfig
from napari_unet.core.checkpoint import load_tensors, save_tensors
from napari_unet.errors import CheckpointError, ImageError
from napari_unet.jobs import HeadFitted, Notice, Scored, StepDone, finish
from napari_unet.learning import Learner, load
from napari_unet.learning.trainer_state import RandomFacts

ALL_AT_RANDOM = AugmentationConfig(
    elastic_sigma_px=4, contrast=0.2, brightness=0.2, noise=0.1
)


def paint(learner, scene, order="ab"):
    """Annotate two images of the same strokes."""
    for name in order:
        learner.annotate(scene.image(seed=ord(name)), scene.strokes(), key=name)
    return learner


def objects_of(scene):
    objects = np.zeros((48, 48), np.uint8)
    objects[3:10, 4:20] = objects[40:45] = 1
    objects[18:30, 18:24], objects[18:30, 24:30] = 2, 3
    objects[2:8, 26:34], objects[34:40, 4:12] = 4, 5
    return objects


def settings(scene, name):
    if name == "paper":
        given = scene.config.model_dump(include={"device", "n_threads", "tiling"})
        fine_tune = {"score_every_s": 3600, "patch_px": 32}
        return LearnerConfig(
            recipe="paper", base_channels=4, depth=1, fine_tune=fine_tune, **given
        )
    changes = {"augmentation": ALL_AT_RANDOM}
    if name == "objects":
        changes["annotation_mode"] = "objects"
    if name == "unet2015":
        changes |= {"architecture": "unet2015", "depth": 1}
    return scene.config.model_copy(update=changes)


def losses(job, at=0, act=None):
    """Return the losses of a training; ``act`` after step ``at``."""
    found = []
    for event in job:
        if isinstance(event, StepDone):
            found.append(event.loss)
            if event.step == at:
                act()
    return found


def all_tensors(learner, path):
    learner.save(path, with_training=True)
    tensors, header = load_tensors(path)
    header["training"].pop("seconds"), header.pop("seconds")
    return tensors, header


@pytest.fixture(scope="module")
def saved(scene, tmp_path_factory):
    """A training of three steps on two images, which nobody goes on with."""
    learner = Learner(scene.config)
    finish(paint(learner, scene).fine_tune(steps=3))
    path = tmp_path_factory.mktemp("training") / "state.safetensors"
    learner.save(path, with_training=True)
    return path


@pytest.fixture
def state_file(saved):
    return saved


@pytest.fixture
def going_on(learner, scene):
    """The learner of the state file."""
    finish(paint(learner, scene).fine_tune(steps=3))
    return learner


@pytest.fixture
def rewrite(state_file, tmp_path):
    """Write the file anew with other entries below ``training``, or other tensors."""

    def write(change=None, tensor_changes=()):
        tensors, header = load_tensors(state_file)
        if change is not None:
            change(header["training"])
        tensors |= {f"training.{name}": a for name, a in dict(tensor_changes).items()}
        path = tmp_path / "changed.safetensors"
        save_tensors(path, {n: a for n, a in tensors.items() if a is not None}, header)
        return path

    return write


# -- exactly -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["default", "paper", "objects", "unet2015"])
def test_a_resumed_training_is_the_uninterrupted_one(scene, name, tmp_path):
    image = scene.image()
    painted = objects_of(scene) if name == "objects" else scene.strokes()

    def begin():
        learner = Learner(settings(scene, name))
        learner.annotate(image, painted)
        return learner

    path = tmp_path / "state.safetensors"
    whole = begin()
    wanted = losses(
        whole.fine_tune(steps=12), 6, lambda: whole.save(path, with_training=True)
    )
    assert losses(begin().fine_tune(steps=12)) == wanted  # saving changes nothing
    torch.rand(5)  # as another process would be elsewhere
    resumed = load(path)
    resumed.annotate(image, painted)
    assert losses(resumed.fine_tune(steps=6)) == wanted[6:]
    assert len(set(wanted)) == 12
    mine, theirs = (
        all_tensors(x, tmp_path / "end.safetensors") for x in (resumed, whole)
    )
    assert mine[1] == theirs[1]
    assert mine[0].keys() == theirs[0].keys()
    for key, array in theirs[0].items():
        np.testing.assert_array_equal(mine[0][key], array, strict=True, err_msg=key)
    new = scene.image(seed=9)
    np.testing.assert_array_equal(
        resumed.predict_probabilities(new), whole.predict_probabilities(new)
    )


def test_pretrained_weights_and_their_teacher_go_on(pretrained, scene, tmp_path):
    path = tmp_path / "state.safetensors"
    job = paint(pretrained, scene).fine_tune(steps=6)
    wanted = losses(job, 3, lambda: pretrained.save(path, with_training=True))
    assert losses(paint(load(path), scene).fine_tune(steps=3)) == wanted[3:]


def test_a_volume_of_far_planes_goes_on(new_learner, scene, tmp_path):
    """In 3D, whose network stays the 2D one there."""
    stack = np.stack([scene.image()] * 3)
    marks = np.stack([scene.strokes(), 0 * scene.strokes(), scene.strokes()])

    def paint_stack(learner):
        learner.annotate(stack, marks, scale=(50, 1, 1))
        return learner

    path, learner = tmp_path / "state.safetensors", new_learner(dimensions="3d")
    job = paint_stack(learner).fine_tune(steps=4)
    wanted = losses(job, 2, lambda: learner.save(path, with_training=True))
    assert learner._state.trainer.unet.config.ndim == 2
    assert losses(paint_stack(load(path)).fine_tune(steps=2)) == wanted[2:]


@pytest.mark.parametrize("order", ["ab", "ba", "aba"])
def test_the_order_of_images_does_not_matter(state_file, going_on, scene, order):
    resumed = paint(load(state_file), scene, order)
    assert losses(resumed.fine_tune(steps=2)) == losses(going_on.fine_tune(steps=2))
    mine, theirs = resumed._state, going_on._state
    assert [i.key for i in mine.annotations.images] == ["a", "b"]
    assert [s.fold for _, s in mine.annotations.strokes] == [
        s.fold for _, s in theirs.annotations.strokes
    ]
    assert mine.verdict.scores == theirs.verdict.scores


def test_images_are_known_by_their_pixels_and_not_their_names(state_file, scene):
    resumed = load(state_file)
    for name in "ba":
        resumed.annotate(scene.image(seed=ord(name)), scene.strokes())
    assert resumed._state.resumption.version == resumed.annotation_version


def test_nothing_is_fitted_again(state_file, scene, monkeypatch):
    resumed = paint(load(state_file), scene)
    monkeypatch.setattr(type(resumed._state), "_fit", None)
    events = list(resumed.update())
    assert [type(event) for event in events] == [HeadFitted, Scored]
    assert events[1].step == 3
    assert resumed._state.resumption is None


def test_what_is_painted_after_the_last_step_enters_as_before(learner, scene, tmp_path):
    finish(paint(learner, scene).fine_tune(steps=3))
    strokes = scene.strokes()
    strokes[38, 2:14] = 3

    def more(learner):
        learner.annotate(scene.image(seed=ord("b")), strokes, key="b")
        return learner

    more(learner).save(tmp_path / "state.safetensors", with_training=True)
    resumed = more(paint(load(tmp_path / "state.safetensors"), scene, "a"))
    assert losses(resumed.fine_tune(steps=2)) == losses(learner.fine_tune(steps=2))


def test_a_state_before_the_first_step(learner, scene, tmp_path):
    path = tmp_path / "state.safetensors"
    paint(learner, scene).save(path, with_training=True)
    resumed = paint(load(path), scene)
    assert resumed._state.trainer is None
    assert losses(resumed.fine_tune(steps=2)) == losses(learner.fine_tune(steps=2))


def test_reduced_batches_patches_and_tiles_stay_reduced(learner, scene, tmp_path):
    finish(paint(learner, scene).fine_tune(steps=1))
    trainer, path = learner._state.trainer, tmp_path / "state.safetensors"
    trainer._is_short_of_memory, trainer.batch_size, trainer._n_bad = True, 1, 4
    learner._state.tiles.max_px = 16
    learner.save(path, with_training=True)
    resumed = paint(load(path), scene)._state
    assert (resumed.trainer.batch_size, resumed.trainer._n_bad) == (1, 4)
    assert resumed.trainer._is_short_of_memory
    assert resumed.tile_px == 16


def test_a_batch_of_classes_that_were_erased_is_read(learner, scene, tmp_path):
    """Halved when there were six classes, and never grown since."""
    strokes, path = scene.strokes(), tmp_path / "state.safetensors"
    for value in (3, 4, 5, 6, 7, 8):
        strokes[4 * value + 2, 2:8] = value
    learner.annotate(scene.image(), strokes, key="a")
    finish(learner.fine_tune(steps=1))
    trainer = learner._state.trainer
    assert trainer.batch_size == 8
    trainer._shrink(MemoryError())
    learner.annotate(scene.image(), scene.strokes(), key="a")
    finish(learner.fine_tune(steps=1))
    learner.save(path, with_training=True)
    resumed = load(path)._state.trainer
    assert (resumed.values, resumed.batch_size) == ((1, 2), 4)


def test_saving_again_what_was_resumed_goes_on_too(
    state_file, going_on, scene, tmp_path
):
    resumed, path = paint(load(state_file), scene), tmp_path / "again.safetensors"
    finish(resumed.update())
    resumed.save(path, with_training=True)
    again = paint(load(path), scene)
    assert losses(again.fine_tune(steps=2)) == losses(going_on.fine_tune(steps=2))


def test_random_numbers_go_on():
    rng = np.random.default_rng(3)
    rng.integers(5, dtype=np.uint32)  # leaves half a word behind
    facts = RandomFacts.model_validate_json(RandomFacts.of(rng).model_dump_json())
    other = np.random.default_rng(4)
    facts.put_into(other)
    for kind in (np.uint32, np.int64):
        mine, theirs = (r.integers(0, 2**31, 9, dtype=kind) for r in (rng, other))
        np.testing.assert_array_equal(mine, theirs)


# -- sensibly ------------------------------------------------------------------------


def test_other_strokes_enter_as_in_a_running_training(state_file, going_on, scene):
    strokes = scene.strokes()
    strokes[38, 2:14] = 3
    resumed = paint(load(state_file), scene, "a")
    resumed.annotate(scene.image(seed=ord("b")), strokes, key="b")
    trainer, before = resumed._state.trainer, going_on._state.trainer
    for mine, theirs in zip(
        trainer.unet.parameters(), before.unet.parameters(), strict=True
    ):
        assert torch.equal(mine, theirs)
    moments = before._optimizer.state()
    for name, mine in trainer._optimizer.state().items():
        assert torch.equal(mine, moments[name])
    events = list(resumed.fine_tune(steps=2))
    told = [e.message for e in events if isinstance(e, Notice)]
    assert len(told) == 1
    assert "not those that the training was saved with" in told[0]
    assert resumed.status.step == 5
    assert resumed._state.trainer is trainer
    assert trainer.values == (1, 2, 3)


def test_another_image_of_the_same_name_is_another_one(state_file, scene):
    resumed = paint(load(state_file), scene, "a")
    resumed.annotate(scene.image(seed=5), scene.strokes(), key="b")
    assert resumed._state.resumption.version == -1
    events = list(resumed.fine_tune(steps=1))
    assert [type(event) for event in events if isinstance(event, Notice)]


def test_an_image_that_comes_later_completes_the_annotation(
    state_file, going_on, scene
):
    """In a viewer, images are told one by one, and fitted to in between."""
    resumed = paint(load(state_file), scene, "a")
    finish(resumed.update())
    paint(resumed, scene, "b")
    assert losses(resumed.fine_tune(steps=2)) == losses(going_on.fine_tune(steps=2))
    assert resumed.status.scores == going_on.status.scores


def test_images_of_other_channels_are_refused(state_file, scene):
    resumed = load(state_file)
    with pytest.raises(ImageError, match=r"3 channels.*works with 1"):
        resumed.annotate(np.zeros((48, 48, 3)), scene.strokes())


@pytest.mark.parametrize("forget", ["reset", "scales"])
def test_what_is_forgotten_does_not_come_back(state_file, scene, forget):
    resumed = paint(load(state_file), scene)
    if forget == "reset":
        resumed.reset()
    else:
        resumed.set_scales(2)
    finish(resumed.fine_tune(steps=1))
    assert resumed.status.step == 1
    assert resumed._state.resumption is None


def test_scales_that_are_set_but_not_fitted_to_end_the_training(
    learner, scene, tmp_path
):
    finish(paint(learner, scene).fine_tune(steps=2))
    for key in "ab":
        learner.forget(key)
    learner.set_scales(2)
    learner.save(tmp_path / "state.safetensors", with_training=True)
    _, header = load_tensors(tmp_path / "state.safetensors")
    assert header["training"]["trainer"] is None
    finish(paint(load(tmp_path / "state.safetensors"), scene).fine_tune(steps=1))


# -- the file ------------------------------------------------------------------------


def test_a_model_alone_has_nothing_of_it(going_on, state_file, tmp_path):
    going_on.save(tmp_path / "model.safetensors")
    tensors, header = load_tensors(tmp_path / "model.safetensors")
    whole, whole_header = load_tensors(state_file)
    assert header.keys() == whole_header.keys() - {"training"}
    assert {n for n in whole if not n.startswith("training.")} == set(tensors)
    resumed = load(tmp_path / "model.safetensors")
    assert resumed._state.trainer is resumed._state.resumption is None


def test_a_state_predicts_as_its_model(going_on, scene, state_file):
    new = scene.image(seed=7)
    np.testing.assert_array_equal(load(state_file).predict(new), going_on.predict(new))


def test_the_file_is_plain_numbers_and_names_no_image(state_file):
    tensors, header = load_tensors(state_file)
    assert {a.dtype.kind for a in tensors.values()} <= set("fiub")
    facts = header["training"]["annotation"]["images"][0]
    assert facts.keys() == {"pixels", "strokes", "n_strokes"}
    json.dumps(header)


def _set(*path, value):
    def change(training):
        *way, last = path
        for key in way:
            training = training[key]
        training[last] = value

    change.__name__ = f"{'.'.join(path)}={str(value)[:20]}"
    return change


HUGE = 10**30
WRONG = [
    *(_set("seconds", value=v) for v in (-1.0, "1", None)),
    *(_set("first_step", value=v) for v in (-1, 1.5, HUGE)),
    *(_set("max_tile_px", value=v) for v in (0, "64")),
    *(_set("trainer", value=v) for v in (0, [], {}, None)),
    *(_set("trainer", "values", value=v) for v in ([0], [1, 70000], [1], [1, 2, 3])),
    *(_set("trainer", "n_scales", value=v) for v in (0, 3, 99)),
    *(_set("trainer", "learning_rate", value=v) for v in (0.0, -1.0, 2.0, "1")),
    *(_set("trainer", "n_steps", value=v) for v in (-1, HUGE, 0.5)),
    *(_set("trainer", "n_bad_steps", value=v) for v in (-1, HUGE)),
    *(_set("trainer", "batch_size", value=v) for v in (0, 200, HUGE)),
    *(_set("trainer", "patch_px", value=v) for v in (0, 24, 64, HUGE)),
    _set("trainer", "is_short_of_memory", value=1),
    *(_set("trainer", "turn", value=v) for v in (-1, HUGE)),
    *(_set("trainer", "rng", "state", value=v) for v in ("", "x", "f" * 33, 7)),
    *(_set("trainer", "rng", "half", value=v) for v in (-1, 2**32)),
    _set("trainer", "network", "depth", value=6),
    _set("trainer", "network", "n_classes", value=9),
    _set("trainer", "surprise", value=1),
    *(_set("annotation", "images", value=v) for v in ([], None, [{}])),
    *(_set("annotation", "n_scales", value=v) for v in (0, 3)),
    *(_set("annotation", "ridge_factor", value=v) for v in (0.0, -1.0)),
    *(_set("annotation", "temperatures", value=v) for v in ([1.0], [0.0, 1.0])),
    _set("surprise", value=1),
]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_wrong_entries_are_refused(rewrite, change):
    with pytest.raises(CheckpointError):
        load(rewrite(change))


def test_no_annotation_and_no_training_can_be_missing(rewrite, scene):
    resumed = paint(load(rewrite(_set("annotation", value=None))), scene)
    assert finish(resumed.fine_tune(steps=1)).step == 4


@pytest.mark.parametrize(
    "name",
    [
        "folds",
        "gate.instant",
        "gate.tuned",
        "taken.weights",
        "teacher.bias",
        "trainer.average.up.0.bias",
        "trainer.generator",
        "trainer.head.weight",
        "trainer.moments.up.0.bias.mean",
        "trainer.moments.up.0.bias.square",
        "trainer.moments.up.0.bias.step",
        "trainer.unet.up.0.bias",
    ],
)
def test_each_tensor_must_be_there_and_fit(state_file, rewrite, name):
    tensors, _ = load_tensors(state_file)
    array = tensors[f"training.{name}"]
    wrong = {"wider": array[None], "of words": array.astype(np.uint16)}
    if array.dtype.kind == "f":
        wrong["not finite"] = np.full_like(array, np.nan)
    if name != "gate.tuned":  # which the gate finds out again
        wrong["missing"] = None
    read = []
    for what, value in wrong.items():
        try:
            load(rewrite(None, {name: value}))
        except CheckpointError:
            continue
        read.append(what)
    assert not read


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("none.mean", np.zeros(3, np.float32), "no parameter"),
        ("head.bias.square", np.zeros(2, np.float32), "no parameter"),
        ("up.0.bias.square", np.full(4, -1, np.float32), "negative"),
        ("up.0.bias.step", np.array(-1, np.float32), "negative"),
    ],
)
def test_moments_that_are_none_are_refused(rewrite, name, value, words):
    with pytest.raises(CheckpointError, match=words):
        load(rewrite(None, {f"trainer.moments.{name}": value}))


@pytest.mark.parametrize("name", ["trainer.generator", "folds"])
def test_impossible_numbers_are_refused(state_file, rewrite, name):
    tensors, _ = load_tensors(state_file)
    wrong = np.full_like(tensors[f"training.{name}"], 255)
    with pytest.raises(CheckpointError, match=r"generator|folds"):
        load(rewrite(None, {name: wrong}))


@pytest.mark.parametrize("part", ["unet", "average"])
def test_a_network_in_training_that_is_not_finite_is_left_out_and_told(
    going_on, scene, tmp_path, part
):
    path = tmp_path / "state.safetensors"
    weights = next(getattr(going_on._state.trainer, part).parameters())
    with torch.no_grad():
        weights.view(-1)[0] = float("inf")
    going_on.save(path, with_training=True)
    resumed, new = paint(load(path), scene), scene.image(seed=7)
    np.testing.assert_array_equal(resumed.predict(new), going_on.predict(new))
    told = [e.message for e in resumed.fine_tune(steps=1) if isinstance(e, Notice)]
    assert [text for text in told if "not finite" in text]
    assert resumed._state.n_steps == 4


def test_other_samples_than_the_gate_s_are_judged_anew(state_file, rewrite, scene):
    """Another version of this program may take other pixels of the same strokes."""
    tensors, _ = load_tensors(state_file)
    shorter = {
        name: tensors[f"training.{name}"][:-1]
        for name in ("gate.mask", "gate.instant", "gate.forest", "gate.tuned")
    }
    resumed = paint(load(rewrite(None, shorter)), scene)
    list(resumed.update())
    assert resumed._state.verdict.validation is None
    finish(resumed.fine_tune(steps=1))
    known = resumed._state.verdict.validation
    assert len(known.mask) == len(shorter["gate.mask"]) + 1
