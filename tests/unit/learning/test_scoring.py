from dataclasses import replace

import numpy as np
import pytest

from napari_unet.config import TilingConfig
from napari_unet.core.head import RidgeHead
from napari_unet.jobs import CANDIDATE_NAMES, Score, finish
from napari_unet.learning import scoring
from napari_unet.learning.gate import ORDER
from napari_unet.learning.instant import HeadChoice
from napari_unet.learning.samples import Samples
from napari_unet.learning.scoring import Tuned, Verdict, _reason, judge


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


def _judge(state, candidate, current, previous=None, **changes):
    options = {
        "start": state.start,
        "candidate": candidate,
        "current": current,
        "cache": state.cache,
        "config": state.config,
        "is_pretrained": False,
        **changes,
    }
    return judge(state.samples, previous, **options)


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
    samples = state.samples
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
    fitted = snapshot.fitted(state.samples, HeadChoice(1.0, 1))
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
        state.samples,
        before,
        start=state.start,
        candidate=Tuned(state.tuned.network),
        current=None,
        cache=state.cache,
        config=state.config,
        is_pretrained=False,
    )
    n = len(state.samples.targets)
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
    assert len(state.samples.groups) > 4
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
        len(g.rows) for g in state.samples.groups if g.tile in tiles
    )


# -- when the network is shown ---------------------------------------------------------


def _instant(state, head, forest):
    """A verdict in which head and forest give the right class these probabilities."""
    validation = _judge(state, None, None)[0].validation
    n_classes = len(state.samples.values)
    is_right = np.eye(n_classes, dtype=bool)[state.samples.targets]
    head, forest = (
        np.where(is_right, p, (1 - p) / (n_classes - 1)).astype(np.float32)
        for p in (head, forest)
    )
    return Verdict(validation=replace(validation, head=head, forest=forest))


@pytest.mark.parametrize("is_pretrained", [False, True])
@pytest.mark.parametrize(
    ("n_each", "n_held_out"), [((4, 4), 4), ((4, 3), 3), ((2, 4), 3), ((2, 2), 2)]
)
def test_a_network_is_shown_only_where_four_strokes_say_so(
    new_learner, image, n_each, n_held_out, is_pretrained
):
    strokes = np.zeros((48, 48), np.uint8)
    for row in range(n_each[0]):
        strokes[2 + 3 * row, 4:40] = 1
    for row in range(n_each[1]):
        strokes[17 + 3 * row, 18:30] = 2
    learner = new_learner()
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=60))
    state = learner._state
    unsure = _instant(state, 0.5, 0.5)  # anyone is surer than that
    verdict, kept = _judge(
        state, state.tuned, None, unsure, is_pretrained=is_pretrained
    )
    scores = verdict.scores
    assert scores["fine-tuned"].n_strokes == n_held_out
    assert scores["fine-tuned"].log_loss < 0.5 * scores["instant"].log_loss
    assert verdict.chosen.startswith("fine-tuned") == (n_held_out >= 4)
    assert kept is not None  # it stays, and may be shown when there are more strokes
    assert set(scores) == set(ORDER)


def test_objects_that_touch_are_no_more_evidence_than_one_stroke(new_learner):
    rng = np.random.default_rng(0)
    ids = np.zeros((48, 64), np.uint8)
    for number in range(8):  # two rows of four: of them one is held out
        y, x = 8 + 24 * (number // 4), 16 * (number % 4)
        ids[y : y + 8, x : x + 16] = number + 2
    ids[[2, 22, 26, 46]] = 1
    learner = new_learner(annotation_mode="objects")
    learner.annotate(rng.normal(ids > 1, 0.05), ids)
    finish(learner.fine_tune(steps=20))
    state = learner._state
    unsure = _instant(state, 0.1, 0.1)  # anyone is surer than that
    verdict, _ = _judge(state, state.tuned, None, unsure)
    scores = verdict.scores
    assert scores["fine-tuned"].n_strokes == 3  # and two of background
    assert scores["fine-tuned"].log_loss < 0.5 * scores["instant"].log_loss
    assert not verdict.chosen.startswith("fine-tuned")


@pytest.fixture
def well_stroked(new_learner, image, strokes):
    """A learner's inside with four held-out strokes and a network that is surer."""
    strokes[6, 4:40] = strokes[9, 4:40] = 1
    strokes[21, 18:30] = strokes[24, 18:30] = 2
    learner = new_learner()
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=40))
    return learner._state


