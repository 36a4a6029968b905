"""A learner that sees its images at a fraction of their resolution."""

import numpy as np
import pytest

from napari_unet.annotation.coarse import coarse_annotation
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import LearnerConfig, parse_config
from napari_unet.core.coarse import Pyramid, area_mean
from napari_unet.errors import ConfigError
from napari_unet.export import open_store
from napari_unet.inference.stream import StreamPlan
from napari_unet.jobs import TilePredicted, finish
from napari_unet.learning import Learner, load
from napari_unet.learning.images import anisotropy_learned
from napari_unet.learning.streaming import model_fingerprint

N = 4
SMALL = LearnerConfig(
    device="cpu",
    n_threads=1,
    base_channels=4,
    depth=2,
    start="scratch",
    fine_tune={"patch_px": 32, "batch_size": 2, "score_every_s": 3600},
    instant={"n_trees": 5, "n_folds": 2, "n_scales": 1},
    tiling={"tile_px": 32},
)
SHAPE = (187, 190)  # no multiple of 4


def _config(n=N, **update):
    return SMALL.model_copy(update={"downsampling": n, **update})


@pytest.fixture(scope="module")
def image():
    """A bright square on a dark ground."""
    image = np.random.default_rng(1).normal(0, 0.2, SHAPE).astype(np.float32)
    image[64:128, 64:128] += 1
    return image


@pytest.fixture(scope="module")
def strokes():
    """Strokes of both classes, a pixel or two wide."""
    strokes = np.zeros(SHAPE, np.uint8)
    strokes[12, 16:80] = strokes[176:178, 16:80] = 1
    strokes[73, 72:120] = strokes[117:119, 72:120] = 2
    return strokes


@pytest.fixture(scope="module")
def learner(image, strokes):
    learner = Learner(_config())
    learner.annotate(image, strokes, key="a")
    return learner


def test_labels_fit_the_full_image_and_find_the_square(learner, image):
    labels = learner.predict(image)
    assert labels.shape == SHAPE
    is_square = np.zeros(SHAPE, bool)
    is_square[64:128, 64:128] = True
    assert (labels[is_square] == 2).mean() > 0.85
    assert (labels[~is_square] == 1).mean() > 0.85


