"""Make pictures like the paper's figures 2 and 3 from the program's own code.

The image is drawn by this script, so that its objects are known::

    python docs/make_paper_figures.py

Figure 2 shows how a tile of the output is predicted from a larger piece of the image,
mirrored beyond its border; figure 3 shows touching cells and the weight map of the
paper's equation 2 (Ronneberger, Fischer, Brox 2015, arXiv:1505.04597).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from napari_unet.export.picture import CLASS_COLOURS

SIDE_PX = 256
TILE_PX = 116  # of output: the paper's network gives 4 px and multiples of 16 more
ZOOM = 1.25
GAP_PX = 14
INK = (40, 40, 40)
PALETTE = np.array(CLASS_COLOURS[1:], np.uint8)
INSIDE, NEEDED = (240, 200, 0), (0, 114, 178)

Picture = NDArray[np.uint8]


def main() -> int:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "images", help="folder"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    image, objects = draw_cells()
    for name, picture in (
        ("paper-weights", weights_picture(image, objects)),
        ("paper-overlap-tile", tile_picture(image)),
    ):
        path = args.out / f"{name}.png"
        reduced = picture.quantize(256, dither=Image.Dither.NONE)
        reduced.save(path, optimize=True)
        print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")
    return 0


def draw_cells() -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return an image of crowded cells and the number of the cell at each pixel.

    Cells are the places that are nearest to one of some points, less a gap: they nearly
    touch, as in the paper's figure 3.
    """
    rng = np.random.default_rng(5)
    points = rng.uniform(30, SIDE_PX - 30, (400, 2))
    kept: list[NDArray[np.float64]] = []
    for point in points:
        if all(np.hypot(*(point - other)) > 38 for other in kept):
            kept.append(point)
    grid = np.indices((SIDE_PX, SIDE_PX)).astype(float)
    grid += ndimage.gaussian_filter(rng.normal(0, 60, grid.shape), (0, 8, 8))
    distance = np.stack([np.hypot(grid[0] - y, (grid[1] - x) * 0.9) for y, x in kept])
    order = np.sort(distance, axis=0)
    nearest = distance.argmin(axis=0) + 1
    is_cell = (order[1] - order[0] > 3) & (order[0] < 27)
    objects = np.where(is_cell, nearest, 0)
    objects = np.where(ndimage.binary_opening(objects > 0, iterations=2), objects, 0)
    depth = ndimage.distance_transform_edt(objects > 0)
    body = 0.35 * np.minimum(depth / 8, 1) * (objects > 0)
    texture = ndimage.gaussian_filter(rng.normal(0, 1, objects.shape), 2.5)
    image = 0.3 + body + 0.5 * texture * (0.3 + body)
    image = ndimage.gaussian_filter(image, 0.8) + rng.normal(0, 0.03, objects.shape)
    return np.clip(image, 0, 1), objects.astype(np.int32)


# -- figure 3 ------------------------------------------------------------------------


def weights_picture(
    image: NDArray[np.float64], objects: NDArray[np.int32]
) -> Image.Image:
    """Draw the image, its objects, its classes and the weight map side by side."""
    from napari_unet.annotation.border_weights import weight_map

    classes = np.where(objects > 0, 2, 1)
    weights = weight_map(classes, objects, w0=10, sigma_px=5)
    coloured = np.full((*objects.shape, 3), 255, np.uint8)
    coloured[objects > 0] = PALETTE[objects[objects > 0] % len(PALETTE)]
    grey = to_grey(image)
    over = np.where(objects[..., None] > 0, 0.5 * grey + 0.5 * coloured, grey)
    mask = np.where(objects > 0, 255, 0).astype(np.uint8)
    top = 12.0
    panels = [
        ("a  image", grey),
        ("b  objects", over.astype(np.uint8)),
        ("c  classes", np.repeat(mask[..., None], 3, axis=2)),
        ("d  weight of each pixel, w(x)", heat(weights / top)),
    ]
    side = round(SIDE_PX * ZOOM)
    width = GAP_PX + (side + GAP_PX) * len(panels) + 40
    sheet = Image.new("RGB", (width, side + 52), "white")
    for number, (title, panel) in enumerate(panels):
        x = GAP_PX + (side + GAP_PX) * number
        paste(sheet, panel, (x, 34), side)
        write(sheet, (x, 10), title)
    bar = np.linspace(1, 0, side)[:, None].repeat(12, axis=1)
    x = width - 44
    sheet.paste(Image.fromarray(heat(bar)), (x, 34))
    for value in (0, 4, 8, 12):
        write(sheet, (x + 17, 34 + (side - 16) * (1 - value / top)), f"{value}")
    return sheet


