import threading

import dask.array as da
import numpy as np
import pytest

from napari_unet.annotation.strokes import HELD_OUT_FOLD
from napari_unet.config import InstantConfig
from napari_unet.errors import AnnotationError, ConfigError, ImageError
from napari_unet.jobs import (
    AnnotationTaken,
    CancelToken,
    HeadFitted,
    Scored,
    StepDone,
    TilePredicted,
    finish,
)
from napari_unet.learning import load
from napari_unet.learning.gate import ORDER


def _square(shape=(48, 48)):
    truth = np.ones(shape, int)
    truth[16:32, 16:32] = 2
    return truth


def _choose(learner, name):
    """Let the gate have chosen this candidate."""
    model = learner._state.model
    learner._state.model = model.using(model.tuned, name)


# -- instant -------------------------------------------------------------------------


def test_labels_come_before_any_fine_tuning(learner, image, strokes):
    learner.annotate(image, strokes)
    labels = learner.predict(image)
    assert labels.shape == image.shape
    assert labels.dtype == np.uint8
    assert (labels == _square()).mean() > 0.9
    assert learner.status.step == 0
    assert learner.status.chosen in ORDER[:3]


def test_the_status_says_what_is_shown_with_its_score(learner, image, strokes):
    assert learner.status.chosen == ""
    assert learner.status.score is None
    learner.annotate(image, strokes)
    learner.predict(image)
    status = learner.status
    assert set(status.scores) == set(ORDER[:3])
    assert status.score == status.scores[status.chosen]
    assert 0.5 < status.score.mean_iou <= 1
    assert status.score.n_strokes == 4
    assert status.score.n_px == status.n_px == (strokes > 0).sum()
    assert status.n_strokes == 4
    assert status.annotation_version == 1
    assert status.device == "CPU, 1 thread"
    assert "IoU" in status.reason
    assert status.advice == ""


def test_with_single_strokes_nothing_is_scored_and_advice_given(
    learner, image, strokes
):
    strokes[-10:] = 0
    strokes[28:] = 0
    learner.annotate(image, strokes)
    labels = learner.predict(image)
    assert set(np.unique(labels)) <= {1, 2}
    status = learner.status
    assert status.chosen == "forest"
    assert status.score.mean_iou is None
    assert "second stroke" in status.advice


def test_probabilities_belong_to_the_labels(learner, image, strokes):
    strokes = np.where(strokes == 2, 300, strokes)
    learner.annotate(image, strokes)
    labels, probabilities = learner.predict(image), learner.predict_probabilities(image)
    assert probabilities.shape == (2, 48, 48)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    values = np.array(learner.class_values)
    np.testing.assert_array_equal(values[probabilities.argmax(0)], labels)


@pytest.mark.parametrize("values", [(1, 2), (2, 5), (1, 65_535), (7, 300)])
def test_labels_have_the_annotation_s_values(learner, image, strokes, values):
    painted = np.zeros(strokes.shape, np.uint16)
    painted[strokes == 1], painted[strokes == 2] = values
    learner.annotate(image, painted)
    labels = learner.predict(image)
    assert set(np.unique(labels)) == set(values)
    assert labels.dtype == (np.uint8 if max(values) < 256 else np.uint16)
    assert learner.class_values == values


def test_tiles_do_not_show(learner, new_learner, image, strokes):
    large = new_learner(tiling=learner.config.tiling.model_copy(update={"tile_px": 64}))
    for one in (learner, large):
        one.annotate(image, strokes)
    for name in ORDER[:3]:
        small_tiles = [learner.predict(image, candidate=name)]
        one_tile = [large.predict(image, candidate=name)]
        np.testing.assert_array_equal(small_tiles, one_tile)


def test_the_same_seed_gives_the_same_labels(new_learner, image, strokes):
    results = []
    for _ in range(2):
        learner = new_learner()
        learner.annotate(image, strokes)
        finish(learner.fine_tune(steps=2))
        results.append([learner.predict(image, candidate=name) for name in ORDER])
    np.testing.assert_array_equal(*results)


