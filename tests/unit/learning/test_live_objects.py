"""Objects in the interactive loop: of the visible field, and of whole images."""

import numpy as np
import pytest
from scripted_loop import notices, of, run
from test_live import EVERYTHING, STOPPED, _predict_all, _show

from napari_unet.config import InstanceConfig
from napari_unet.errors import OutOfMemoryError
from napari_unet.inference.prediction import Prediction
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import (
    Notice,
    ObjectsFound,
    Progress,
    TilePredicted,
    WholeEnded,
)
from napari_unet.learning import live_objects
from napari_unet.learning.inbox import ViewRequest
from napari_unet.learning.live_objects import FieldObjects

SPLIT = InstanceConfig()


@pytest.fixture
def paint(image, strokes):
    """Make an action that hands over the annotation of the image."""
    return lambda: lambda inbox: inbox.annotate("image", image, strokes.copy())


def _find(settings=SPLIT):
    return lambda inbox: inbox.find_objects(settings)


def test_the_visible_field_comes_as_classes_and_then_as_objects(config, paint):
    events = run(config, _find(), paint(), _show())
    found = of(events, ObjectsFound)[-1]
    last_tile = of(events, TilePredicted)[-1]
    assert events.index(last_tile) < events.index(found)
    assert (found.key, found.index, found.y, found.x) == ("image", (), 0, 0)
    assert found.generation == last_tile.generation
    assert found.labels.shape == (48, 48)
    assert found.n_objects == len(np.unique(found.labels)) - 1
    assert not found.is_whole


def test_without_the_wish_there_are_none(config, paint):
    assert not of(run(config, paint(), _show()), ObjectsFound)
    events = run(config, _find(), _find(None), paint(), _show(), _predict_all)
    assert not of(events, ObjectsFound)


def test_other_settings_find_objects_anew_with_the_same_model(config, paint):
    huge = InstanceConfig(min_size_px=100_000)
    events = run(config, _find(), paint(), _show(), _find(huge))
    *_, before, after = of(events, ObjectsFound)
    assert before.generation == after.generation
    assert before.n_objects >= 1
    assert after.n_objects == 0


def test_a_whole_image_is_predicted_and_cut_into_objects(config, paint):
    events = run(config, _find(), paint(), _predict_all)
    (found,) = of(events, ObjectsFound)
    assert found.is_whole
    assert found.labels.shape == (48, 48)
    assert found.n_objects >= 1
    assert of(events, TilePredicted)
    assert "objects of the whole image" in notices(events, "info")[-1]


def test_a_whole_image_has_ended_when_it_is_cut(config, paint):
    events = run(config, _find(), paint(), _show(), _predict_all)
    assert [e.is_whole for e in of(events, ObjectsFound)][-1]
    kinds = [type(event) for event in events]
    assert kinds.count(WholeEnded) == 1
    assert kinds.index(WholeEnded) > max(
        place for place, kind in enumerate(kinds) if kind is ObjectsFound
    )
    # from the last tile on until it is cut there is something to wait for, and to stop
    assert [(e.done, e.total, e.what) for e in of(events, Progress)[-3:]] == [
        (4, 4, "predict"),
        (0, 1, "split"),
        (1, 1, "split"),
    ]


def test_strokes_do_not_wait_for_the_cut_of_a_whole_image(config, paint):
    painted = []

    def on(event, inbox):
        if event == Progress(0, 1, "split") and not painted:
            painted.append(event)
            paint()(inbox)

    events = run(config, _find(), paint(), _predict_all, on=on)
    assert painted
    assert of(events, Progress).count(Progress(1, 1, "split")) == 1
    (found,) = of(events, ObjectsFound)
    assert found.generation > of(events, TilePredicted)[0].generation


def test_a_whole_image_does_not_try_again_what_could_not_be_fitted(
    config, paint, monkeypatch
):
    from napari_unet.learning.state import State

    fit, n_fits = State._fit, []

    def fail_later(self, annotations):
        n_fits.append(annotations.version)
        if len(n_fits) > 1:
            raise OutOfMemoryError("too large")
        return fit(self, annotations)

    monkeypatch.setattr(State, "_fit", fail_later)
    events = run(config, _find(), paint(), paint(), _predict_all)
    assert len(n_fits) == 2
    assert notices(events, "warning") == ["too large"]
    (found,) = of(events, ObjectsFound)
    assert found.is_whole


def test_too_large_a_field_is_not_cut_and_that_is_said_once(config, paint, monkeypatch):
    monkeypatch.setattr(live_objects, "MAX_FIELD_PX", 48 * 48 - 1)
    corner = ViewRequest("image", (), 0, 10, 0, 10)
    looks = (_show(), lambda inbox: inbox.refresh(), _find(InstanceConfig()))
    events = run(config, _find(), paint(), *looks, _predict_all)
    (found,) = of(events, ObjectsFound)
    assert found.is_whole
    said = [text for text in notices(events, "info") if "zoom in" in text]
    assert len(said) == 1
    events = run(config, _find(), paint(), _show(), _show(corner), _show())
    assert len(of(events, ObjectsFound)) == 1
    told = [t for t in notices(events, "info") if "zoom in" in t or not t]
    assert [bool(text) for text in told[1:]] == [True, False, True]


