"""What goes with an exported network, for programs and for people."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from napari_unet.config import ModelCard
from napari_unet.export.portable import PortableNetwork
from napari_unet.export.portable_scaling import PERCENTILES
from napari_unet.learning.chosen import ChosenNetwork

__all__ = ["class_names", "document", "facts_of", "program"]

_SCALED = (
    "scaled: of each channel of the whole image, the percentiles {} and {} at 0 and 1 "
    "(out = (image - low) / (high - low)); what lies beyond is not clipped"
)
_RAW = (
    "as it was taken, as float32: the percentiles {} and {} of each channel are "
    "measured on what is given, and so an image has to be given whole"
)


def program() -> str:
    """Return this program's name and version."""
    try:
        return f"napari-unet {version('napari-unet')}"
    except PackageNotFoundError:  # run from a source folder
        return "napari-unet"


def class_names(chosen: ChosenNetwork, network: PortableNetwork) -> dict[int, str]:
    """Return a name for each class that comes out, by its value in label images."""
    usual = {1: "background"}
    return {
        value: chosen.class_names.get(value) or usual.get(value) or f"class {value}"
        for value in network.classes
    }


def facts_of(
    chosen: ChosenNetwork, network: PortableNetwork, card: ModelCard
) -> dict[str, Any]:
    """Return what must be known to use a network, and its origin, as JSON values."""
    axes = "BCZYX" if network.ndim == 3 else "BCYX"
    scaling = _SCALED if network.scaling.is_scaled else _RAW
    return {
        "program": program(),
        "card": card.model_dump(mode="json"),
        "input": {
            "axes": axes,
            "dtype": "float32",
            "n_channels": network.unet.config.in_channels,
            "channel_names": _channel_names(chosen, network),
            "image": scaling.format(*PERCENTILES),
            "axes_of_the_images": chosen.axes,
        },
        "output": {
            "axes": axes.replace("C", "K"),
            "values": "probabilities, 0 to 1, which sum up to 1 over K",
            "classes": {str(k): n for k, n in class_names(chosen, network).items()},
        },
        "tiles": {
            "overlap_px": network.reach_px,
            "corners_on_multiples_of_px": network.grid_px,
        },
        "candidate": chosen.name,
        "held_out": chosen.score_text,
        "remark": chosen.remark,
        "network": network.unet.config.model_dump(mode="json"),
        "n_levels": network.n_levels,
        "n_scales": chosen.network.n_scales,
        "downsampling": network.downsampling,
    }


def _channel_names(chosen: ChosenNetwork, network: PortableNetwork) -> list[str]:
    """Return the colours of pictures; of other images numbers, also where 3 layers."""
    n_channels = network.unet.config.in_channels
    if n_channels == 3 and (chosen.axes or "").endswith("C"):
        return ["red", "green", "blue"]
    return [f"channel{number}" for number in range(n_channels)]


def document(facts: dict[str, Any]) -> str:
    """Return a page about a network, in Markdown."""
    card, given, tiles = facts["card"], facts["input"], facts["tiles"]
    classes = "\n".join(
        f"- channel {number}: {name} ({value} in label images)"
        for number, (value, name) in enumerate(facts["output"]["classes"].items())
    )
    held_out = facts["held_out"] or "not known: no strokes could be held out"
    rgb = " RGB images have their three channels in this order." * (
        given["channel_names"][0] == "red"
    )
    return f"""# {card["name"]}

{card["description"] or "Segments images into " + text_of_classes(facts) + "."}

Trained with {facts["program"]} from what was painted on images.

## Input

`{given["axes"]}`, float32, {given["n_channels"]} channel(s), any height and width.
The image is expected {given["image"]}. Integers become float32 as they are.{rgb}

## Output

`{facts["output"]["axes"]}`, float32: {facts["output"]["values"]}.

{classes}

The likeliest class of a pixel is its label.

## Validation

On strokes that were held out: {held_out}.
{facts["remark"]}

## Tiles

The network looks {tiles["overlap_px"]} px around a pixel. Tiles that overlap by so much
on each side, with corners on multiples of {tiles["corners_on_multiples_of_px"]} px,
give what the whole image gives, as long as it was scaled as a whole.
"""


def text_of_classes(facts: dict[str, Any]) -> str:
    """Return the names of the classes, joined by commas."""
    return ", ".join(facts["output"]["classes"].values())
