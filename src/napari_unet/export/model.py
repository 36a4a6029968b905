"""The door for models that go out: what is shown, as a file for other programs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.config import ModelCard
from napari_unet.errors import ConfigError
from napari_unet.export.model_facts import facts_of
from napari_unet.export.model_files import require, write_model_file
from napari_unet.export.model_format import ModelFormat, model_format_of
from napari_unet.export.portable import PortableNetwork
from napari_unet.export.portable_scaling import scale_range
from napari_unet.learning.chosen import ChosenNetwork, chosen_network
from napari_unet.learning.images import check_sight
from napari_unet.learning.learner import Learner

__all__ = ["ExportedModel", "export_model", "portable_network"]

_SAMPLE_PX, _SAMPLE_PLANES = 256, 8


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """What was written.

    Attributes
    ----------
    path, format
        The file and what it is.
    remark
        What was left out of it, as a sentence; '' where nothing was.
    network
        The module that the file holds.
    sample
        An image that it was tried on, float32 (1, C, [Z,] Y, X), as it takes it.
    """

    path: Path
    format: ModelFormat
    remark: str
    network: PortableNetwork
    sample: NDArray[np.float32]


def export_model(
    learner: Learner | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    format: ModelFormat | None = None,
    image: Any = None,
    axes: str | None = None,
    card: ModelCard | None = None,
    is_scaled: bool | None = None,
) -> ExportedModel:
    """Write the network that is shown for programs that know nothing of this one.

    It takes an image of any size, whole, and gives the probabilities that
    `Learner.predict_probabilities` gives. A forest cannot go with it.

    Parameters
    ----------
    learner
        A learner, or the path of a model file.
    path
        File to write.
    format
        ``"bioimageio"``, ``"onnx"``, ``"torch"`` (torch.export) or ``"safetensors"``;
        None: by the suffix (.zip, .onnx, .pt2, .safetensors).
    image, axes
        What to try it on, and to show in a package; the middle of it, at most 256 px a
        side. None: an image that was learned from, else smooth noise.
    card
        Name, authors and licence.
    is_scaled
        Whether the file takes images with their percentiles 0.5 and 99.5 at 0 and 1, so
        that tiles can be computed apart; False: as they were taken, and the percentiles
        are measured on what it is given. None: scaled in packages, which say how to.

    Raises
    ------
    AnnotationError
        If there is no model yet.
    ConfigError
        If the format is unknown or contradicts the suffix, an extra is missing, or a
        package is to take images unscaled.
    FileError, CheckpointError
        If a file cannot be read or written.
    ImageError
        If the image has other channels or axes than the model.
    """
    kind, target = model_format_of(path, format)
    if kind == "bioimageio":
        if is_scaled is False:
            raise ConfigError(
                "a BioImage.IO package takes scaled images and says how they are "
                "scaled: leave is_scaled out, or write an .onnx file"
            )
        require("onnx", "onnx", "onnxscript")
        is_scaled = True
    if not isinstance(learner, Learner):
        learner = Learner.load(learner, device="cpu")
    chosen = chosen_network(learner)
    network = portable_network(chosen, is_scaled=bool(is_scaled))
    sample = _sample(learner, network, image, axes)
    card = card or ModelCard()
    facts = facts_of(chosen, network, card)
    if kind == "bioimageio":
        from napari_unet.export.bioimageio import write_package

        write_package(network, target, facts, card, sample)
    else:
        write_model_file(network, target, kind, facts)
    seen = scale_range(sample) if network.scaling.is_scaled else sample
    return ExportedModel(target, kind, chosen.remark, network, seen)


def portable_network(chosen: ChosenNetwork, *, is_scaled: bool) -> PortableNetwork:
    """Return the module that gives a network's probabilities of whole images."""
    return PortableNetwork(
        chosen.network,
        chosen.head,
        chosen.values,
        of_objects=chosen.config.annotation_mode == "objects",
        downsampling=chosen.config.downsampling,
        is_scaled=is_scaled,
    )


def _sample(
    learner: Learner, network: PortableNetwork, image: Any, axes: str | None
) -> NDArray[np.float32]:
    """Return the middle of an image as it was taken, shape (1, C, [Z,] Y, X)."""
    n_channels = network.unet.config.in_channels
    learned = learner._state.annotations.images
    if image is not None:
        stack = learner._images.find(image, None, axes, n_channels).stack
    elif learned:
        stack = learned[0].source.stack
    else:
        return _noise(
            (n_channels, *(_SAMPLE_PLANES, *[_SAMPLE_PX] * 2)[-network.ndim :])
        )
    check_sight(stack, learner.config.dimensions)
    spans = []
    for n in stack.plane_shape:
        first = max((n - _SAMPLE_PX) // 2, 0)
        spans += [first, min(first + _SAMPLE_PX, n)]
    if network.ndim == 2:
        return stack.read(stack.n_planes // 2, *spans)[None]
    planes = stack.planes_along_z(0, 0, min(stack.n_z, _SAMPLE_PLANES))
    return np.stack([stack.read(plane, *spans) for plane in planes], axis=1)[None]


def _noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return smooth noise of a shape (C, ...), with a batch axis; always the same."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).normal(size=shape)
    smooth = gaussian_filter(noise, (0, *[4.0] * (len(shape) - 1)))
    image: NDArray[np.float32] = (100 + 1000 * smooth[None]).astype(np.float32)
    return image
