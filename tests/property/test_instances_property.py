"""Laws of cutting labels into objects, on any labels and settings."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.config import InstanceConfig
from napari_unet.inference.instances import split_objects

# a busy machine is no failure
unhurried = settings(deadline=None, max_examples=60)


@st.composite
def labels(draw):
    """Labels of up to three foreground classes: blobs, as a model gives, or noise."""
    ndim = draw(st.sampled_from([2, 2, 3]))
    sides = st.integers(1, 24 if ndim == 2 else 9)
    shape = tuple(draw(sides) for _ in range(ndim))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random((4, *shape))
    sigma = draw(st.sampled_from([0, 1, 2]))
    smooth = [ndimage.gaussian_filter(channel, sigma) for channel in noise]
    n_classes = draw(st.integers(1, 4))
    return np.argmax(smooth[:n_classes], axis=0) + draw(st.sampled_from([0, 1]))


options = st.builds(
    InstanceConfig,
    min_size_px=st.integers(0, 20),
    split_strength=st.sampled_from([0, 0.5, 0.8, 1]),
    fill_holes=st.booleans(),
)


def components(mask):
    return ndimage.label(mask, np.ones((3,) * mask.ndim))


@given(labels(), options)
@unhurried
def test_ids_are_consecutive_and_have_one_class(array, chosen):
    instances = split_objects(array, settings=chosen)
    found = np.unique(instances.labels)
    assert found[found > 0].tolist() == list(range(1, instances.n_objects + 1))
    per_px = instances.classes[instances.labels]
    # a class takes background where a hole is filled, and never another class
    is_given = (per_px > 0) & (array >= 2)
    np.testing.assert_array_equal(per_px[is_given], array[is_given])
    assert instances.classes[0] == 0
    assert (instances.classes[1:] >= 2).all()


@given(labels(), options)
@unhurried
def test_each_object_is_one_piece_and_large_enough(array, chosen):
    instances = split_objects(array, settings=chosen)
    for value in range(1, instances.n_objects + 1):
        mask = instances.labels == value
        assert components(mask)[1] == 1
        assert mask.sum() >= chosen.min_size_px


@given(labels(), options)
@unhurried
def test_together_objects_are_the_components_that_are_large_enough(array, chosen):
    chosen = chosen.model_copy(update={"fill_holes": False})
    instances = split_objects(array, settings=chosen)
    for value in range(2, int(array.max(initial=0)) + 1):
        pieces, n = components(array == value)
        for piece in range(1, n + 1):
            inside = pieces == piece
            ids = np.unique(instances.labels[inside])
            if inside.sum() < chosen.min_size_px:
                assert ids.tolist() == [0]
                continue
            assert ids.min() > 0
            # no object lies in two components
            assert not np.isin(instances.labels[~inside], ids).any()


@given(labels(), options)
@unhurried
def test_a_strength_of_0_leaves_components(array, chosen):
    chosen = chosen.model_copy(
        update={"split_strength": 0.0, "fill_holes": False, "min_size_px": 0}
    )
    instances = split_objects(array, settings=chosen)
    n = sum(components(array == v)[1] for v in range(2, int(array.max()) + 1))
    assert instances.n_objects == n


@given(labels(), options, st.permutations([2, 3, 4]))
@unhurried
def test_other_numbers_for_the_classes_give_the_same_objects(array, chosen, numbers):
    renamed = np.array([0, 1, *numbers])[array]
    before = split_objects(array, settings=chosen)
    after = split_objects(renamed, settings=chosen)
    assert after.n_objects == before.n_objects
    pairs = np.unique([before.labels.ravel(), after.labels.ravel()], axis=1)
    # one to one
    assert pairs.shape[1] == len(np.unique(pairs[0])) == len(np.unique(pairs[1]))