def test_it_predicts_as_one_does_that_was_given_the_means(learner, image, strokes):
    means = area_mean(image[None], N)[0]
    few = Learner(_config(1))
    few.annotate(
        means, np.asarray(coarse_annotation(TiledLabels.of(strokes), None, N).painted)
    )
    coarse = few.predict_probabilities(means)
    found = learner.predict_probabilities(image)
    # at a middle of four blocks is the mean of them
    expected = (coarse[:, :-1, :-1] + coarse[:, 1:, 1:]) / 4
    expected += (coarse[:, 1:, :-1] + coarse[:, :-1, 1:]) / 4
    height, width = (n // N - 1 for n in SHAPE)
    corner = found[:, N - 1 :: N, N - 1 :: N][:, :height, :width]
    around = sum(
        found[:, N - 1 + dy :: N, N - 1 + dx :: N][:, :height, :width]
        for dy in (0, 1)
        for dx in (0, 1)
    )
    assert corner.shape == around.shape
    assert np.allclose(around / 4, expected[:, :height, :width], atol=1e-4)


def test_what_is_painted_and_seen_is_told_in_pixels_of_the_image(learner, strokes):
    status = learner.status
    assert status.n_px == np.count_nonzero(strokes)
    few = Learner(_config(1, start="scratch"))
    few.annotate(np.asarray(strokes, float), strokes)
    assert few.status.n_px == status.n_px


def test_reach_is_told_in_pixels_of_the_image(image, strokes):
    def reach(n):
        learner = Learner(_config(n))
        learner.annotate(image, strokes)
        list(learner.update())
        state = learner._state
        return state.start.unet.reach_px if state.n_scales else 0, learner.status

    own, status = reach(N)
    assert status.reach_px == own * N


def test_it_is_kept_in_the_model_file(learner, image, tmp_path):
    path = tmp_path / "m.safetensors"
    learner.save(path)
    loaded = load(path)
    assert loaded.config.downsampling == N
    assert np.array_equal(loaded.predict(image), learner.predict(image))


def test_tiles_come_in_pixels_of_the_image(learner, image):
    from napari_unet.inference.tiles import Tile

    list(learner.update())
    region = Tile(20, 40, 130, 150)
    job = learner.predict_tiles(image, key="a", region=region)
    events = [event for event in job if isinstance(event, TilePredicted)]
    assert [(e.y, e.x, e.labels.shape) for e in events] == [(0, 128, (128, 62))]
    whole = learner.predict(image)
    assert np.array_equal(events[0].labels, whole[:128, 128:])


def test_features_of_strokes_are_those_of_predicted_tiles(image, strokes):
    """What was computed to learn is not computed again to predict."""
    learner = Learner(_config())
    learner.annotate(image, strokes)
    list(learner.update())
    cache = learner._state.cache
    tiles = {key[-1] for key in cache._items if key[0] == "filters"}
    learner.predict(image, candidate="forest")
    assert tiles <= {key[-1] for key in cache._items if key[0] == "filters"}
    assert len({key[-1] for key in cache._items if key[0] == "filters"}) == 4


def test_a_stroke_more_finds_the_coarse_image_again(image, strokes):
    learner = Learner(_config())
    learner.annotate(image, strokes, key="a")
    before = learner._state.annotations.images[0].source
    more = strokes.copy()
    more[-2:] = 1
    learner.annotate(image, more, key="a")
    assert learner._state.annotations.images[0].source is before


def test_a_store_gets_what_the_memory_gets(learner, image, tmp_path):
    import zarr

    path = tmp_path / "labels.zarr"
    assert finish(learner.stream_job(image, lambda plan: open_store(path, plan)))
    (name,) = (n for n, _ in zarr.open(path, mode="r").members() if n == "0")
    stored = zarr.open(path, mode="r")[name][...]
    assert np.array_equal(stored, learner.predict(image))


def test_a_store_of_another_resolution_is_not_gone_on_with(learner, image):
    plans: list[StreamPlan] = []

    def note(plan):
        plans.append(plan)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        list(learner.stream_job(image, note))
    state = learner._state
    assert plans[0].made_by["model"] == model_fingerprint(state.predictor(), False)
    assert plans[0].made_by["model"] != model_fingerprint(
        state.model.predictor(), False
    )
    assert plans[0].shape == SHAPE


def test_a_pyramid_gives_its_level(learner, image, strokes):
    class Untouched:
        shape, dtype = image.shape, image.dtype

        def __getitem__(self, where):
            raise AssertionError("the full image was read")

    means = area_mean(image[None], N)[0]
    pyramid = Pyramid([Untouched(), means])
    other = Learner(_config())
    other.annotate(pyramid, strokes, key="a")
    assert np.array_equal(
        other.predict_probabilities(image), learner.predict_probabilities(image)
    )
    job = other.predict_job(pyramid, key="a")
    assert np.array_equal(finish(job), learner.predict(image))


def test_a_collapse_is_looked_for_at_strokes(learner, image):
    learner.check_collapse()
    assert learner._collapse.finding is None
    tallies = learner._collapse._tallies["a"]
    assert {pair[0] for pair in tallies.on_strokes} == {1, 2}
    n_painted = {stroke.value: 0 for _, stroke in learner._state.annotations.strokes}
    for _, stroke in learner._state.annotations.strokes:
        n_painted[stroke.value] += stroke.n_px
    seen = dict.fromkeys(n_painted, 0)
    for (value, _), n in tallies.on_strokes.items():
        seen[value] += n
    assert seen == n_painted  # each coarse pixel once, and where it was painted


def test_the_network_is_trained_on_the_coarse_image(image, strokes):
    learner = Learner(_config())
    learner.annotate(image, strokes)
    assert finish(learner.fine_tune(steps=2)).step == 2
    assert learner.predict(image, candidate="fine-tuned").shape == SHAPE


def test_objects_are_cut_in_full_resolution():
    sides = [(10, 46, 9, 45), (10, 46, 67, 103), (70, 131, 21, 63), (70, 131, 81, 123)]
    ids = np.ones(SHAPE, np.uint8)
    for number, (y0, y1, x0, x1) in enumerate(sides, start=2):
        ids[y0:y1, x0:x1] = number
    image = np.random.default_rng(1).normal(0, 0.1, SHAPE) + (ids > 1)
    learner = Learner(_config(annotation_mode="objects"))
    learner.annotate(image, ids)
    # a quarter of the smallest is what may be one
    assert learner.smallest_object_px == pytest.approx(36 * 36 / 4, rel=0.02)
    found = learner.predict_instances(image).labels
    assert found.shape == SHAPE
    assert found.max() == len(sides)
    for number in range(2, 2 + len(sides)):
        is_mine = ids == number
        values, counts = np.unique(found[is_mine], return_counts=True)
        is_found = found == values[counts.argmax()]
        assert (is_mine & is_found).sum() / (is_mine | is_found).sum() > 0.8
    blocks = found[: SHAPE[0] // N * N, : SHAPE[1] // N * N]
    assert (blocks != blocks[::N, ::N].repeat(N, 0).repeat(N, 1)).any()


def test_three_axes_give_labels_of_the_full_volume():
    volume = np.zeros((24, 26, 28), np.float32)
    volume[6:18, 6:18, 6:20] = 1
    volume += np.random.default_rng(0).normal(0, 0.1, volume.shape)
    strokes = np.zeros(volume.shape, np.uint8)
    for z in (8, 14):
        strokes[z, 1:3, 2:24] = 1
        strokes[z, 11:13, 8:18] = 2
    learner = Learner(_config(2))
    learner.annotate(volume.astype(np.float32), strokes, axes="ZYX")
    maps = finish(learner.predict_maps_job(volume, axes="ZYX", three_axes=True))
    assert maps.labels.shape == volume.shape
    truth = np.ones(volume.shape)
    truth[6:18, 6:18, 6:20] = 2
    assert (maps.labels == truth).mean() > 0.9


def test_voxels_are_as_much_flatter():
    volume = np.random.default_rng(0).random((6, 32, 32)).astype(np.float32)
    strokes = np.zeros(volume.shape, np.uint8)
    strokes[2, 4], strokes[2, 20] = 1, 2
    for given, scale, expected in ((None, (6, 1, 1), 3.0), (8.0, None, 4.0)):
        config = _config(2, dimensions="3d", voxel_anisotropy=given)
        learner = Learner(config)
        learner.annotate(volume, strokes, axes="ZYX", scale=scale)
        finish(learner.fine_tune(steps=1))
        assert learner._state.tuned.network.unet.config.anisotropy == expected
        assert learner.predict(volume, axes="ZYX").shape == volume.shape


def test_a_known_anisotropy_wins_over_an_unknown_one():
    volume, strokes = np.zeros((4, 16, 16), np.float32), np.zeros((4, 16, 16), np.uint8)
    volume[:, 8:], strokes[1, 2], strokes[1, 12] = 1, 1, 2
    learner, found = Learner(_config(2, dimensions="3d")), []
    for name, scale in (("a", None), ("b", (6, 1, 1))):
        learner.annotate(volume, strokes, key=name, axes="ZYX", scale=scale)
        found.append(anisotropy_learned(learner._state.annotations))
    assert found == [0.5, 3.0]


def test_only_what_halves_are_made_of_is_a_downsampling():
    with pytest.raises(ConfigError, match="downsampling"):
        parse_config('{"downsampling": 3}')
    assert LearnerConfig().downsampling == 1
