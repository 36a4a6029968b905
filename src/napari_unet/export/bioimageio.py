"""A package for the BioImage Model Zoo: rdf.yaml, an ONNX file, and a tried example.

Written by hand to the specification 0.5 (https://bioimage.io/docs), because its library
takes seconds to import and is only needed to check a package.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.config import ModelCard
from napari_unet.core.atomic import replace_file
from napari_unet.export.model_facts import document, program, text_of_classes
from napari_unet.export.model_files import (
    IMAGE,
    OPSET,
    PROBABILITIES,
    require,
    write_model_file,
)
from napari_unet.export.picture import overlay_picture
from napari_unet.export.portable import PortableNetwork
from napari_unet.export.portable_scaling import EPSILON, PERCENTILES, scale_range

__all__ = ["validation_of", "write_package"]

FORMAT_VERSION = "0.5.4"
_UNET = {
    "text": "Ronneberger, Fischer, Brox: U-Net, 2015",
    "doi": "10.1007/978-3-319-24574-4_28",
}
_TIME = (1980, 1, 1, 0, 0, 0)  # the same content, the same file


def write_package(
    network: PortableNetwork,
    path: str | os.PathLike[str],
    facts: dict[str, Any],
    card: ModelCard,
    sample: NDArray[np.float32],
) -> None:
    """Write a package, all or nothing.

    Parameters
    ----------
    network
        Of scaled images.
    path
        The ZIP file.
    facts
        See `napari_unet.export.model_facts.facts_of`.
    card
        Name, authors and licence.
    sample
        An image as it was taken, shape (1, C, [Z,] Y, X).
    """
    with torch.inference_mode():
        found = network(torch.from_numpy(scale_range(sample))).numpy()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.onnx"
        write_model_file(network, weights, "onnx", facts)
        files = {
            "weights.onnx": weights.read_bytes(),
            "test-input.npy": _npy(sample),
            "test-output.npy": _npy(found),
            "sample-input.tif": _tif(sample[0]),
            "sample-output.tif": _tif(found[0]),
            "cover.png": _cover(sample, found, network.classes),
            "README.md": document(facts).encode(),
        }
    files["rdf.yaml"] = _description(network, facts, card, files).encode()
    with replace_file(path) as temporary, zipfile.ZipFile(temporary, "w") as package:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.external_attr = 0o644 << 16
            package.writestr(entry, content, zipfile.ZIP_DEFLATED)


def validation_of(path: str | os.PathLike[str]) -> tuple[bool, str]:
    """Return whether the zoo's own validator takes a package, and what it says.

    Nothing is looked up on the network.

    Raises
    ------
    ConfigError
        If the extra is missing.
    """
    require("bioimageio", "bioimageio.spec")
    from bioimageio.spec import ValidationContext, load_description

    context = ValidationContext(perform_io_checks=True, disable_cache=True)
    with context:
        summary = load_description(Path(path)).validation_summary
    return summary.status != "failed", summary.format()


def _description(
    network: PortableNetwork,
    facts: dict[str, Any],
    card: ModelCard,
    files: dict[str, bytes],
) -> str:
    """Return rdf.yaml."""
    import yaml

    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    about = card.description or f"A U-Net that tells {text_of_classes(facts)} apart."
    described = {
        "format_version": FORMAT_VERSION,
        "type": "model",
        "name": card.name,
        "description": about,
        "authors": [{"name": name} for name in card.authors],
        "cite": [_UNET],
        "documentation": file("README.md"),
        "covers": [file("cover.png")],
        "tags": ["unet", "segmentation", "napari", f"{network.ndim}d"],
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [
            _input(network, facts)
            | {
                "test_tensor": file("test-input.npy"),
                "sample_tensor": file("sample-input.tif"),
            }
        ],
        "outputs": [
            _output(network, facts)
            | {
                "test_tensor": file("test-output.npy"),
                "sample_tensor": file("sample-output.tif"),
            }
        ],
        "weights": {
            "onnx": {
                **file("weights.onnx"),
                "opset_version": OPSET,
                "comment": f"written by {program()} with torch.onnx",
            }
        },
        "config": {"napari_unet": facts},
    }
    if card.licence:
        described["license"] = card.licence
    text: str = yaml.safe_dump(described, sort_keys=False, allow_unicode=True)
    return text


def _input(network: PortableNetwork, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the input tensor: any size, scaled by its percentiles."""
    names = facts["input"]["channel_names"]
    free = {"min": 1, "step": 1}
    lower, upper = PERCENTILES
    space = "zyx"[-network.ndim :]
    return {
        "id": IMAGE,
        "description": "an image as it was taken",
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": names},
            *({"type": "space", "id": axis, "size": dict(free)} for axis in space),
        ],
        "data": {"type": "float32"},
        "preprocessing": [
            {
                "id": "scale_range",
                "kwargs": {
                    "axes": list(space),
                    "min_percentile": lower,
                    "max_percentile": upper,
                    "eps": EPSILON,
                },
            }
        ],
    }


def _output(network: PortableNetwork, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the output tensor: of the input's size."""
    names = facts["output"]["classes"].values()
    return {
        "id": PROBABILITIES,
        "description": facts["output"]["values"],
        "axes": [
            {"type": "batch"},
            # earlier versions of the specification want identifiers
            {"type": "channel", "channel_names": [_identifier(name) for name in names]},
            *(
                {
                    "type": "space",
                    "id": axis,
                    "size": {"tensor_id": IMAGE, "axis_id": axis},
                }
                for axis in "zyx"[-network.ndim :]
            ),
        ],
        "data": {"type": "float32", "range": [0.0, 1.0]},
    }


def _identifier(name: str) -> str:
    """Return a name as Python would take it."""
    text = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    return text if text and not text[0].isdigit() else f"class_{text}".rstrip("_")


def _npy(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def _tif(array: NDArray[Any]) -> bytes:
    import tifffile

    content = io.BytesIO()
    tifffile.imwrite(
        content, array, metadata={"axes": "CZYX" if array.ndim == 4 else "CYX"}
    )
    return content.getvalue()


def _cover(
    sample: NDArray[np.float32], found: NDArray[np.float32], classes: tuple[int, ...]
) -> bytes:
    """Return a PNG of the image beside what is found in it, twice as wide as high."""
    import imageio.v3 as iio

    image, maps = sample[0], found[0]
    if image.ndim == 4:  # the middle plane
        image, maps = (a[:, a.shape[1] // 2] for a in (image, maps))
    shown = np.moveaxis(image[:3], 0, -1) if len(image) == 3 else image[0]
    labels = np.asarray(classes)[maps.argmax(axis=0)]
    side = min(labels.shape)
    shown, labels = shown[:side, :side], labels[:side, :side]
    plain = overlay_picture(shown, np.zeros_like(labels))
    painted = overlay_picture(shown, labels)
    content: bytes = iio.imwrite(
        "<bytes>", np.concatenate([plain, painted], axis=1), extension=".png"
    )
    return content
