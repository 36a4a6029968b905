"""Annotation mode *objects*: each object a number, touching ones come apart."""

import json

import numpy as np
import pytest

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.config import InstanceConfig, LearnerConfig
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.checkpoint import load_tensors, read_header, save_tensors
from napari_unet.core.source import ImageSource
from napari_unet.errors import AnnotationError
from napari_unet.inference.instances import split_objects
from napari_unet.jobs import TilePredicted, finish
from napari_unet.learning import Learner, prediction
from napari_unet.learning.collapse import Collapse, CollapseWatch

SIDE = 16


@pytest.fixture
def objects_config(config):
    return config.model_copy(update={"annotation_mode": "objects"})


@pytest.fixture
def cells():
    """Ids as `annotate` takes them: rows of squares that touch in pairs; none is 1."""
    ids = np.ones((4 * (SIDE + 6), 2 * (SIDE + 3)), np.uint16)
    for row in range(4):
        y = 3 + row * (SIDE + 6)
        ids[y : y + SIDE, 3 : 3 + SIDE] = 2 + 2 * row
        ids[y : y + SIDE, 3 + SIDE : 3 + 2 * SIDE] = 3 + 2 * row
    middle = 2 * (SIDE + 6)
    ids[middle - 1 : middle + 2] = 0  # two backgrounds, to hold one of them out
    return ids


@pytest.fixture
def picture(cells):
    """Bright squares on a dark ground, with a middling line where two touch."""
    image = np.random.default_rng(0).normal(0, 0.03, cells.shape)
    image[cells > 1] += 1
    image[(cells > 1).any(axis=1), SIDE + 1 : SIDE + 5] -= 0.5
    return image


@pytest.fixture
def fitted(objects_config, picture, cells):
    learner = Learner(objects_config)
    learner.annotate(picture, cells)
    return learner


def test_users_see_background_and_objects(fitted, picture, cells):
    labels = fitted.predict(picture)
    assert fitted.class_values == (1, 2)
    assert fitted.n_classes_painted == 2
    assert set(np.unique(labels)) == {1, 2}
    assert (labels == np.minimum(cells, 2))[cells > 0].mean() > 0.9
    probabilities = fitted.predict_probabilities(picture)
    assert probabilities.shape == (2, *picture.shape)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, rtol=1e-5)
    events = list(fitted.predict_tiles(picture))
    tiles = [event for event in events if isinstance(event, TilePredicted)]
    assert {int(v) for tile in tiles for v in np.unique(tile.labels)} == {1, 2}


def test_what_touches_comes_apart_at_the_learned_border(fitted, picture, cells):
    labels, probabilities = (
        fitted.predict(picture),
        fitted.predict_probabilities(picture),
    )
    found = fitted.predict_instances(picture)
    assert found.n_objects == 8
    assert set(found.classes[1:]) == {2}
    for number in range(2, 10):
        inside, counts = np.unique(found.labels[cells == number], return_counts=True)
        assert inside[counts.argmax()] > 0
        assert counts.max() > 0.8 * counts.sum()
    # shape alone would not have told: the squares touch along a whole side
    assert split_objects(labels).n_objects == 4
    maps = finish(fitted.predict_maps_job(picture))
    np.testing.assert_array_equal(maps.probabilities, probabilities)
    as_maps = split_objects(maps.labels, probabilities, border=maps.border)
    np.testing.assert_array_equal(found.labels, as_maps.labels)
    assert maps.border[cells == 1].mean() < maps.border[:, SIDE + 2 : SIDE + 4].mean()


def test_scores_are_of_what_users_see(fitted):
    list(fitted.update())
    status = fitted.status
    assert set(status.score.iou) == {1, 2}
    assert status.score.log_loss > 0
    assert status.n_objects == 8
    assert status.n_strokes > status.n_objects
    assert "places held out" in status.score.text
    assert status.advice == ""


def test_it_learns_on(fitted, picture):
    list(fitted.fine_tune(steps=2))
    assert fitted.status.step == 2
    assert set(fitted.status.scores) >= {"instant", "fine-tuned"}
    assert set(np.unique(fitted.predict(picture, candidate="fine-tuned"))) <= {1, 2}