def test_a_candidate_that_is_not_there_is_refused(learner, image, strokes):
    learner.annotate(image, strokes)
    with pytest.raises(ConfigError, match="perceptron"):
        learner.predict(image, candidate="perceptron")
    with pytest.raises(ConfigError, match="fine_tune"):
        learner.predict(image, candidate="fine-tuned")


# -- what cannot be learned from -----------------------------------------------------


@pytest.mark.parametrize("call", ["predict", "probabilities", "fine_tune", "save"])
def test_nothing_painted_is_said(learner, image, tmp_path, call):
    calls = {
        "predict": lambda: learner.predict(image),
        "probabilities": lambda: learner.predict_probabilities(image),
        "fine_tune": lambda: finish(learner.fine_tune(steps=1)),
        "save": lambda: learner.save(tmp_path / "model.safetensors"),
    }
    with pytest.raises(AnnotationError, match="paint"):
        calls[call]()
    learner.annotate(image, np.zeros((48, 48), int))
    with pytest.raises(AnnotationError, match="paint"):
        calls[call]()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "said"), [(1, "object"), (2, "background")])
def test_one_class_says_what_to_paint_next(learner, image, strokes, value, said):
    strokes[strokes > 0] = value
    learner.annotate(image, strokes)
    assert said in learner.status.advice
    for job in (learner.fine_tune(steps=1), learner.update()):
        with pytest.raises(AnnotationError, match=said):
            finish(job)


@pytest.mark.parametrize(
    "shape", [(48, 47), (47, 48), (48,), (48, 48, 48), (2, 48, 48), ()]
)
def test_an_annotation_of_another_shape_is_refused(learner, image, shape):
    with pytest.raises((ImageError, AnnotationError)):
        learner.annotate(image, np.ones(shape, int))
    assert learner.status.n_px == 0


@pytest.mark.parametrize("wrong", [-1, 65_536, 0.5])
def test_annotations_with_other_values_are_refused(learner, image, strokes, wrong):
    annotation = strokes.astype(type(wrong))
    annotation[0, 0] = wrong
    with pytest.raises(AnnotationError):
        learner.annotate(image, annotation)


def test_an_annotation_that_is_refused_changes_nothing(learner, image, strokes):
    learner.annotate(image, strokes)
    labels = learner.predict(image)
    rgb = np.zeros((48, 48, 3))
    with pytest.raises(ImageError, match="3 channels"):
        learner.annotate(rgb, strokes, key="other")
    with pytest.raises(AnnotationError):
        learner.annotate(image, strokes.astype(float))
    assert learner.status.annotation_version == 1
    np.testing.assert_array_equal(learner.predict(image), labels)


def test_more_channels_than_a_network_has_are_refused(learner):
    spectrum = np.zeros((100, 48, 48))
    with pytest.raises(ImageError, match="100 channels"):
        learner.annotate(spectrum, np.ones((48, 48), int))


def test_numbered_objects_are_refused(learner, image):
    objects = np.arange(48 * 48).reshape(48, 48)
    with pytest.raises(AnnotationError, match="classes"):
        learner.annotate(image, objects)


# -- kinds of images -----------------------------------------------------------------


def _learn(learner, image, strokes, **options):
    learner.annotate(image, strokes, **options)
    finish(learner.fine_tune(steps=1))
    return [learner.predict(image, candidate=name) for name in ORDER]


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.int16, np.float16, np.float32, bool]
)
def test_any_real_dtype(learner, image, strokes, dtype):
    scaled = np.clip(image + 0.3, 0, 1.4) * (1 if dtype is bool else 180)
    image = (scaled > 0.8) if dtype is bool else scaled.astype(dtype)
    for labels in _learn(learner, image, strokes)[:3]:
        assert (labels == _square()).mean() > 0.9


def test_colour(learner, image, strokes):
    rgb = np.stack([image, 0 * image, -image], axis=-1)
    for labels in _learn(learner, rgb, strokes):
        assert labels.shape == (48, 48)
    assert learner.n_channels == 3
    np.testing.assert_array_equal(
        learner.predict(rgb, axes="YXC"), learner.predict(rgb)
    )


