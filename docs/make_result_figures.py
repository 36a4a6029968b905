"""Make the picture of exports read back by others' libraries.

Objects of the sample image go through the command line into GeoJSON and an ImageJ ROI
zip. Shapely and roifile read them, and what they say is drawn over the image::

    python docs/make_result_figures.py
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import roifile
import tifffile
from make_paper_figures import GAP_PX, write
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from shapely.geometry import shape

import napari_unet as nu
from napari_unet.annotation.simulate import simulate_strokes
from napari_unet.cli import main as run
from napari_unet.export import overlay_picture
from napari_unet.sample import load_sample

ZOOM = 2
TOP, LEFT, HEIGHT, WIDTH = 0, 300, 200, 340  # nuclei that touch
YELLOW, BLUE = "#F0E442", "#56B4E9"

Outline = list[tuple[float, float]]


def main() -> int:
    """Predict, export, read back, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "images", help="folder"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sample = load_sample("nuclei")
    with tempfile.TemporaryDirectory() as name:
        geojson, rois = export(Path(name), sample.image, sample.truth)
        qupath, imagej = read_geojson(geojson), read_rois(rois)
    print(f"{len(qupath)} outlines in GeoJSON, {len(imagej)} in the ROI zip")
    panels = [
        ("GeoJSON, read by shapely", drawn(sample.image, qupath, YELLOW)),
        ("ImageJ ROIs, read by roifile", drawn(sample.image, imagej, BLUE)),
    ]
    save(args.out / "export-read-back.png", panels)
    return 0


def export(
    folder: Path, image: NDArray[np.generic], truth: NDArray[np.integer]
) -> tuple[Path, Path]:
    """Learn from a few strokes, and export the objects through the command line."""
    learner = nu.Learner(nu.LearnerConfig(device="cpu"))
    learner.annotate(image, simulate_strokes(truth, 6, seed=3, width_px=(3, 5)))
    learner.save(folder / "cells.safetensors")
    tifffile.imwrite(folder / "nuclei.tif", image)
    call("predict", "--model", folder / "cells.safetensors", "--image",
         folder / "nuclei.tif", "--out", folder, "--instances")  # fmt: skip
    files = folder / "nuclei.geojson", folder / "nuclei.zip"
    for file in files:
        call("export", "--labels", folder / "nuclei-objects.tif", "--objects",
             "--out", file)  # fmt: skip
    return files


def call(*words: str | Path) -> None:
    """Run the command line."""
    if code := run([str(word) for word in words]):
        raise RuntimeError(f"exit code {code} of napari-unet {words[0]}")


def read_geojson(path: Path) -> list[Outline]:
    """Return the outer outlines (x, y) that shapely finds."""
    found = json.loads(path.read_text())
    features = found["features"] if isinstance(found, dict) else found
    outlines: list[Outline] = []
    for feature in features:
        geometry = shape(feature["geometry"])
        for part in getattr(geometry, "geoms", [geometry]):
            outlines.append([(x, y) for x, y in part.exterior.coords])
    return outlines


def read_rois(path: Path) -> list[Outline]:
    """Return the outlines (x, y) that roifile finds."""
    return [
        [(float(x), float(y)) for x, y in part]
        for roi in roifile.roiread(path)
        for part in (roi.coordinates(multi=True))
    ]


def drawn(
    image: NDArray[np.generic], outlines: Iterable[Outline], colour: str
) -> Image.Image:
    """Return a part of the image, enlarged, with outlines along edges of pixels."""
    grey = overlay_picture(image, np.zeros(image.shape, np.uint8))
    size = grey.shape[1] * ZOOM, grey.shape[0] * ZOOM
    picture = Image.fromarray(grey).resize(size, Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(picture)
    for outline in outlines:
        closed = [(x * ZOOM, y * ZOOM) for x, y in [*outline, outline[0]]]
        pen.line(closed, colour, 2)
    left, top = LEFT * ZOOM, TOP * ZOOM
    return picture.crop((left, top, left + WIDTH * ZOOM, top + HEIGHT * ZOOM))


def save(path: Path, panels: list[tuple[str, Image.Image]]) -> None:
    """Write panels below each other."""
    pitch = HEIGHT * ZOOM + 38
    sheet = Image.new(
        "RGB", (WIDTH * ZOOM + 2 * GAP_PX, pitch * len(panels) + GAP_PX), "white"
    )
    for number, (title, panel) in enumerate(panels):
        sheet.paste(panel, (GAP_PX, pitch * number + 34))
        write(sheet, (GAP_PX, pitch * number + 12), title)
    sheet.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    raise SystemExit(main())
