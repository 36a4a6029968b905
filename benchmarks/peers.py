"""Other programs that learn from strokes, asked the same as the learner.

Each is optional: what is not installed is left out, and the tables say so. None may
download anything: of napari-convpaint this takes the features that need no weights.

    python benchmarks/peers.py          # says what is installed
"""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib import metadata, util
from typing import Any

import numpy as np
from _cases import Case
from _data import Picture
from _judge import score_labels
from _torchvision import make_importable
from numpy.typing import NDArray

from napari_unet.annotation.simulate import simulate_strokes

__all__ = ["PEERS", "TITLES", "installed_peers", "run_peer"]

Image = NDArray[Any]
Labels = NDArray[np.integer]
Fit = Callable[[Image, Labels, int], Callable[[Image], Labels]]


def run_peer(
    name: str, case: Case, painted: Picture, other: Picture | None
) -> dict[str, Any]:
    """Fit a peer to the case's strokes; return its scores and times, fit for JSON."""
    fit = PEERS[name]
    _warm_up(name)
    annotation = simulate_strokes(painted.truth, case.n_strokes, case.seed)
    values = [int(value) for value in np.unique(annotation) if value]
    started = time.perf_counter()
    segment = fit(_channels_first(painted), annotation, case.seed)
    labels = segment(_channels_first(painted))
    seconds = time.perf_counter() - started
    scores = {"same": score_labels(painted.truth, labels, values)}
    if other is not None:
        labels = segment(_channels_first(other))
        scores["other"] = score_labels(other.truth, labels, values)
    package = _PACKAGES[name]
    return {
        "scores": {name: scores},
        "ready_s": {name: seconds},
        "package": f"{package} {metadata.version(package)}",
    }


def installed_peers() -> list[str]:
    """Return the names of the peers that can be asked here."""
    return [name for name in PEERS if util.find_spec(_MODULES[name]) is not None]


def fit_scikit_image(
    image: Image, annotation: Labels, seed: int
) -> Callable[[Image], Labels]:
    """Fit scikit-image's trainable segmentation, with the settings of its example."""
    from skimage.feature import multiscale_basic_features
    from skimage.future import fit_segmenter, predict_segmenter
    from sklearn.ensemble import RandomForestClassifier

    features = partial(
        multiscale_basic_features,
        intensity=True,
        edges=False,
        texture=True,
        sigma_min=1,
        sigma_max=16,
        channel_axis=0,
        workers=1,
    )
    forest = RandomForestClassifier(
        n_estimators=50, n_jobs=1, max_depth=10, random_state=seed
    )
    fit_segmenter(annotation, features(image.astype(np.float32)), forest)
    return lambda new: predict_segmenter(features(new.astype(np.float32)), forest)


def fit_convpaint(
    image: Image, annotation: Labels, seed: int
) -> Callable[[Image], Labels]:
    """Fit napari-convpaint with its Gaussian features; its own seed is always 0."""
    model_class = _import_convpaint()
    with _quiet():
        model = model_class(alias="gaussian")
        mode = {1: "single", 3: "rgb"}.get(len(image), "multi")
        model.set_param("channel_mode", mode)
        model.train(_without_lone_channel(image), annotation)

    def segment(new: Image) -> Labels:
        with _quiet():
            labels: Labels = model.segment(_without_lone_channel(new))
        return labels

    return segment


PEERS: dict[str, Fit] = {
    "scikit-image": fit_scikit_image,
    "convpaint": fit_convpaint,
}
TITLES = {
    "scikit-image": "scikit-image (filters, forest)",
    "convpaint": "napari-convpaint (Gaussian features)",
}
_MODULES = {"scikit-image": "skimage", "convpaint": "napari_convpaint"}
_PACKAGES = {"scikit-image": "scikit-image", "convpaint": "napari-convpaint"}


@cache
def _warm_up(name: str) -> None:
    """Load what is loaded at first use."""
    y, x = np.mgrid[:64, :64]
    truth = (1 + ((y // 16 + x // 16) % 2)).astype(np.uint8)
    image = (truth * 50)[None]
    PEERS[name](image, simulate_strokes(truth, 3, 0), 0)(image)


def _channels_first(picture: Picture) -> Image:
    """Return shape (C, Y, X), C = 1 for grey images."""
    image = picture.image if "C" in picture.axes else picture.image[None]
    axis = max(picture.axes.find("C"), 0)
    return np.ascontiguousarray(np.moveaxis(image, axis, 0))


def _without_lone_channel(image: Image) -> Image:
    return image[0] if len(image) == 1 else image


def _import_convpaint() -> Any:
    """Import napari-convpaint also where torchvision does not fit torch."""
    make_importable()
    from napari_convpaint.convpaint_model import ConvpaintModel

    return ConvpaintModel


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep its classifier from printing a line per tree."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def main() -> int:
    """Say what is installed, and whether it runs."""
    for name in PEERS:
        if name not in installed_peers():
            print(f"{TITLES[name]}: not installed")
            continue
        _warm_up(name)
        package = _PACKAGES[name]
        print(f"{TITLES[name]}: {package} {metadata.version(package)}, runs")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