def test_channels_first_are_found_again_by_what_was_annotated(learner, image, strokes):
    two = np.stack([image, -image])
    learner.annotate(two, strokes)
    assert learner.predict(two).shape == (48, 48)
    other = np.stack([image[::-1], -image[::-1]])  # never annotated
    assert learner.predict(other).shape == (48, 48)


def test_one_channel_first(learner, image, strokes):
    learner.annotate(image[None], strokes)
    assert learner.predict(image[None]).shape == (48, 48)
    assert learner.predict(image[None, ::-1] + 1).shape == (48, 48)
    assert learner.predict(np.stack([image, image])).shape == (2, 48, 48)


def test_volumes(learner, image, strokes):
    volume = np.stack([image, image[::-1], image, image.T])
    painted = np.zeros(volume.shape, np.uint8)
    painted[0], painted[2] = strokes, strokes
    for labels in _learn(learner, volume, painted):
        assert labels.shape == volume.shape
        assert (labels > 0).all()
    for labels in (learner.predict(volume, candidate=n) for n in ORDER[:3]):
        assert (labels == _square()).mean() > 0.9


def test_thin_volumes_are_not_taken_for_colour(learner):
    volume = np.random.default_rng(0).random((20, 30, 3))
    volume[:, 15:] += 3
    painted = np.zeros(volume.shape, np.uint8)
    painted[3:9, 2:5, 1], painted[3:9, 20:25, 1] = 1, 2
    learner.annotate(volume, painted)
    assert learner.predict(volume).shape == volume.shape
    assert learner.predict(volume.copy()).shape == volume.shape


def test_colour_is_not_taken_for_a_volume(learner, image, strokes):
    volume, painted = np.stack([image] * 3), np.stack([strokes] * 3)
    learner.annotate(volume, painted)
    with pytest.raises(ImageError, match="3 channels"):
        learner.predict(np.random.default_rng(0).random((60, 50, 3)))


@pytest.mark.parametrize("shape", [(1, 48), (48, 1), (1, 48, 48), (48, 1, 48)])
def test_axes_of_one_pixel(learner, shape):
    rng = np.random.default_rng(0)
    image = rng.random(shape)
    painted = np.zeros(shape, np.uint8)
    painted.reshape(-1)[[3, 9]] = 1
    painted.reshape(-1)[[-3, -9]] = 2
    for labels in _learn(learner, image, painted):
        assert labels.shape == shape
        assert set(np.unique(labels)) <= {1, 2}


def test_two_pixels(learner):
    image, painted = np.array([[0.0, 1.0]]), np.array([[1, 2]])
    for labels in _learn(learner, image, painted):
        assert labels.shape == (1, 2)


@pytest.mark.parametrize("value", [0, np.nan, np.inf, 1e300])
def test_constant_images(learner, strokes, value):
    for labels in _learn(learner, np.full((48, 48), value), strokes):
        assert set(np.unique(labels)) <= {1, 2}


def test_holes_in_the_image(learner, image, strokes):
    image[40:42, 2:4] = np.nan
    image[40, 40], image[5, 41] = np.inf, -np.inf
    for labels in _learn(learner, image, strokes)[:3]:
        assert (labels == _square()).mean() > 0.75


def test_lazy_images(learner, image, strokes):
    learner.annotate(da.from_array(image, chunks=20), strokes)
    lazy = learner.predict(da.from_array(image, chunks=20))
    np.testing.assert_array_equal(learner.predict(image), lazy)


def test_unpadded_architecture(new_learner, image, strokes):
    learner = new_learner(architecture="unet2015")
    for labels in _learn(learner, image, strokes)[:3]:
        assert (labels == _square()).mean() > 0.9


@pytest.mark.parametrize("depth", [1, 3])
def test_other_depths(new_learner, image, strokes, depth, tmp_path):
    learner = new_learner(depth=depth)
    labels = _learn(learner, image, strokes)
    learner.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(image), learner.predict(image))
    assert len(labels) == 5


# -- many images ---------------------------------------------------------------------


def test_the_same_image_replaces_its_annotation(learner, image, strokes):
    key = learner.annotate(image, strokes)
    fewer = strokes.copy()
    fewer[:10] = 0
    assert learner.annotate(image.copy(), fewer) == key
    assert learner.status.n_px == (fewer > 0).sum()
    assert learner.status.annotation_version == 2