def heat(values: NDArray[np.floating]) -> Picture:
    """Colour values 0..1 from dark blue over white to dark red."""
    stops = np.array(
        [(20, 30, 90), (40, 120, 190), (240, 240, 230), (230, 120, 50), (140, 10, 30)]
    )
    at = np.linspace(0, 1, len(stops))
    clipped = np.clip(values, 0, 1)
    return np.stack(
        [np.interp(clipped, at, stops[:, channel]) for channel in range(3)], axis=-1
    ).astype(np.uint8)


# -- figure 2 ------------------------------------------------------------------------


def tile_picture(image: NDArray[np.float64]) -> Image.Image:
    """Draw a tile at the image's corner, and what the network must see for it."""
    from napari_unet.config import UNetConfig
    from napari_unet.core.arrays import PlaneStack
    from napari_unet.core.source import ImageSource
    from napari_unet.core.unet import UNet

    unet = UNet(UNetConfig(architecture="unet2015", base_channels=4))
    n_in, n_out = unet.valid_input_px(TILE_PX)
    border = (n_in - n_out) // 2
    source = ImageSource("cells", PlaneStack(image))
    stop = SIDE_PX + border
    seen = source.read(0, -border, stop, -border, stop)[0]
    grey = to_grey((seen + 1) / 2)
    beyond = np.ones(seen.shape, bool)
    beyond[border:-border, border:-border] = False
    grey[beyond] = 255 - (255 - grey[beyond]) // 2  # what is mirrored is paler
    side = grey.shape[0]
    sheet = Image.new("RGB", (2 * GAP_PX + side + 30 + n_out, side + 60), "white")
    paste(sheet, grey, (GAP_PX, 34), side)
    draw = ImageDraw.Draw(sheet)

    def box(start: int, size: int, colour: tuple[int, int, int]) -> None:
        low = (GAP_PX + start, 34 + start)
        high = (low[0] + size - 1, low[1] + size - 1)
        draw.rectangle((*low, *high), outline=colour, width=3)

    box(0, n_in, NEEDED)
    box(border, n_out, INSIDE)
    draw.rectangle(
        (GAP_PX + border, 34 + border, GAP_PX + stop, 34 + stop), outline=INK
    )
    x = GAP_PX + side + 30
    tile = grey[border : border + n_out, border : border + n_out]
    paste(sheet, tile, (x, 34 + border), n_out)
    draw.rectangle(
        (x, 34 + border, x + n_out - 1, 34 + border + n_out - 1),
        outline=INSIDE,
        width=3,
    )
    write(sheet, (GAP_PX, 10), f"blue: {n_in} px of input, mirrored beyond the image")
    write(sheet, (x, 34 + border - 20), f"{n_out} px of output")
    write(sheet, (GAP_PX, 38 + side), "pale: the image, mirrored beyond its border")
    return sheet


def to_grey(values: NDArray[np.floating]) -> Picture:
    """Return values 0..1 as a grey RGB picture."""
    grey = (np.clip(values, 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def paste(sheet: Image.Image, panel: Picture, at: tuple[int, int], side: int) -> None:
    """Put a square panel on the sheet, scaled to a side (px)."""
    scaled = Image.fromarray(panel).resize((side, side), Image.Resampling.NEAREST)
    sheet.paste(scaled, at)


def write(sheet: Image.Image, at: tuple[float, float], text: str) -> None:
    """Write at the upper left corner (px)."""
    font = ImageFont.load_default(14)
    ImageDraw.Draw(sheet).text(at, text, INK, font)


if __name__ == "__main__":
    raise SystemExit(main())
