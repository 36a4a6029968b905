import numpy as np
import pytest
import torch

from napari_unet.config import UNetConfig
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource
from napari_unet.core.unet import UNet


@pytest.fixture
def make_unet():
    def make(**settings):
        torch.manual_seed(0)
        config = UNetConfig(**{"base_channels": 4, "depth": 2, **settings})
        return UNet(config).eval().requires_grad_(False)

    return make


@pytest.fixture
def make_source():
    def make(shape=(50, 70), axes=None, seed=0):
        image = np.random.default_rng(seed).random(shape).astype(np.float32)
        return ImageSource("image", PlaneStack(image, axes))

    return make
