import numpy as np
import pytest

from napari_unet.config import TilingConfig
from napari_unet.core.head import RidgeHead
from napari_unet.jobs import finish
from napari_unet.learning import scoring
from napari_unet.learning.gate import ORDER
from napari_unet.learning.samples import Samples
from napari_unet.learning.scoring import Tuned, judge


@pytest.fixture
def state(new_learner, image, strokes):
    """A learner's inside with a network that has learned the square."""
    quick = new_learner().config.fine_tune.model_copy(update={"learning_rate": 1e-2})
    learner = new_learner(fine_tune=quick)
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=50))
    return learner._state


@pytest.fixture
def blind(state, monkeypatch):
    """A snapshot whose features tell nothing."""
    unet = state.tuned.network.unet
    snapshot = Tuned(state.tuned.network.with_weights(unet))
    read = Samples.of_network

    def of_network(self, network, cache):
        features = read(self, network, cache)
        return 0 * features if network is snapshot.network else features

    monkeypatch.setattr(Samples, "of_network", of_network)
    return snapshot


def _judge(state, candidate, current, **changes):
    options = {
        "start": state.start,
        "candidate": candidate,
        "current": current,
        "cache": state.cache,
        "config": state.config,
        "is_pretrained": False,
        **changes,
    }
    return judge(state._samples, None, **options)


def test_a_worse_snapshot_does_not_replace_a_better_one(state, blind):
    good = state.tuned
    verdict, kept = _judge(state, blind, good)
    assert kept.network is good.network
    assert verdict.scores["fine-tuned"].mean_iou > 0.7
    verdict, kept = _judge(state, good, blind)
    assert kept.network is good.network
    assert verdict.scores["fine-tuned"].mean_iou > 0.7


def test_a_blind_network_scores_low_and_is_not_shown(state, blind):
    verdict, _ = _judge(state, blind, None)
    # one class everywhere: half of the truth is missed
    assert verdict.scores["fine-tuned"].mean_iou == pytest.approx(0.25)
    assert min(verdict.scores["fine-tuned"].iou.values()) == 0
    assert verdict.chosen != "fine-tuned"


def test_everyone_is_scored_on_the_same_strokes(state):
    verdict, _ = _judge(state, state.tuned, None)
    assert set(verdict.scores) == set(ORDER)
    assert len({(s.n_px, s.n_strokes) for s in verdict.scores.values()}) == 1
    # the network was trained without the strokes of one fold
    assert verdict.scores["fine-tuned"].n_strokes == 2
    before, _ = _judge(state, None, None)
    assert before.scores["forest"].n_strokes == 4


def test_the_snapshot_that_is_kept_has_a_head_fitted_to_all_strokes(state):
    newest = Tuned(state.tuned.network)
    assert newest.head is None
    _, kept = _judge(state, newest, None)
    samples = state._samples
    assert kept.network is newest.network
    assert kept.head.weights.shape == (newest.network.n_features, 2)
    features = samples.of_network(kept.network, kept.cache)
    assert (kept.head.logits(features).argmax(1) == samples.targets).mean() > 0.9


def test_a_snapshot_is_fitted_to_what_is_painted_now(state, image, strokes):
    strokes[40, 4:20] = 9
    learned, snapshot = state.tuned.head.weights, Tuned(state.tuned.network)
    state.annotations = state.annotations.with_image(
        state.annotations.images[0].source, strokes, 2
    )
    finish(state.update())
    fitted = snapshot.fitted(state._samples, 1.0)
    assert learned.shape[1] == 2
    assert fitted.head.weights.shape[1] == 3
    assert fitted.network is snapshot.network
    assert snapshot.head is None  # a new one, the old as it was


def test_its_head_is_judged_without_the_strokes_that_judge_it(state, monkeypatch):
    """Or its score would be that of what it was fitted to."""
    seen = []
    fit = RidgeHead.fit.__func__

    def note(cls, features, targets, *rest, **options):
        seen.append(len(targets))
        return fit(cls, features, targets, *rest, **options)

    before, _ = _judge(state, None, None)
    monkeypatch.setattr(RidgeHead, "fit", classmethod(note))
    verdict, _ = judge(
        state._samples,
        before,
        start=state.start,
        candidate=Tuned(state.tuned.network),
        current=None,
        cache=state.cache,
        config=state.config,
        is_pretrained=False,
    )
    n = len(state._samples.targets)
    n_held_out = verdict.scores["fine-tuned"].n_px
    assert 0 < n_held_out < n
    assert sorted(seen) == [n - n_held_out, n]


def test_of_many_tiles_a_few_are_enough(new_learner, scene, monkeypatch):
    """Time is bounded, and every class is still among them."""
    monkeypatch.setattr(scoring, "_MAX_TUNED_TILES", 2)
    learner = new_learner(tiling=TilingConfig(tile_px=32))
    shape = (130, 140)
    image, strokes = scene.image(shape), scene.strokes(shape)
    strokes[60, 1:60:2] = 1  # much of one class, spread
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=2))
    state = learner._state
    assert len(state._samples.groups) > 4
    computed = []
    read = scoring.FeatureCache.maps

    def note(self, network, source, plane, tile):
        computed.append((network.uid, tile))
        return read(self, network, source, plane, tile)

    monkeypatch.setattr(scoring.FeatureCache, "maps", note)
    newest = Tuned(state.tuned.network.with_weights(state.tuned.network.unet))
    verdict, kept = _judge(state, newest, None)
    tiles = {tile for uid, tile in computed if uid == newest.network.uid}
    assert 2 <= len(tiles) <= 4
    assert kept.head.weights.shape[1] == 2
    assert np.isfinite(kept.head.weights).all()
    # all are scored on the same pixels, of those tiles
    assert len({s.n_px for s in verdict.scores.values()}) == 1
    assert verdict.scores["forest"].n_px <= sum(
        len(g.rows) for g in state._samples.groups if g.tile in tiles
    )


def test_pretrained_features_are_trusted_before_the_forest(new_learner, image, strokes):
    learner = new_learner()
    strokes[28:] = 0  # one stroke a class: nothing can be held out
    learner.annotate(image, strokes)
    learner.predict(image)
    state = learner._state
    assert _judge(state, None, None)[0].chosen == "forest"
    assert _judge(state, None, None, is_pretrained=True)[0].chosen == "instant"
    verdict, _ = _judge(state, None, None)
    assert "too few" in verdict.reason


def test_the_reason_names_the_score_and_the_next_best(state):
    verdict, _ = _judge(state, state.tuned, None)
    assert "held out" in verdict.reason
    assert "next best" in verdict.reason
    assert f"{verdict.scores[verdict.chosen].n_px} px" in verdict.reason
