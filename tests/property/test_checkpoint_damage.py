"""Whatever happens to a model file: it is read, or refused in one sentence."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.config import UNetConfig
from napari_unet.core.checkpoint import (
    load_model,
    load_tensors,
    save_model,
    save_tensors,
)
from napari_unet.core.unet import UNet
from napari_unet.errors import NapariUnetError

_NAMES = st.text(min_size=1, max_size=12).filter(lambda name: name != "__metadata__")
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
_quick = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("damage") / "model.safetensors"
    save_model(path, UNet(UNetConfig(base_channels=4, depth=1)))
    return path.read_bytes()


@_quick
@given(data=st.data())
def test_changed_bytes(content, tmp_path, data):
    damaged = bytearray(content)
    # the header decides, so most of the damage goes there
    places = st.integers(0, 1500) | st.integers(0, len(content) - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(places)] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damaged)
    with suppress(NapariUnetError):  # anything else fails the test
        assert load_model(path).config.in_channels >= 1


@_quick
@given(start=st.integers(0, 2000), stop=st.integers(0, 2000))
def test_missing_bytes(content, tmp_path, start, stop):
    path = tmp_path / "damaged.safetensors"
    start, stop = sorted((start, stop))
    path.write_bytes(content[:start] + content[stop:])
    if start == stop:
        load_model(path)
    else:
        with pytest.raises(NapariUnetError):
            load_model(path)


@_quick
@given(
    shapes=st.dictionaries(_NAMES, st.lists(st.integers(0, 4), max_size=4), max_size=4),
    dtype=st.sampled_from(["f2", "f4", "f8", "u1", "u2", "i4", "i8", "?"]),
    extra=st.dictionaries(st.text(min_size=1), _JSON, max_size=3),
)
def test_round_trip(tmp_path, shapes, dtype, extra):
    path = tmp_path / "model.safetensors"
    rng = np.random.default_rng(0)
    arrays = {n: rng.integers(0, 2, shape).astype(dtype) for n, shape in shapes.items()}
    save_tensors(path, arrays, {"kind": "learner", "extra": extra})
    loaded, header = load_tensors(path)
    assert header["extra"] == extra
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array, strict=True)