def test_another_image_adds(learner, image, strokes):
    first = np.where(strokes == 1, 1, 0)
    second = np.where(strokes == 2, 2, 0)
    one = learner.annotate(image, first)
    two = learner.annotate(image[:, ::-1], second)
    assert one != two
    assert learner.status.n_px == (strokes > 0).sum()
    assert (learner.predict(image) == _square()).mean() > 0.9


def test_names_tell_images_apart(learner, image, strokes):
    learner.annotate(image, strokes, key="a")
    assert learner.annotate(image, strokes, key="b") == "b"
    assert learner.status.n_strokes == 8
    other = image + 1
    learner.annotate(other, strokes, key="a")
    assert learner.status.n_strokes == 8


def test_an_empty_annotation_removes_the_image(learner, image, strokes):
    learner.annotate(image, strokes)
    learner.annotate(image, np.zeros_like(strokes))
    assert learner.status.n_strokes == 0
    learner.annotate(image, strokes, key="a")
    learner.forget("a")
    assert learner.status.n_strokes == 0


def test_the_caller_s_array_may_change_afterwards(learner, image, strokes):
    learner.annotate(image, strokes)
    strokes[:] = 0
    assert set(np.unique(learner.predict(image))) == {1, 2}


def test_images_of_another_size_can_be_predicted(learner, image, strokes):
    learner.annotate(image, strokes)
    assert learner.predict(image[:17, :35]).shape == (17, 35)
    assert learner.predict(np.stack([image, image])).shape == (2, 48, 48)


@pytest.mark.parametrize("other", [(48, 48, 3), (2, 48, 48, 3)])
def test_images_with_other_channels_are_refused(learner, image, strokes, other):
    learner.annotate(image, strokes)
    with pytest.raises(ImageError, match=r"3 channels.*works with 1"):
        learner.predict(np.zeros(other))


def test_a_model_is_not_used_on_other_channels_than_its_own(learner, image, strokes):
    learner.annotate(image, strokes, key="grey")
    learner.predict(image)
    learner.annotate(image, 0 * strokes, key="grey")
    rgb = np.stack([image] * 3, axis=-1)
    learner.annotate(rgb, np.where(strokes == 1, 1, 0), key="colour")
    # the grey model is still there, for one class teaches no new one
    with pytest.raises(ImageError, match=r"3 channels.*works with 1"):
        learner.predict(rgb)
    assert learner.predict(image).shape == (48, 48)
    learner.annotate(rgb, strokes, key="colour")
    assert learner.predict(rgb).shape == (48, 48)


# -- fine-tuning ---------------------------------------------------------------------


def test_fine_tuning_tells_its_steps_and_scores(learner, image, strokes):
    learner.annotate(image, strokes)
    events = list(learner.fine_tune(steps=4))
    steps = [e for e in events if isinstance(e, StepDone)]
    assert [e.step for e in steps] == [1, 2, 3, 4]
    assert all(np.isfinite(e.loss) and e.steps_per_s > 0 for e in steps)
    assert [e.seconds for e in steps] == sorted(e.seconds for e in steps)
    assert {e.annotation_version for e in steps} == {1}
    assert isinstance(events[0], HeadFitted)
    assert isinstance(events[-1], Scored)
    assert set(events[-1].scores) == set(ORDER)
    assert events[-1].step == 4
    status = learner.status
    assert status.step == 4
    assert status.chosen == events[-1].chosen
    assert status.seconds == pytest.approx(steps[-1].seconds, abs=0.5)


def test_it_returns_the_status(learner, image, strokes):
    learner.annotate(image, strokes)
    assert finish(learner.fine_tune(steps=1)) == learner.status


def test_it_goes_on_where_it_stopped(learner, image, strokes):
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=2))
    steps = [e.step for e in learner.fine_tune(steps=2) if isinstance(e, StepDone)]
    assert steps == [3, 4]


def test_it_learns(new_learner, image, strokes):
    learner = new_learner(
        fine_tune=new_learner().config.fine_tune.model_copy(
            update={"learning_rate": 1e-2}
        )
    )
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=60))
    labels = learner.predict(image, candidate="fine-tuned")
    assert (labels == _square()).mean() > 0.9
    assert learner.status.scores["fine-tuned"].mean_iou > 0.8


