"""What the interactive loop knows of uncertainty, and where it leads a person."""

import numpy as np
import pytest
from scripted_loop import notices, of, run

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import TilingConfig
from napari_unet.jobs import (
    HeadFitted,
    Notice,
    RegionFound,
    TilePredicted,
    UncertaintyMapped,
    finish,
)
from napari_unet.learning import Learner
from napari_unet.learning.inbox import ViewRequest
from napari_unet.learning.uncertain import UncertaintyWatch

SHAPE = (192, 256)
EVERYTHING = ViewRequest("image", (), 0, *SHAPE[:1], 0, SHAPE[1])


@pytest.fixture
def config(config):
    """Settings with fewer tiles."""
    return config.model_copy(update={"tiling": TilingConfig(tile_px=64)})


@pytest.fixture
def learner(config):
    return Learner(config)


@pytest.fixture
def wide():
    """An image and strokes at its left end: the right end holds what nobody painted."""
    image, strokes = np.zeros(SHAPE), np.zeros(SHAPE, np.uint8)
    image[:] = np.random.default_rng(0).normal(0, 0.05, SHAPE)
    image[60:120, 20:60] += 1
    image[120:180, 180:240] += 0.5  # between what is background and what is object
    strokes[10, 4:40] = strokes[-8, 4:40] = 1
    strokes[70, 25:50] = strokes[110, 25:50] = 2
    return image, strokes


def _paint(wide, key="image"):
    image, strokes = wide
    return lambda inbox: inbox.annotate(key, image, strokes.copy(), "YX")


def _find(inbox):
    inbox.find_uncertain(["image"])


def _watched(learner, wide, measure="entropy"):
    image, strokes = wide
    learner.annotate(image, strokes, key="image")
    watch = UncertaintyWatch(measure)
    learner.watch_uncertainty(watch)
    finish(learner.predict_job(image, key="image"))
    return watch


def test_it_leads_to_what_is_unlike_both_classes_and_then_elsewhere(config, wide):
    events = run(config, _paint(wide), _find, _find)
    first, second = of(events, RegionFound)
    assert first.key == "image"
    assert first.index == ()
    assert 0 < second.score <= first.score <= 1
    distance = np.hypot(first.y - second.y, first.x - second.x)
    assert distance >= 90
    centre = first.y + first.height / 2, first.x + first.width / 2
    assert 110 <= centre[0] <= 190
    assert 170 <= centre[1] <= 250
    assert not of(events, TilePredicted)  # a patchwork is no overlay


def test_when_every_place_was_shown_it_says_so_until_the_model_changed(config, wide):
    image, strokes = wide
    more = strokes.copy()
    more[150, 190:230] = 2
    events = run(
        config,
        _paint(wide),
        *[_find] * 12,
        lambda inbox: inbox.annotate("image", image, more, "YX"),
        _find,
    )
    told = [
        i
        for i, event in enumerate(events)
        if isinstance(event, Notice) and "You have seen" in event.message
    ]
    assert told
    assert isinstance(events[told[0] - 1], Notice)
    assert of(events[told[-1] :], RegionFound)


def test_without_a_model_it_says_what_to_paint(config, wide):
    image, strokes = wide
    one_class = np.where(strokes == 1, 1, 0).astype(np.uint8)
    events = run(
        config, lambda inbox: inbox.annotate("image", image, one_class, "YX"), _find
    )
    assert not of(events, RegionFound)
    assert "paint a stroke" in notices(events, "advice")[-1]


def test_maps_come_with_the_visible_field_only_where_they_are_wanted(config, wide):
    show = lambda inbox: inbox.show(EVERYTHING)  # noqa: E731
    events = run(config, _paint(wide), show)
    assert of(events, TilePredicted)
    assert not of(events, UncertaintyMapped)
    events = run(
        config, _paint(wide), show, lambda inbox: inbox.map_uncertainty(True, "entropy")
    )
    maps = of(events, UncertaintyMapped)
    covered = np.zeros(SHAPE, int)
    for part in maps:
        assert part.percent.dtype == np.uint8
        assert part.percent.max() <= 100
        h, w = part.percent.shape
        covered[part.y : part.y + h, part.x : part.x + w] += 1
    assert (covered == 1).all()


