import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_unet.core.losses import (
    IGNORE_INDEX,
    balanced_class_weights,
    frequency_class_weights,
    sparse_loss,
)
from napari_unet.errors import AnnotationError


def _batch(n_classes=3, shape=(6, 5), seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((2, n_classes, *shape), generator=generator)
    targets = torch.randint(-1, n_classes, (2, *shape), generator=generator)
    return logits.requires_grad_(), targets


def test_without_dice_it_is_cross_entropy_of_the_annotated_pixels():
    logits, targets = _batch()
    expected = F.cross_entropy(logits, targets, ignore_index=IGNORE_INDEX)
    torch.testing.assert_close(sparse_loss(logits, targets, dice_weight=0), expected)


def test_class_weights_act_as_in_torch():
    logits, targets = _batch()
    weights = torch.tensor([0.2, 1.0, 3.0])
    expected = F.cross_entropy(logits, targets, weights, ignore_index=IGNORE_INDEX)
    actual = sparse_loss(logits, targets, weights, dice_weight=0)
    torch.testing.assert_close(actual, expected)


def test_dice_of_a_case_worked_by_hand():
    # two pixels of class 0, one of class 1; probabilities of class 0: 3/4, 1/2, 1/4
    p = torch.tensor([[0.75, 0.5, 0.25], [0.25, 0.5, 0.75]])
    logits = p.log()[None]
    targets = torch.tensor([[0, 0, 1]])
    dice_0 = 2 * (0.75 + 0.5) / (1.5 + 2)
    dice_1 = 2 * 0.75 / (1.5 + 1)
    cross_entropy = -(math.log(0.75) + math.log(0.5) + math.log(0.75)) / 3
    expected = cross_entropy + 2 * (1 - (dice_0 + dice_1) / 2)
    assert sparse_loss(logits, targets, dice_weight=2).item() == pytest.approx(expected)


def test_dice_leaves_out_absent_classes():
    p = torch.tensor([[0.5], [0.5]])
    padded = torch.tensor([[0.5], [0.5], [0.0]])
    targets = torch.tensor([[0]])
    of_two = sparse_loss(p.log()[None], targets, dice_weight=1)
    of_three = sparse_loss(padded.clamp_min(1e-30).log()[None], targets, dice_weight=1)
    assert of_three.item() == pytest.approx(of_two.item())


def test_unlabelled_pixels_have_no_influence_and_no_gradient():
    logits, targets = _batch()
    unlabelled = (targets == IGNORE_INDEX)[:, None].expand_as(logits)
    assert unlabelled.any()
    loss = sparse_loss(logits, targets)
    loss.backward()
    assert (logits.grad[unlabelled] == 0).all()
    assert (logits.grad[~unlabelled] != 0).any()
    changed = torch.where(unlabelled, torch.full_like(logits, 1e4), logits)
    assert sparse_loss(changed, targets).item() == loss.item()


@pytest.mark.parametrize("spoiler", [0.0, math.inf, math.nan])
def test_nothing_annotated_is_zero_with_zero_gradients(spoiler):
    logits, targets = _batch()
    spoilt = logits * 1
    spoilt = spoilt + spoiler
    loss = sparse_loss(spoilt, torch.full_like(targets, IGNORE_INDEX))
    assert loss.item() == 0
    assert loss.ndim == 0
    loss.backward()
    assert (logits.grad == 0).all()


def test_all_weights_zero_is_zero_not_nan():
    logits, targets = _batch()
    loss = sparse_loss(logits, targets, torch.zeros(3))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_a_class_of_weight_zero_does_not_count():
    logits, targets = _batch()
    weights = torch.tensor([1.0, 1.0, 0.0])
    only_two = torch.where(targets == 2, IGNORE_INDEX, targets)
    cross_entropy = sparse_loss(logits, targets, weights, dice_weight=0)
    torch.testing.assert_close(
        cross_entropy, sparse_loss(logits, only_two, weights, dice_weight=0)
    )


def test_extreme_logits_stay_finite():
    logits, targets = _batch()
    extreme = (logits * 1e6).detach().requires_grad_()
    loss = sparse_loss(extreme, targets)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(extreme.grad).all()


def test_perfect_logits_lose_next_to_nothing_and_wrong_ones_much():
    targets = torch.tensor([[[0, 1, -1], [2, 2, 0]]])
    right = F.one_hot(targets.clamp_min(0), 3).movedim(-1, 1) * 50.0
    assert sparse_loss(right, targets).item() < 1e-6
    assert sparse_loss(-right, targets).item() > 10


@pytest.mark.parametrize("shape", [(7,), (4, 5), (3, 4, 5)])
def test_any_number_of_dimensions(shape):
    logits, targets = _batch(shape=shape)
    flat = sparse_loss(logits.flatten(2), targets.flatten(1))
    torch.testing.assert_close(sparse_loss(logits, targets), flat)


def test_half_precision_is_computed_in_float32():
    logits, targets = _batch()
    halved = logits.detach().bfloat16()
    loss = sparse_loss(halved, targets)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, sparse_loss(halved.float(), targets))
    nothing = sparse_loss(halved, torch.full_like(targets, IGNORE_INDEX))
    assert nothing.dtype == torch.float32