@pytest.mark.parametrize("seconds", [0, 0.3])
def test_it_stops_when_its_time_is_over(learner, image, strokes, seconds):
    learner.annotate(image, strokes)
    steps = [e for e in learner.fine_tune(seconds=seconds) if isinstance(e, StepDone)]
    assert (len(steps) > 0) == (seconds > 0)
    # no step begins when the time is over
    assert all(e.seconds <= seconds for e in steps[:-1])


def test_a_cancel_is_honoured_within_one_step(learner, image, strokes):
    learner.annotate(image, strokes)
    token = CancelToken()
    job = learner.fine_tune(token=token)  # no end of its own
    n_after = 0
    for event in job:
        n_after += token.cancelled and isinstance(event, StepDone)
        if isinstance(event, StepDone) and event.step == 2:
            token.cancel()
    assert n_after == 0
    assert learner.status.step == 2
    assert "fine-tuned" in learner.status.scores


def test_a_token_that_is_cancelled_before_trains_nothing(learner, image, strokes):
    learner.annotate(image, strokes)
    token = CancelToken()
    token.cancel()
    assert not any(isinstance(e, StepDone) for e in learner.fine_tune(token=token))


def test_closing_the_job_leaves_a_learner_that_works(learner, image, strokes):
    learner.annotate(image, strokes)
    for kind in (HeadFitted, Scored, AnnotationTaken, StepDone):
        job = learner.fine_tune()
        for event in job:
            if isinstance(event, kind):
                break
            assert learner.status.step < 50
            if isinstance(event, StepDone):
                break  # this kind comes only once
        job.close()
        assert learner.predict(image).shape == (48, 48)
    finish(learner.fine_tune(steps=1))


def test_strokes_that_come_meanwhile_are_taken_up_at_the_next_step(
    learner, image, strokes
):
    """Another thread paints; training goes on with it, without a restart."""
    learner.annotate(image, strokes)
    painted = strokes.copy()
    painted[30, 2:9] = 3
    first_step, has_painted = threading.Event(), threading.Event()

    def paint():
        first_step.wait(60)
        learner.annotate(image, painted)
        has_painted.set()

    thread = threading.Thread(target=paint)
    thread.start()
    events = []
    token = CancelToken()
    for event in learner.fine_tune(token=token):
        events.append(event)
        if isinstance(event, StepDone) and event.step == 2:
            first_step.set()
            assert has_painted.wait(60)
        if isinstance(event, StepDone) and event.step == 4:
            token.cancel()
    thread.join()
    steps = [e for e in events if isinstance(e, StepDone)]
    assert [e.step for e in steps] == [1, 2, 3, 4]
    assert [e.annotation_version for e in steps] == [1, 1, 2, 2]
    taken = [e for e in events if isinstance(e, AnnotationTaken)]
    assert [e.version for e in taken] == [1, 2]
    assert taken[-1].n_px == (painted > 0).sum()
    assert events.index(taken[-1]) == events.index(steps[1]) + 1
    # the instant stage knows the new class as well
    assert learner.class_values == (1, 2, 3)
    assert learner._state.tuned.outputs == (1, 2, 3)


def test_strokes_that_come_with_the_last_step_lose_no_training(learner, image, strokes):
    learner.annotate(image, strokes)
    painted = strokes.copy()
    painted[40, 2:9] = 1
    for event in learner.fine_tune(steps=2):
        if isinstance(event, StepDone) and event.step == 2:
            learner.annotate(image, painted)
    learner.predict(image)
    assert "fine-tuned" in learner.status.scores
    assert learner.status.n_px == (painted > 0).sum()


def test_strokes_that_come_while_strokes_are_taken_lose_no_training(
    learner, image, strokes
):
    learner.annotate(image, strokes)
    painted = strokes.copy()
    painted[40, 2:9] = 1
    for event in learner.fine_tune(steps=1):
        if isinstance(event, AnnotationTaken) and event.version == 1:
            learner.annotate(image, painted)
    assert "fine-tuned" in learner.status.scores