def test_the_first_neighbour_brings_a_border_while_it_learns(
    objects_config, picture, cells
):
    learner = Learner(objects_config)
    lonely = np.where((cells % 2 == 0) | (cells == 1), cells, 0)
    learner.annotate(picture, lonely, key="cells")
    list(learner.fine_tune(steps=1))
    assert finish(learner.predict_maps_job(picture)).border is None
    learner.annotate(picture, cells, key="cells")
    list(learner.fine_tune(steps=1))
    assert learner.status.step == 2
    assert finish(learner.predict_maps_job(picture)).border.max() > 0.1
    assert learner.class_values == (1, 2)


def test_a_region_that_is_complete_needs_no_painted_background(
    objects_config, picture, cells, fitted
):
    learner = Learner(objects_config)
    ids = np.where(cells > 1, cells, 0)
    learner.annotate(picture, ids)
    assert not learner.can_learn
    assert "declare a region complete" in learner.status.advice
    with pytest.raises(AnnotationError, match="Only objects are painted"):
        learner.predict(picture)
    learner.annotate(picture, ids, complete=(cells > 0).astype(np.uint8))
    assert learner.can_learn
    np.testing.assert_array_equal(learner.predict(picture), fitted.predict(picture))
    with pytest.raises(AnnotationError, match=r"shape \(3, 3\)"):
        learner.annotate(picture, ids, complete=np.ones((3, 3), bool))


def test_without_touching_objects_the_necks_are_what_cuts(
    objects_config, picture, cells
):
    learner = Learner(objects_config)
    lonely = np.where((cells % 2 == 0) | (cells == 1), cells, 0)
    learner.annotate(picture, lonely)
    maps = finish(learner.predict_maps_job(picture))
    assert maps.border is None
    assert learner.class_values == (1, 2)
    assert learner.predict_instances(picture).n_objects >= 4


@pytest.fixture
def filled():
    """Ids and an image of cells that fill it, with dark lines between them."""
    ids = np.arange(2, 18).reshape(4, 4).repeat(12, 0).repeat(12, 1)
    image = np.random.default_rng(0).normal(1, 0.03, ids.shape)
    edge = (ids != np.roll(ids, 1, 0)) | (ids != np.roll(ids, 1, 1))
    image[edge] = image[np.roll(edge, -1, 0)] = image[np.roll(edge, -1, 1)] = 0
    return ids, image


def test_cells_that_fill_the_image_need_no_background(objects_config, filled):
    ids, image = filled
    learner = Learner(objects_config)
    learner.annotate(image, ids, complete=np.ones(ids.shape, bool))
    assert (learner.predict(image) == 2).all()
    assert learner.class_values == (2,)
    assert learner.predict_instances(image).n_objects == 16


def test_the_gate_judges_cells_that_fill_the_image(
    objects_config, filled, bundle, monkeypatch
):
    """All of an image touch, so that images are held out; the surest is shown."""
    ids, image = filled
    quick = objects_config.fine_tune.model_copy(update={"learning_rate": 1e-2})
    changes = {"fine_tune": quick, "start": "bundled"}  # not the forest first
    bundle(monkeypatch)
    learner = Learner(objects_config.model_copy(update=changes))
    for key in "abcdefgh":
        learner.annotate(image, ids, key=key, complete=np.ones(ids.shape, bool))
    list(learner.fine_tune(steps=60))
    scores, chosen = learner.status.scores, learner.status.chosen
    assert chosen == "fine-tuned+forest"
    assert scores[chosen].log_loss < 0.8 * scores["instant+forest"].log_loss
    assert scores[chosen].mean_iou is None
    assert "No background" in learner.status.reason


def test_advice_asks_for_a_second_object(objects_config, picture, cells):
    learner = Learner(objects_config)
    half = np.where(cells <= 3, cells, 0)
    half[2 * SIDE :] = 0
    learner.annotate(picture, half)
    list(learner.update())
    assert learner.status.advice == (
        "Paint another object, apart from the first and background at a second "
        "place, so that learning can be checked."
    )


def test_too_many_objects_are_not_called_classes(objects_config, picture):
    ids = np.full(picture.shape, 65_536)
    limit = "value 65536: .* 2 to 65535 for the objects, at most 65534 of them$"
    with pytest.raises(AnnotationError, match=limit):
        Learner(objects_config).annotate(picture, ids)


def test_a_model_file_knows_its_mode(fitted, picture, tmp_path):
    path = tmp_path / "cells.safetensors"
    fitted.save(path)
    header = read_header(path)
    assert header["config"]["annotation_mode"] == "objects"
    assert header["n_objects"] == 8
    loaded = Learner.load(path)
    assert loaded.config.annotation_mode == "objects"
    assert loaded.class_values == (1, 2)
    np.testing.assert_array_equal(
        loaded.predict_instances(picture).labels,
        fitted.predict_instances(picture).labels,
    )