def test_who_paints_at_the_last_tile_does_not_wait_for_the_cut(
    config, paint, monkeypatch
):
    painted, cut = [], []
    find = FieldObjects.find

    def note(self, view, generation, *rest):
        cut.append(generation)
        return find(self, view, generation, *rest)

    def on(event, inbox):
        if isinstance(event, TilePredicted) and event.is_last and not painted:
            painted.append(event.generation)
            paint()(inbox)

    monkeypatch.setattr(FieldObjects, "find", note)
    run(config, _find(), paint(), _show(), on=on)
    assert cut
    assert min(cut) > painted[0]


def test_a_field_that_does_not_fit_into_memory_is_a_notice(config, paint, monkeypatch):
    def fail(*_args, **_rest):
        raise MemoryError

    monkeypatch.setattr(live_objects, "split_objects", fail)
    events = run(config, _find(), paint(), _show(), lambda inbox: None)
    assert "memory ran out" in notices(events, "warning")[0]


def test_a_cancelled_whole_image_has_no_objects(config, paint):
    def on(event, inbox):
        if isinstance(event, Progress):
            inbox.cancel_prediction()

    events = run(config, _find(), paint(), _predict_all, on=on)
    assert not of(events, ObjectsFound)
    assert of(events, Notice)[-1].message == STOPPED


def test_the_scale_of_a_whole_image_reaches_the_cut(config, paint, monkeypatch):
    from napari_unet.learning.learner import Learner

    scales = []
    before = Learner.predict_instances_job

    def note(self, *args, **kwargs):
        scales.append(kwargs["scale"])
        return before(self, *args, **kwargs)

    monkeypatch.setattr(Learner, "predict_instances_job", note)
    ask = lambda inbox: inbox.predict_all("image", (2.0, 3.0))  # noqa: E731
    run(config, _find(), paint(), ask)
    assert scales == [(2.0, 3.0)]


def _disc(shape, y, x, radius=6):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def _store(field, tile, labels):
    part = labels[tile.y0 : tile.y1, tile.x0 : tile.x1]
    probabilities = np.stack([part == 1, part == 2]).astype(np.float32)
    field.store(0, tile, Prediction((1, 2), probabilities))


def test_objects_keep_their_ids_when_the_field_moves():
    labels = np.ones((40, 80), np.uint8)
    for x in (10, 40, 70):
        labels[_disc(labels.shape, 20, x)] = 2
    field = FieldObjects()
    left, right = Tile(0, 40, 0, 56), Tile(0, 40, 24, 80)
    _store(field, left, labels)
    first = field.find(EVERYTHING, 1, SPLIT)
    _store(field, right, labels)
    second = field.find(EVERYTHING, 1, SPLIT)
    assert (second.y, second.x) == (0, 24)
    assert second.labels[20, 40 - 24] == first.labels[20, 40]
    assert second.labels[20, 70 - 24] not in first.labels


def test_what_is_out_of_sight_shares_its_id_with_nobody():
    labels = np.ones((40, 160), np.uint8)
    for x in (10, 150):
        labels[_disc(labels.shape, 20, x)] = 2
    field = FieldObjects()
    ids = []
    for tile in (Tile(0, 40, 0, 80), Tile(0, 40, 80, 160), Tile(0, 40, 0, 80)):
        _store(field, tile, labels)
        ids.append(int(field.find(EVERYTHING, 1, SPLIT).labels.max()))
    assert len(set(ids)) == 3


def test_tiles_of_a_field_are_put_together_before_they_are_cut():
    labels = np.ones((40, 80), np.uint8)
    labels[_disc(labels.shape, 20, 40)] = 2
    field = FieldObjects()
    for tile in (Tile(0, 40, 40, 80), Tile(0, 40, 0, 40)):
        _store(field, tile, labels)
    found = field.find(ViewRequest("image", (), 0, 40, 0, 80), 3, SPLIT)
    assert found.n_objects == 1
    assert np.array_equal(found.labels > 0, labels == 2)


def test_the_painted_objects_tell_what_is_too_small():
    labels = np.ones((40, 80), np.uint8)
    labels[_disc(labels.shape, 20, 20)] = labels[_disc(labels.shape, 20, 60, 2)] = 2
    everywhere, found = Tile(0, 40, 0, 80), []
    field = FieldObjects()
    for painted_px, settings in (
        (None, SPLIT),
        (14, SPLIT),
        (14, InstanceConfig(min_size_px=13)),
    ):
        _store(field, everywhere, labels)
        found.append(field.find(EVERYTHING, 1, settings, painted_px))
    assert [f.n_objects for f in found] == [2, 1, 2]  # the small disc has 13 px
    assert [f.smallest_px for f in found] == [None, 14, 14]


def test_the_loop_tells_what_painted_objects_say_of_sizes(config, image):
    ids = np.zeros(image.shape, np.uint8)
    ids[2], ids[46] = 1, 1
    for number in range(3):
        ids[20:28, 12 + 8 * number : 20 + 8 * number] = 2 + number  # 64 px each
    paint = lambda inbox: inbox.annotate("image", image, ids)  # noqa: E731
    of_objects = config.model_copy(update={"annotation_mode": "objects"})
    events = run(of_objects, _find(), paint, _show(), _predict_all)
    assert {found.is_whole for found in of(events, ObjectsFound)} == {False, True}
    assert {found.smallest_px for found in of(events, ObjectsFound)} == {16}


def test_tiles_of_an_abandoned_field_do_not_count():
    field = FieldObjects()
    _store(field, Tile(0, 8, 0, 8), np.full((8, 8), 2, np.uint8))
    field.begin(EVERYTHING)
    assert field.find(EVERYTHING, 1, SPLIT) is None
