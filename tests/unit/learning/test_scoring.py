import copy

import pytest
import torch

from napari_unet.jobs import finish
from napari_unet.learning.candidates import Network
from napari_unet.learning.gate import ORDER
from napari_unet.learning.scoring import Tuned, judge


@pytest.fixture
def state(new_learner, image, strokes):
    """A learner's inside with a network that has learned the square."""
    quick = new_learner().config.fine_tune.model_copy(update={"learning_rate": 1e-2})
    learner = new_learner(fine_tune=quick)
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=50))
    return learner._state


def _blind(tuned):
    """A network that sees background everywhere."""
    unet = copy.deepcopy(tuned.network.unet)
    with torch.no_grad():
        unet.head.weight.zero_()
        unet.head.bias.copy_(torch.tensor([5.0, 0.0]))
    return Tuned(Network(unet), tuned.outputs)


def _judge(state, candidate, current, **changes):
    options = {
        "candidate": candidate,
        "current": current,
        "cache": state.cache,
        "config": state.config,
        "is_pretrained": False,
        **changes,
    }
    return judge(state._samples, None, **options)


def test_a_worse_snapshot_does_not_replace_a_better_one(state):
    good, blind = state.tuned, _blind(state.tuned)
    verdict, kept = _judge(state, blind, good)
    assert kept is good
    assert verdict.scores["fine-tuned"].mean_iou > 0.7
    verdict, kept = _judge(state, good, blind)
    assert kept is good
    assert verdict.scores["fine-tuned"].mean_iou > 0.7


def test_a_blind_network_scores_low_and_is_not_shown(state):
    verdict, _ = _judge(state, _blind(state.tuned), None)
    # all background: half of the truth is missed
    assert verdict.scores["fine-tuned"].mean_iou == pytest.approx(0.25)
    assert verdict.scores["fine-tuned"].iou[2] == 0
    assert verdict.chosen != "fine-tuned"


def test_everyone_is_scored_on_the_same_strokes(state):
    verdict, _ = _judge(state, state.tuned, None)
    assert set(verdict.scores) == set(ORDER)
    assert len({(s.n_px, s.n_strokes) for s in verdict.scores.values()}) == 1
    # the network was trained without the strokes of one fold
    assert verdict.scores["fine-tuned"].n_strokes == 2
    before, _ = _judge(state, None, None)
    assert before.scores["forest"].n_strokes == 4


def test_a_network_that_lacks_a_class_is_not_scored(state):
    lacking = Tuned(state.tuned.network, (1, 7))
    verdict, _ = _judge(state, lacking, None)
    assert set(verdict.scores) == set(ORDER[:3])
    assert verdict.chosen in ORDER[:3]


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
    assert "held-out IoU" in verdict.reason
    assert f"{verdict.scores[verdict.chosen].n_px} px" in verdict.reason
