import numpy as np
import pytest
from sklearn.linear_model import Ridge

from napari_unet.core.head import RidgeHead, softmax


def _data(n=80, n_features=6, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.integers(-3, 4, n_features)
    features = (rng.normal(size=(n, n_features)) + rng.normal(size=n_features)) * scales
    targets = rng.integers(0, n_classes, n)
    weights = rng.random(n).astype(np.float32)
    return features.astype(np.float32), targets, weights


def _standardised(features, weights):
    mean = np.average(features, axis=0, weights=weights)
    variance = np.average((features - mean) ** 2, axis=0, weights=weights)
    return (features - mean) / np.sqrt(variance)


@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_it_is_weighted_ridge_regression_on_standardised_features(strength):
    features, targets, weights = _data()
    head = RidgeHead.fit(features, targets, 3, weights, strength)
    z = _standardised(features.astype(float), weights)
    share = weights / weights.sum()
    reference = Ridge(alpha=strength).fit(z, np.eye(3)[targets], sample_weight=share)
    expected = reference.predict(z) * head.temperature
    np.testing.assert_allclose(head.logits(features), expected, atol=1e-4)


def test_the_scale_of_features_and_weights_does_not_matter():
    features, targets, weights = _data()
    head = RidgeHead.fit(features, targets, 3, weights, 0.1)
    moved = features * np.float32(50) + np.float32(7)
    other = RidgeHead.fit(moved, targets, 3, weights * 1000, 0.1)
    np.testing.assert_allclose(head.logits(features), other.logits(moved), atol=2e-3)


def test_linear_classes_are_recovered():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 4)).astype(np.float32)
    targets = (features @ [1, -2, 0.5, 0] > 0).astype(int)
    head = RidgeHead.fit(features, targets, 2, np.ones(300, np.float32), 1e-3)
    assert (head.logits(features).argmax(1) == targets).mean() > 0.97


def test_without_information_it_predicts_the_share_of_each_class():
    features = np.ones((10, 3), np.float32)
    targets = np.array([0] * 7 + [1] * 3)
    head = RidgeHead.fit(features, targets, 2, np.ones(10, np.float32), 0.1)
    expected = np.array([0.7, 0.3]) * head.temperature
    np.testing.assert_allclose(head.logits(features)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e6])
def test_a_constant_feature_is_harmless(value):
    features, targets, weights = _data()
    constant = np.full((len(features), 1), value, np.float32)
    wide = np.hstack([features, constant])
    head = RidgeHead.fit(features, targets, 3, weights, 0.1)
    other = RidgeHead.fit(wide, targets, 3, weights, 0.1)
    assert (other.weights[-1] == 0).all()
    np.testing.assert_allclose(other.logits(wide), head.logits(features), atol=1e-4)
    # also where the feature is not constant elsewhere
    wide[:, -1] += 1000
    np.testing.assert_allclose(other.logits(wide), head.logits(features), atol=1e-4)


def test_one_sample_a_class_and_more_features_than_samples():
    features = np.eye(2, 50, dtype=np.float32)
    head = RidgeHead.fit(features, np.array([0, 1]), 2, np.ones(2, np.float32), 0.01)
    assert head.weights.shape == (50, 2)
    assert head.logits(features).argmax(1).tolist() == [0, 1]


def test_sample_weights_of_zero_leave_samples_out():
    features, targets, weights = _data()
    weights[40:] = 0
    head = RidgeHead.fit(features, targets, 3, weights, 0.1)
    few = RidgeHead.fit(features[:40], targets[:40], 3, weights[:40], 0.1)
    np.testing.assert_allclose(
        head.logits(features), few.logits(features), rtol=1e-3, atol=1e-3
    )


def test_softmax_sums_to_one_and_survives_large_logits():
    logits = np.array([[1000.0, 0.0, -1000.0], [0.0, 0.0, 0.0]], np.float32)
    probabilities = softmax(logits)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(probabilities[0], [1, 0, 0])
    np.testing.assert_allclose(softmax(logits.T, axis=0), probabilities.T)
