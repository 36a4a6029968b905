"""What the learner does where memory runs out: smaller tiles, the same numbers."""

import numpy as np
import pytest
import torch

from napari_unet.config import TilingConfig
from napari_unet.errors import OutOfMemoryError
from napari_unet.inference import maps
from napari_unet.jobs import Notice, Scored, StepDone, finish
from napari_unet.learning import candidates
from napari_unet.learning.gate import ORDER

SHAPE = (130, 140)


@pytest.fixture
def large(scene):
    return scene.image(SHAPE), scene.strokes(SHAPE)


@pytest.fixture
def starve(monkeypatch):
    """Let feature maps of tiles above so many pixels a side not fit."""

    def make(max_px, error=torch.OutOfMemoryError):
        def poor(unet, source, plane, tile, n_levels, n_scales):
            if max(tile.shape) > max_px:
                raise error("no more")
            return maps.compute_maps(unet, source, plane, tile, n_levels, n_scales)

        monkeypatch.setattr(candidates, "compute_maps", poor)

    return make


def _learner(new_learner):
    return new_learner(tiling=TilingConfig(tile_px=256))


def _warnings(events):
    return [e for e in events if isinstance(e, Notice) and e.level == "warning"]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_the_instant_stage_goes_on_in_smaller_tiles(new_learner, large, starve, error):
    rich = _learner(new_learner)
    rich.annotate(*large)
    expected = rich.predict_probabilities(large[0])
    starve(64, error)
    poor = _learner(new_learner)
    poor.annotate(*large)
    events = list(poor.update())
    assert _warnings(events)
    assert any(isinstance(e, Scored) for e in events)
    np.testing.assert_allclose(
        poor.predict_probabilities(large[0]), expected, atol=1e-4
    )


def test_scoring_the_network_goes_on_in_smaller_tiles(new_learner, large, starve):
    """Memory may get short at any time, not only at the start."""
    learner = _learner(new_learner)
    learner.annotate(*large)
    events = []
    for event in learner.fine_tune(steps=2):
        events.append(event)
        if isinstance(event, StepDone):
            starve(64)
    assert _warnings(events)
    assert set(learner.status.scores) == set(ORDER)
    assert learner.predict(large[0], candidate="fine-tuned").shape == SHAPE


def test_if_nothing_fits_one_sentence_says_so(new_learner, large, starve):
    starve(10)
    learner = _learner(new_learner)
    learner.annotate(*large)
    with pytest.raises(OutOfMemoryError, match="64 px: close other"):
        finish(learner.update())


def test_a_learner_recovers_when_memory_is_back(new_learner, large, starve):
    starve(10)
    learner = _learner(new_learner)
    learner.annotate(*large)
    with pytest.raises(OutOfMemoryError):
        learner.predict(large[0])
    starve(10**6)
    assert (learner.predict(large[0]) > 0).all()


def test_the_maps_of_both_networks_are_given_back(new_learner, large):
    learner = _learner(new_learner)
    learner.annotate(*large)
    finish(learner.fine_tune(steps=1))
    state = learner._state
    caches = state.cache, state.tuned.cache
    assert all(cache.n_bytes > 0 for cache in caches)
    sizes = []

    def fail_once():
        sizes.append([cache.n_bytes for cache in caches])
        if len(sizes) == 1:
            raise MemoryError

    state.within_memory(fail_once)
    assert sizes[1] == [0, 0]