@pytest.mark.parametrize("way", ["undo", "forget"])
def test_an_erased_stroke_that_comes_back_is_not_taken_for_a_new_one(
    trained, image, strokes, way
):
    """Or the network would be scored on what it was trained on."""
    folds = {s.signature: s.fold for _, s in trained._state.annotations.strokes}
    assert set(folds.values()) == {0, 1}
    for signature, fold in folds.items():
        (stroke,) = (
            s for _, s in trained._state.annotations.strokes if s.signature == signature
        )
        without = strokes.copy()
        without[stroke.yx[:, 0], stroke.yx[:, 1]] = 0
        if way == "undo":
            trained.annotate(image, without)
        else:
            trained.forget(trained.annotate(image, strokes))
        trained.annotate(image, strokes)
        after = {s.signature: s.fold for _, s in trained._state.annotations.strokes}
        assert (after[signature] == HELD_OUT_FOLD) <= (fold == HELD_OUT_FOLD)
    seen = {name for name, fold in folds.items() if fold != HELD_OUT_FOLD}
    assert all(after[name] != HELD_OUT_FOLD for name in seen)


def test_erasing_a_class_while_training_is_said(learner, image, strokes):
    learner.annotate(image, strokes)
    job = learner.fine_tune()
    while not isinstance(next(job), StepDone):
        pass
    learner.annotate(image, np.where(strokes == 1, 1, 0))
    with pytest.raises(AnnotationError, match="object"):
        finish(job)
    # what was learned is still there
    assert learner.predict(image).shape == (48, 48)


# -- classes that come later ---------------------------------------------------------


@pytest.mark.parametrize("when", ["before any", "after predicting", "after training"])
def test_a_class_can_come_later(learner, image, strokes, when):
    image[36:46, 30:46] -= 1
    if when != "before any":
        learner.annotate(image, strokes)
        learner.predict(image)
    if when == "after training":
        finish(learner.fine_tune(steps=2))
    strokes[38, 32:44] = strokes[43, 32:44] = 9
    learner.annotate(image, strokes)
    labels = learner.predict(image)
    assert learner.class_values == (1, 2, 9)
    assert (labels[37:45, 31:45] == 9).mean() > 0.7
    events = list(learner.fine_tune(steps=2))
    assert learner._state.tuned.outputs == (1, 2, 9)
    assert set(events[-1].scores) == set(ORDER)
    assert learner.predict_probabilities(image).shape == (3, 48, 48)


