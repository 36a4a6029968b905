"""``napari-unet export-model``: a model for programs that know nothing of this one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import complain, naming, write_json
from napari_unet.cli._files import refuse_overwriting, require_files
from napari_unet.cli._options import IMAGE_FILES, add_axes, add_json

if TYPE_CHECKING:
    from napari_unet.config import ModelCard
    from napari_unet.export.model_check import ModelCheck

__all__ = ["add_parser", "run"]

_FORMATS = ("bioimageio", "onnx", "torch", "safetensors")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "export-model",
        help="write a model for other programs: BioImage.IO, ONNX, PyTorch",
        description="Write the network that predicts for programs that know nothing "
        "of this one: a BioImage.IO package (.zip), ONNX (.onnx), torch.export (.pt2) "
        "or plain tensors (.safetensors and .json). See docs/models.md.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="FILE", help="model file"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="file to write"
    )
    parser.add_argument(
        "--format", choices=_FORMATS, help="default: by the suffix of --out"
    )
    parser.add_argument(
        "--scaled",
        action="store_true",
        help="the file takes images that are scaled already, as packages always do, so "
        "that tiles can be computed apart; without it, images as they were taken",
    )
    parser.add_argument(
        "--image",
        type=Path,
        metavar="FILE",
        help=f"what to try it on, and to show in a package: {IMAGE_FILES} (default: a "
        "sample image of this program, or noise)",
    )
    parser.add_argument("--name", help="what it is called in a package")
    parser.add_argument("--description", help="a sentence about it")
    parser.add_argument(
        "--author", nargs="+", metavar="NAME", help="who trained it; see --licence"
    )
    parser.add_argument(
        "--licence", metavar="SPDX", help="under which others may use it, as CC-BY-4.0"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="run what was written by onnxruntime or torch and print the largest "
        "difference; of a package, also what the zoo's validator says",
    )
    add_axes(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the file; 3 where a check fails."""
    require_files([path for path in (args.model, args.image) if path is not None])
    from napari_unet.config import ModelCard
    from napari_unet.export import check_writable
    from napari_unet.export.model import export_model
    from napari_unet.export.model_format import model_format_of

    kind, out = model_format_of(args.out, args.format)
    refuse_overwriting([out], [args.model])
    check_writable(out)
    card = _card(args, ModelCard().name)
    image, axes = _image(args)
    with naming(args.model):
        done = export_model(
            args.model,
            out,
            format=kind,
            image=image,
            axes=axes,
            card=card,
            is_scaled=args.scaled or None,
        )
    checked = None
    if args.check:
        from napari_unet.export.model_check import check_model

        checked = check_model(done)
    if args.json:
        write_json(
            {"file": done.path, "format": kind, "remark": done.remark}
            | ({} if checked is None else _check_facts(checked))
        )
    else:
        print(f"Wrote {done.path} ({kind}, {done.path.stat().st_size / 1e6:.1f} MB).")
        if done.remark:
            print(done.remark)
        if checked is not None:
            _print(checked)
    return 0 if checked is None or checked.is_right else 3


def _card(args: argparse.Namespace, usual: str) -> ModelCard:
    """Return what the package says of itself."""
    from napari_unet.config import ModelCard, parse_config

    given = {
        "name": args.name or usual,
        "description": args.description or "",
        "authors": args.author or [],
        "licence": args.licence or "",
    }
    card = parse_config(json.dumps(given), ModelCard)
    assert isinstance(card, ModelCard)
    return card


def _image(args: argparse.Namespace) -> tuple[Any, str | None]:
    """Return what to try the model on, and its axes; None for noise."""
    from napari_unet.cli._read import read_image
    from napari_unet.core.checkpoint import read_header
    from napari_unet.sample import load_sample

    if args.image is not None:
        found = read_image(args.image, args.axes)
        return found.array, found.axes
    with naming(args.model):
        header = read_header(args.model)
    network, config = header.get("start"), header.get("config")
    if not (isinstance(network, dict) and isinstance(config, dict)):
        return None, None  # no learner: said when it is loaded
    name = {1: "nuclei", 3: "tissue"}.get(network.get("in_channels", 0))
    if name is None or config.get("dimensions") != "2d":
        return None, None
    return load_sample(name).image, None


def _check_facts(checked: ModelCheck) -> dict[str, Any]:
    return {
        "is_right": checked.is_right,
        "max_difference": checked.max_difference,
        "shapes": [list(shape) for shape in checked.shapes],
        "report": checked.report,
    }


def _print(checked: ModelCheck) -> None:
    """Print what a check saw."""
    shapes = ", ".join("x".join(map(str, shape)) for shape in checked.shapes)
    print(
        f"Checked with images of {shapes}: probabilities differ by at most "
        f"{checked.max_difference:.1e}."
    )
    if checked.report:
        print(checked.report)
    if not checked.is_right:
        complain("the check failed: do not use this file, and report it")