def test_gradients_are_those_of_finite_differences():
    logits, targets = _batch(shape=(2, 3))
    weights = torch.tensor([0.5, 1.0, 2.0])
    loss = sparse_loss(logits, targets, weights)
    (gradient,) = torch.autograd.grad(loss, logits)
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    step = 1e-2
    with torch.no_grad():
        ahead = sparse_loss(logits + step * direction, targets, weights)
        behind = sparse_loss(logits - step * direction, targets, weights)
    slope = (ahead - behind).item() / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-2)


def test_a_few_steps_learn_the_strokes():
    logits, targets = _batch()
    optimiser = torch.optim.SGD([logits], lr=5)
    for _ in range(200):
        optimiser.zero_grad()
        sparse_loss(logits, targets).backward()
        optimiser.step()
    is_labelled = targets != IGNORE_INDEX
    assert (logits.argmax(1) == targets)[is_labelled].all()


@pytest.mark.parametrize("wrong", [3, -2])
def test_a_target_that_is_no_class_is_named(wrong):
    logits, targets = _batch()
    targets[0, 0, 0] = wrong
    with pytest.raises(AnnotationError, match=rf"target {wrong} .* 3 classes"):
        sparse_loss(logits, targets)


def test_shapes_that_do_not_fit_are_refused():
    logits, targets = _batch()
    with pytest.raises(AnnotationError, match=r"\(2, 6, 4\).*\(2, 3, 6, 5\)"):
        sparse_loss(logits, targets[..., :-1])


def test_balanced_weights_are_inverse_roots_with_mean_one():
    weights = balanced_class_weights([400, 0, 100])
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [2 / 3, 0, 4 / 3], rtol=1e-6)


def test_equal_counts_weigh_one_and_no_counts_nothing():
    np.testing.assert_allclose(balanced_class_weights([7, 7, 7]), 1)
    np.testing.assert_array_equal(balanced_class_weights([0, 0]), 0)


def test_negative_counts_are_refused():
    with pytest.raises(AnnotationError, match="-1"):
        balanced_class_weights([3, -1])


def test_frequency_weights_balance_the_classes_wholly():
    counts = np.array([400, 0, 100])
    weights = frequency_class_weights(counts)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [500 / 800, 0, 500 / 200], rtol=1e-6)
    np.testing.assert_allclose(weights * counts, [250, 0, 250], rtol=1e-6)
    # the mean over all pixels is 1: the scale of w0
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1)
    np.testing.assert_array_equal(frequency_class_weights([0, 0]), 0)
    with pytest.raises(AnnotationError, match="-1"):
        frequency_class_weights([3, -1])


def test_pixel_weights_are_those_of_equation_1():
    logits, targets = _batch()
    weights = torch.rand(targets.shape, generator=torch.Generator().manual_seed(1))
    log_p, energy = logits.log_softmax(dim=1), 0.0
    for b, y, x in np.ndindex(*targets.shape):
        if targets[b, y, x] != IGNORE_INDEX:
            energy -= weights[b, y, x] * log_p[b, targets[b, y, x], y, x]
    n_annotated = (targets != IGNORE_INDEX).sum()
    found = sparse_loss(logits, targets, None, 0, weights)
    torch.testing.assert_close(found, energy / n_annotated)
    # class weights have no part in it, unlike in Dice
    ignored = sparse_loss(logits, targets, torch.tensor([9.0, 0, 1]), 0, weights)
    torch.testing.assert_close(ignored, found)
    with_dice = sparse_loss(logits, targets, None, 2, weights)
    plain = sparse_loss(logits, targets, None, 0)
    dice = sparse_loss(logits, targets, None, 2) - plain
    torch.testing.assert_close(with_dice, found + dice)


def test_pixel_weights_of_one_are_the_plain_mean_and_of_the_right_shape():
    logits, targets = _batch()
    ones = torch.ones(targets.shape)
    torch.testing.assert_close(
        sparse_loss(logits, targets, None, 0, ones),
        sparse_loss(logits, targets, None, 0),
    )
    with pytest.raises(AnnotationError, match="pixel weights"):
        sparse_loss(logits, targets, None, 0, ones[:1])
    nothing = torch.full_like(targets, IGNORE_INDEX)
    assert sparse_loss(logits, nothing, None, 0, ones) == 0