@pytest.fixture
def sizes(monkeypatch):
    """The smallest size (px) of each cut that is made."""
    found, cut = [], prediction.split_job

    def note(*args, settings, **rest):
        found.append(settings.min_size_px)
        return cut(*args, settings=settings, **rest)

    monkeypatch.setattr(prediction, "split_job", note)
    return found


def test_the_smallest_object_follows_from_the_painted_ones(fitted, picture, sizes):
    quarter = SIDE**2 // 4
    assert fitted.smallest_object_px == quarter
    fitted.predict_instances(picture)
    fitted.predict_instances(picture, settings=InstanceConfig(min_size_px=7))
    assert sizes == [quarter, 7]


def test_strokes_and_few_objects_do_not_tell_of_sizes(
    objects_config, picture, cells, sizes
):
    learner = Learner(objects_config)
    learner.annotate(picture, np.where(cells <= 3, cells, 0))
    assert learner.smallest_object_px is None
    learner.predict_instances(picture)
    assert sizes == [10]


def test_a_model_file_knows_the_smallest_object(
    fitted, picture, cells, tmp_path, sizes
):
    path, later = tmp_path / "cells.safetensors", tmp_path / "later.safetensors"
    quarter = SIDE**2 // 4
    fitted.save(path)
    loaded = Learner.load(path)
    loaded.predict_instances(picture)
    # two objects more do not tell of others, but three do
    loaded.annotate(picture, np.where(cells <= 3, cells, 0))
    loaded.save(later)
    loaded = Learner.load(later)
    assert loaded.smallest_object_px == quarter
    loaded.annotate(picture, np.where(cells <= 4, cells, 0) * (np.arange(38) % 2))
    assert loaded.smallest_object_px == quarter // 2
    assert sizes == [quarter]


def test_a_file_that_does_not_say_it_means_ten_px(fitted, picture, tmp_path, sizes):
    path = tmp_path / "old.safetensors"
    fitted.save(path)
    tensors, header = load_tensors(path)
    assert header.pop("smallest_object_px") == SIDE**2 // 4
    for score in header["scores"].values():
        del score["is_of_objects"]
    save_tensors(path, tensors, json.loads(json.dumps(header)))
    Learner.load(path).predict_instances(picture)
    assert sizes == [10]


def test_a_file_from_before_the_modes_is_of_strokes(learner, image, strokes, tmp_path):
    learner.annotate(image, strokes)
    path = tmp_path / "old.safetensors"
    learner.save(path)
    tensors, header = load_tensors(path)
    del header["config"]["annotation_mode"], header["n_objects"]
    save_tensors(path, tensors, json.loads(json.dumps(header)))
    loaded = Learner.load(path)
    assert loaded.config.annotation_mode == "strokes"
    np.testing.assert_array_equal(loaded.predict(image), learner.predict(image))


def test_the_mode_is_a_setting():
    assert LearnerConfig().annotation_mode == "strokes"
    with pytest.raises(ValueError, match="annotation_mode"):
        LearnerConfig(annotation_mode="boxes")


def test_strokes_may_have_a_complete_region_too(new_learner, image, strokes):
    learner = new_learner()
    only_object = np.where(strokes == 2, 2, 0)
    complete = np.zeros(image.shape, bool)
    complete[:10] = complete[38:] = True
    learner.annotate(image, only_object, complete=complete)
    labels = learner.predict(image)
    assert labels[24, 24] == 2
    assert (labels[:8] == 1).mean() > 0.9


def test_objects_that_are_all_border_count_as_objects_that_are_lost():
    ids = np.zeros((50, 50), np.uint8)
    ids[10:12, 10:12], ids[10:12, 12:14], ids[30] = 2, 3, 1
    source = ImageSource("image", PlaneStack(np.zeros(ids.shape)))
    annotations = AnnotationSet(mode="objects").with_image(source, ids, 2)
    assert annotations.values == (1, 3)

    def job():
        labels = np.ones(ids.shape, np.uint8)
        yield TilePredicted("image", (), 0, 0, labels, "instant", 1, is_last=True)
        return True

    watch = CollapseWatch()
    finish(watch.follow(job(), annotations, annotations.shown_values))
    assert watch.finding == Collapse((2,), 1, is_total=True)