def test_a_wish_for_maps_in_the_middle_of_a_pass_is_not_missed(config, wide):
    def wish(event, inbox):
        if isinstance(event, HeadFitted):
            inbox.map_uncertainty(True, "entropy")

    show = lambda inbox: inbox.show(EVERYTHING)  # noqa: E731
    events = run(config, show, _paint(wide), on=wish)
    assert of(events, UncertaintyMapped)


def test_maps_are_the_entropy_of_the_probabilities(learner, wide):
    watch = _watched(learner, wide)
    watch.wants_maps = True
    image, _ = wide
    maps = np.array(learner.predict_probabilities(image), np.float64)
    bits = -(maps * np.log2(np.maximum(maps, 1e-30))).sum(0)
    for part in watch.take_maps():
        h, w = part.percent.shape
        there = bits[part.y : part.y + h, part.x : part.x + w]
        assert np.abs(there * 100 - part.percent).max() <= 0.51
    assert watch.mean("image") == pytest.approx(bits.mean(), abs=0.05)


def test_flips_measure_how_mirrored_images_differ(learner, wide, choose):
    image, _ = wide
    watch = _watched(learner, wide, "flips")
    assert watch.mean("image") is None  # has its price, and nobody asked
    watch.wants_maps = True
    choose(learner, "forest")  # whose filters do not see a flip
    finish(learner.predict_tiles(image, key="image"))
    assert watch.mean("image") == pytest.approx(0, abs=0.01)
    watch.reset()
    choose(learner, "instant")
    finish(learner.predict_tiles(image, key="image"))
    assert 0 < watch.mean("image") < 0.5


def test_painted_and_complete_places_are_left_out(learner, wide):
    watch = _watched(learner, wide)
    nothing = TiledLabels.of(np.zeros(SHAPE, np.uint8))
    everything = TiledLabels.of(np.ones(SHAPE, np.uint8))
    assert watch.next_region("image", everything) is None
    assert watch.next_region("image", nothing, everything) is None
    assert watch.next_region("other", nothing) is None
    found = watch.next_region("image", nothing)
    watch.forget("image")
    assert found is not None
    assert watch.next_region("image", nothing) is None


def test_a_survey_is_spread_and_goes_on_where_it_was(learner, wide):
    image, strokes = wide
    learner.annotate(image, strokes, key="image")
    watch = UncertaintyWatch()
    learner.watch_uncertainty(watch)
    finish(learner.predict_job(image[:32, :32], key="other"))  # makes the model
    seen = []
    for n_tiles in (2, 2, 100):
        finish(learner.survey_job(image, key="image", max_tiles=n_tiles))
        means = watch._means["image", 0]
        seen.append(np.isfinite(means))
    assert [s.mean() for s in seen] == pytest.approx([2 / 12, 4 / 12, 1])
    rows = np.flatnonzero(seen[1].any(axis=1))
    assert rows.max() - rows.min() > 4  # of 12 rows of blocks


def test_planes_next_to_each_other_are_not_shown_one_after_the_other(learner, wide):
    image, strokes = (part[:, :64] for part in wide)
    stack, painted = np.stack([image] * 5), np.zeros((5, *image.shape), np.uint8)
    painted[4] = strokes
    learner.annotate(stack, painted, key="image", axes="ZYX")
    watch = UncertaintyWatch()
    learner.watch_uncertainty(watch)
    finish(learner.predict_job(stack, key="image", axes="ZYX"))
    labels = TiledLabels.of(painted)
    first, second = (watch.next_region("image", labels) for _ in range(2))
    is_elsewhere = first.tile != second.tile
    assert is_elsewhere or abs(first.plane - second.plane) > 2


def test_of_a_closed_image_nothing_is_kept(learner, wide):
    image, strokes = wide
    learner.annotate(image, strokes, key="image")
    watch = UncertaintyWatch("flips")
    watch.wants_maps = True
    learner.watch_uncertainty(watch)
    finish(learner.predict_job(image[:64, :64], key="image"))
    nothing = TiledLabels.of(np.zeros((64, 64), np.uint8))
    first = watch.next_region("image", nothing)
    assert first is not None
    assert watch.next_region("image", nothing) is None
    assert {s.key for s in watch._mirrored[1].values()} == {"image"}
    watch.forget("other")
    assert watch._mirrored[1] != {}
    watch.forget("image")
    assert watch._mirrored[1] == {}  # which hold the image's pixels
    # one that comes again under its key is looked at anew
    finish(learner.predict_job(image[:64, :64], key="image"))
    assert watch.next_region("image", nothing) is not None
