"""Make the pictures of the page on the method from the program's own parts.

A part of the sample image, what the network sees in it, the folds that strokes are
dealt into, and what each candidate says::

    python docs/make_method_figures.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from make_paper_figures import GAP_PX, paste, to_grey, write
from numpy.typing import NDArray
from PIL import Image

import napari_unet as nu
from napari_unet.annotation.simulate import simulate_strokes
from napari_unet.core.hypercolumn import hypercolumn
from napari_unet.core.start import make_network
from napari_unet.export import class_colour, overlay_picture
from napari_unet.jobs import Scored
from napari_unet.sample import load_sample

SIDE_PX = 256
TOP, LEFT = 60, 380  # touching nuclei, and dim ones
ZOOM = 1.1
FOLDS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167))

Picture = NDArray[np.uint8]


def main() -> int:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of training")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "images", help="folder"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sample = load_sample("nuclei")
    image, truth = cut(sample.image), cut(sample.truth)
    strokes = simulate_strokes(truth, 6, seed=3, width_px=(3, 5))
    learner = nu.Learner(nu.LearnerConfig(device="cpu"))
    learner.annotate(image, strokes)
    probability = learner.predict_probabilities(image)[1]
    labels = learner.predict(image)
    features = feature_pictures(image)
    panels = [
        ("a  image and strokes", drawn(image, strokes)),
        *[(f"{'bcd'[i]}  features, {name}", f) for i, (name, f) in enumerate(features)],
        ("e  head: probability", to_grey(probability)),
        ("f  labels", overlay_picture(image, labels)),
    ]
    save(args.out / "method-features.png", panels)
    folds = fold_picture(learner, image)
    losses: dict[str, float | None] = {}
    for event in learner.fine_tune(seconds=args.seconds):
        if isinstance(event, Scored):
            losses = {name: score.log_loss for name, score in event.scores.items()}
    panels = [("a  strokes in four folds", folds)]
    for letter, name in zip("bcd", ("forest", "instant", "fine-tuned"), strict=True):
        found = learner.predict(image, candidate=name)
        title = f"{letter}  {name}: loss {losses[name]:.3f}"
        panels.append((title, overlay_picture(image, found)))
    save(args.out / "method-gate.png", panels)
    print(f"shown: {learner.status.chosen}")
    return 0


def cut(array: Picture) -> Picture:
    """Return the part of the image that is worked with."""
    return array[TOP : TOP + SIDE_PX, LEFT : LEFT + SIDE_PX]


def drawn(image: Picture, strokes: NDArray[np.integer]) -> Picture:
    """Return the image with strokes in the colours of their classes."""
    picture = overlay_picture(image, np.zeros_like(strokes))
    for value in (1, 2):
        picture[strokes == value] = class_colour(value)
    return picture


def fold_picture(learner: nu.Learner, image: Picture) -> Picture:
    """Return the image with strokes in the colours of their folds."""
    picture = overlay_picture(image, np.zeros_like(image))
    for _, stroke in learner._state.annotations.strokes:
        picture[tuple(stroke.yx.T)] = FOLDS[stroke.fold]
    return picture


def feature_pictures(pixels: Picture) -> list[tuple[str, Picture]]:
    """Return what the pretrained decoder sees: its maps' three main directions."""
    config = nu.LearnerConfig().unet_config(1, 2)
    unet, _ = make_network(config)
    image = pixels.astype(np.float32)
    image = (image - np.median(image)) / (np.quantile(image, 0.99) / 2)
    with torch.no_grad():
        maps = hypercolumn(unet, torch.from_numpy(image)[None, None], 4, 2)
    chosen = {"full size": 0, "an eighth": 3, "half image": 4}
    return [(name, main_directions(maps[i][0][0])) for name, i in chosen.items()]


def main_directions(features: torch.Tensor) -> Picture:
    """Return maps (C, h, w) as RGB: their three main directions, each 0..255."""
    values = features.flatten(1).T.double()
    values = values - values.mean(0)
    _, _, directions = torch.linalg.svd(values, full_matrices=False)
    seen = values @ directions[:3].T
    low, high = seen.quantile(0.02, dim=0), seen.quantile(0.98, dim=0)
    seen = ((seen - low) / (high - low)).clamp(0, 1) * 255
    return seen.reshape(*features.shape[1:], 3).numpy().astype(np.uint8)


def save(path: Path, panels: list[tuple[str, Picture]]) -> None:
    """Write panels side by side, in rows of three or four."""
    n_columns = 3 if len(panels) % 3 == 0 else 4
    side = round(SIDE_PX * ZOOM)
    n_rows = len(panels) // n_columns
    width = GAP_PX + (side + GAP_PX) * n_columns
    sheet = Image.new("RGB", (width, (side + 38) * n_rows + GAP_PX), "white")
    for number, (title, panel) in enumerate(panels):
        x = GAP_PX + (side + GAP_PX) * (number % n_columns)
        y = (side + 38) * (number // n_columns)
        paste(sheet, panel, (x, y + 34), side)
        write(sheet, (x, y + 12), title)
    reduced = sheet.quantize(256, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)
    print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    raise SystemExit(main())