def test_a_class_can_go_before_training(learner, image, strokes, tmp_path):
    strokes[38, 2:14] = 9
    learner.annotate(image, strokes)
    learner.predict(image)
    strokes[strokes == 9] = 0
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=1))
    learner.save(tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").class_values == (1, 2)


def test_a_class_can_go_and_come_back(trained, image, strokes):
    two = strokes.copy()
    strokes[38, 2:14] = 9
    for annotation in (strokes, two, strokes):
        trained.annotate(image, annotation)
        finish(trained.fine_tune(steps=1))
    assert trained._state.tuned.outputs == (1, 2, 9)
    assert trained.class_values == (1, 2, 9)
    trained.annotate(image, two)
    assert set(np.unique(trained.predict(image, candidate="fine-tuned"))) <= {1, 2}


def test_a_network_that_lacks_a_class_is_not_shown(trained, image, strokes):
    _choose(trained, "fine-tuned")
    strokes[38, 2:14] = 9
    trained.annotate(image, strokes)
    trained.predict(image)
    assert not trained.status.chosen.startswith("fine-tuned")


def test_reset_forgets_the_network_but_not_the_strokes(trained, image, strokes):
    trained.reset()
    assert trained.status.step == 0
    assert trained.generation == 0
    assert trained.status.n_px == (strokes > 0).sum()
    assert (trained.predict(image) == _square()).mean() > 0.9
    assert set(trained.status.scores) == set(ORDER[:3])


# -- jobs ----------------------------------------------------------------------------


def test_a_prediction_can_be_cancelled_between_tiles(learner, image, strokes):
    learner.annotate(image, strokes)
    token = CancelToken()
    job = learner.predict_job(image, token=token)
    n_tiles = 0
    labels = None
    while labels is None:
        try:
            event = next(job)
        except StopIteration as stop:
            labels = stop.value
            break
        if isinstance(event, TilePredicted):
            n_tiles += 1
            token.cancel()
    assert n_tiles == 1
    assert 0 < (labels == 0).mean() < 1


def test_generations_change_with_what_is_shown(learner, image, strokes):
    learner.annotate(image, strokes)
    learner.predict(image)
    first = learner.generation
    learner.predict(image)
    assert learner.generation == first
    strokes[40, 3:9] = 1
    learner.annotate(image, strokes)
    learner.predict(image)
    assert learner.generation > first


def test_hidden_training_does_not_change_the_generation(trained, image):
    _choose(trained, "forest")
    before = trained.generation
    for event in trained.fine_tune(steps=1):
        if isinstance(event, Scored):
            shown = event.chosen
            assert event.is_changed == (shown != "forest")
    assert (trained.generation == before) == (shown == "forest")


# -- saved and loaded ----------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["compact", "unet2015"])
def test_what_is_saved_predicts_the_same(
    new_learner, image, strokes, tmp_path, architecture
):
    learner = new_learner(architecture=architecture)
    rgb = np.stack([image, image**2, -image], axis=-1)
    strokes[38, 2:14] = 200
    learner.annotate(rgb, strokes)
    learner.class_names = {1: "ground", 200: "corner"}
    finish(learner.fine_tune(steps=2))
    path = tmp_path / "model.safetensors"
    new = np.random.default_rng(5).random((30, 40, 3))
    for name in ORDER:
        _choose(learner, name)
        learner.save(path)
        again = load(path)
        assert again.status.chosen == name
        assert again.class_values == (1, 2, 200)
        assert again.class_names == {1: "ground", 200: "corner"}
        assert again.config == learner.config
        assert again.n_channels == 3
        np.testing.assert_array_equal(again.predict(new), learner.predict(new))
        np.testing.assert_array_equal(
            again.predict_probabilities(rgb), learner.predict_probabilities(rgb)
        )


def test_an_instant_model_without_training_is_saved_and_loaded(
    learner, image, strokes, tmp_path
):
    learner.annotate(image, strokes)
    learner.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors", device="cpu")
    np.testing.assert_array_equal(again.predict(image), learner.predict(image))


def test_a_loaded_model_goes_on_learning(trained, image, strokes, tmp_path):
    trained.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    with pytest.raises(AnnotationError, match="paint"):
        finish(again.fine_tune(steps=1))
    assert again.predict(image).shape == (48, 48)  # one class, or none, is enough
    again.annotate(image, np.where(strokes == 1, 1, 0))
    assert again.predict(image).shape == (48, 48)
    again.annotate(image, strokes)
    old = trained._state.tuned.network.unet.down[0][0].weight
    assert (again._state.tuned.network.unet.down[0][0].weight == old).all()
    strokes[38, 2:14] = 9
    again.annotate(image, strokes)
    finish(again.fine_tune(steps=1))
    assert again._state.tuned.outputs == (1, 2, 9)
    again.save(tmp_path / "model.safetensors")
    once_more = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(once_more.predict(image), again.predict(image))


def test_a_loaded_model_says_what_it_works_with(trained, image, tmp_path):
    trained.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    with pytest.raises(ImageError, match=r"3 channels.*works with 1"):
        again.predict(np.zeros((48, 48, 3)))
    with pytest.raises(ImageError, match=r"3 channels.*works with 1"):
        again.annotate(np.zeros((48, 48, 3)), np.ones((48, 48), int))


def test_saving_takes_newer_strokes_along(trained, image, strokes, tmp_path):
    strokes[38, 2:14] = 9
    trained.annotate(image, strokes)
    trained.save(tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").class_values == (1, 2, 9)


def test_more_feature_levels_than_there_are(new_learner, image, strokes, tmp_path):
    learner = new_learner(instant=InstantConfig(n_trees=2, n_feature_levels=6))
    learner.annotate(image, strokes)
    learner.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(
        again.predict(image, candidate="instant"),
        learner.predict(image, candidate="instant"),
    )