@pytest.mark.parametrize(("more", "is_shown"), [(-0.05, False), (0.05, True)])
def test_a_network_is_shown_only_where_it_is_clearly_surer(
    well_stroked, more, is_shown
):
    state = well_stroked
    saved = scoring._TUNED_GAIN + more
    assert state.config.instant.min_gain < scoring._TUNED_GAIN  # with so few strokes
    verdict, _ = _judge(state, state.tuned, None)
    least = verdict.scores["fine-tuned"].log_loss
    # the instant head has so much more that the network saves this share
    head = float(np.exp(-least / (1 - saved)))
    known = _instant(state, head, 1e-6)  # a forest that is wrong everywhere
    verdict, _ = _judge(state, state.tuned, None, known)
    scores = verdict.scores
    assert scores["fine-tuned"].log_loss == pytest.approx(least, rel=1e-3)
    share = 1 - scores["fine-tuned"].log_loss / scores["instant"].log_loss
    assert share == pytest.approx(saved, abs=0.01)
    assert verdict.chosen == ("fine-tuned" if is_shown else "instant")


@pytest.mark.parametrize(("n_strokes", "gain"), [(4, 0.2), (16, 0.1), (100, 0.04)])
def test_more_strokes_tell_of_smaller_gains(n_strokes, gain):
    assert scoring._needed_gain(n_strokes) == pytest.approx(gain)


def test_of_two_snapshots_the_surer_one_is_kept(state, monkeypatch):
    """However many pixels are right: on a few strokes that is luck."""
    samples = state.samples
    is_right = np.eye(2, dtype=bool)[samples.targets]
    sure = np.where(is_right, 0.95, 0.05).astype(np.float32)
    sure[0] = sure[0, ::-1]  # one pixel is on the wrong side
    barely = np.where(is_right, 0.51, 0.49).astype(np.float32)
    snapshots = [Tuned(state.tuned.network) for _ in range(2)]
    given = {id(snapshots[0]): sure, id(snapshots[1]): barely}
    monkeypatch.setattr(
        scoring, "_held_out_probabilities", lambda tuned, *_: given[id(tuned)]
    )
    mask = np.ones(len(samples.targets), bool)
    for newest, current in (snapshots, snapshots[::-1]):
        kept, probabilities = scoring._keep_better(
            samples, mask, newest, current, None, HeadChoice(1.0, 1)
        )
        assert kept is snapshots[0]
        assert probabilities is sure


def test_pretrained_features_are_trusted_before_the_forest(new_learner, image, strokes):
    learner = new_learner()
    strokes[28:] = 0  # one stroke a class: nothing can be held out
    learner.annotate(image, strokes)
    learner.predict(image)
    state = learner._state
    assert _judge(state, None, None)[0].chosen == "forest"
    assert _judge(state, None, None, is_pretrained=True)[0].chosen == (
        "instant+forest"  # in which the network has the larger part
    )
    verdict, _ = _judge(state, None, None)
    assert "Too few" in verdict.reason


def test_the_reason_repeats_neither_the_choice_nor_its_score(state):
    verdict, _ = _judge(state, state.tuned, None)
    assert verdict.reason
    assert CANDIDATE_NAMES[verdict.chosen] not in verdict.reason
    assert "IoU" not in verdict.reason


@pytest.mark.parametrize(
    ("rival", "said"),
    [(0.9, "The random forest scores higher"), (0.7, "None of the others")],
)
def test_the_reason_says_whether_another_scores_higher(rival, said):
    scores = {"instant": Score(0.8), "forest": Score(rival)}
    assert _reason(scores, "instant").startswith(said)


def test_the_reason_says_why_there_is_no_iou():
    scores = {"instant": Score(None, log_loss=0.1), "forest": Score(None, log_loss=1.0)}
    assert _reason(scores, "instant").startswith("No background was held out")
