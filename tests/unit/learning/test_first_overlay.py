"""What is shown first: the closed-form head; filters and forest come after it."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unet.inference.filters import compute_filters
from napari_unet.jobs import HeadFitted, Scored, finish
from napari_unet.learning import candidates, load, scoring
from napari_unet.learning.instant import HeadChoice, fit_head


@pytest.fixture
def computed(monkeypatch):
    """Note each tile whose filters are computed."""
    tiles = []

    def note(source, plane, tile):
        tiles.append(tile)
        return compute_filters(source, plane, tile)

    monkeypatch.setattr(candidates, "compute_filters", note)
    return tiles


def test_pretrained_features_are_shown_before_filters_are_computed(
    pretrained, image, strokes, computed
):
    pretrained.annotate(image, strokes)
    job = pretrained.update()
    assert isinstance(next(job), HeadFitted)
    model = pretrained._state.model
    assert model.chosen == "instant"
    assert model.forest is None
    assert computed == []
    finish(pretrained.predict_tiles(image))  # and to show it, none are needed
    assert computed == []
    assert isinstance(next(job), Scored)
    assert computed
    assert pretrained._state.model.forest is not None


def test_without_pretrained_weights_the_forest_is_shown_first(
    learner, image, strokes, computed
):
    learner.annotate(image, strokes)
    assert isinstance(next(learner.update()), HeadFitted)
    model = learner._state.model
    assert model.chosen == "forest"
    assert model.forest is not None
    assert computed


def test_a_forest_that_is_shown_is_fitted_with_the_next_stroke(
    pretrained, image, strokes
):
    pretrained.annotate(image, strokes)
    finish(pretrained.update())
    state = pretrained._state
    state.verdict = replace(state.verdict, chosen="instant+forest")
    strokes[38, 2:14] = 9
    pretrained.annotate(image, strokes)
    next(pretrained.update())
    assert state.model.chosen == "instant+forest"
    assert state.model.forest.n_classes == 3


def test_an_update_that_is_broken_off_leaves_a_learner_that_works(
    pretrained, image, strokes, tmp_path
):
    pretrained.annotate(image, strokes)
    job = pretrained.update()
    next(job)
    job.close()
    pretrained.annotate(image, np.where(strokes == 1, 1, 0))  # too little to go on
    shown = pretrained.predict(image)
    assert set(np.unique(shown)) == {1, 2}
    pretrained.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(
        again.predict(image, candidate="forest"),
        pretrained.predict(image, candidate="forest"),
    )


@pytest.mark.parametrize(
    "choice", [HeadChoice(1.0, 2), HeadChoice(10.0, 2), HeadChoice(1.0, 1)]
)
def test_held_out_strokes_that_choose_another_head_change_it(
    pretrained, image, strokes, monkeypatch, choice
):
    real = scoring.cross_validate
    monkeypatch.setattr(
        scoring, "cross_validate", lambda *args: replace(real(*args), choice=choice)
    )
    pretrained.annotate(image, strokes)
    job = pretrained.update()
    next(job)
    state = pretrained._state
    before = state.model
    finish(job)
    is_same = choice == HeadChoice(state.config.instant.ridge_factors[0], 2)
    assert (state.model.head is before.head) == is_same
    if not is_same:
        assert state.model.generation > before.generation
    size, old = (np.abs(m.head.weights).sum(axis=1) for m in (state.model, before))
    if choice.factor > 1:  # held down more
        assert size.sum() < old.sum()
    unseen = ~state.start.columns(choice.n_scales)
    assert (size[unseen] == 0).all()
    assert (old[unseen] > 0).all()
    strokes[40, 2:20] = 1  # and it is the first guess at the next stroke
    pretrained.annotate(image, strokes)
    next(pretrained.update())
    samples = state.samples
    expected = fit_head(
        samples, samples.of_network(state.start, state.cache), state.start, choice
    )
    np.testing.assert_allclose(state.model.head.weights, expected.weights, rtol=1e-4)
