"""Tiled equals untiled, and planes together equal planes alone, for volumes too."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.config import UNetConfig
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.head import RidgeHead
from napari_unet.core.source import ImageSource
from napari_unet.core.unet import UNet
from napari_unet.inference.maps import compute_slab_maps
from napari_unet.inference.tiles import Tile, plan_tiles

SIGHTS = [
    {"context_planes": 1},
    {"ndim": 3, "pad_z": False, "z_levels": 1},
    {"ndim": 3, "pad_z": False, "anisotropy": 2.5, "z_levels": 2},
    {"ndim": 3, "pad_z": False},
]


@given(
    sight=st.sampled_from(SIGHTS),
    architecture=st.sampled_from(["compact", "unet2015"]),
    n_z=st.integers(1, 6),
    shape=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    n_cells=st.integers(1, 3),
    slab=st.integers(1, 4),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_tiles_and_slabs_give_what_the_whole_volume_gives(
    sight, architecture, n_z, shape, n_cells, slab, seed
):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(n_z, *shape)).astype(np.float32)
    source = ImageSource("image", PlaneStack(image, "ZYX"))
    torch.manual_seed(seed)
    config = UNetConfig(architecture=architecture, base_channels=4, depth=2, **sight)
    unet = UNet(config).eval().requires_grad_(False)
    head = RidgeHead(
        rng.normal(size=(2 * sum(config.channels) + 1, 3)).astype(np.float32),
        rng.normal(size=3).astype(np.float32),
        1.0,
    )

    def predict(tiles, n_planes):
        found = np.full((3, n_z, *shape), np.nan)
        for plane in range(0, n_z, n_planes):
            n = min(n_planes, n_z - plane)
            for tile in tiles:
                where = slice(tile.y0, tile.y1), slice(tile.x0, tile.x1)
                slab = compute_slab_maps(unet, source, plane, n, tile, 3, 2)
                with torch.inference_mode():
                    for number, maps in enumerate(slab, start=plane):
                        found[(slice(None), number, *where)] = maps.project(head)
        return found

    tiled = predict(plan_tiles(shape, 16 * n_cells), slab)
    whole = predict([Tile(0, shape[0], 0, shape[1])], n_z)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-4)
