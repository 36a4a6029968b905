"""``napari-unet info``: what a model file holds."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_unet.cli._console import naming, seconds_text, write_json
from napari_unet.cli._options import add_json
from napari_unet.errors import FileError
from napari_unet.jobs import held_out_text

__all__ = ["add_parser", "run"]

_ARCHITECTURES = ("compact", "unet2015")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "info",
        help="say what a model file holds",
        description="Say what a model file holds, without loading its weights; "
        "'bundled' tells about the pretrained weights in this version of the package.",
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="model file, or 'bundled'")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the header."""
    if args.model == "bundled":
        return _bundled(args)
    header = _read(Path(args.model))
    if args.json:
        write_json(header)
    else:
        _print(header)
    return 0


def _bundled(args: argparse.Namespace) -> int:
    from napari_unet.core.start import bundled_path

    found = {name: bundled_path(name) for name in _ARCHITECTURES}
    headers = {name: _read(path) for name, path in found.items() if path is not None}
    if args.json:
        write_json({name: headers.get(name) for name in _ARCHITECTURES})
        return 0
    if not headers:
        print(
            "This version carries no bundled weights: networks start from random ones, "
            "and the random forest answers first."
        )
    for header in headers.values():
        _print(header)
    return 0


def _read(path: Path) -> dict[str, Any]:
    from napari_unet.core.checkpoint import read_header

    with naming(path):
        header = read_header(path)
    try:
        n_bytes = path.stat().st_size
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from error
    return {"file": path, "n_bytes": n_bytes, **header}


def _print(header: Mapping[str, Any]) -> None:
    """Print what people want to know; ``--json`` has the rest."""
    rows = [
        ("file", f"{header['file']} ({header['n_bytes'] / 1e6:.1f} MB)"),
        ("holds", f"{header.get('kind')}, schema {header.get('schema_version')}"),
        ("written by", header.get("program")),
        ("network", _network_text(_mapping(_first(header, "start", "unet", "config")))),
        ("features", _features_text(header)),
        ("licence", header.get("licence")),
        ("data", _data_text(header.get("data"))),
        ("pretrained", _pretrained_text(header)),
        ("uses", header.get("chosen")),
        ("sees", _sight_text(header)),
        ("resolution", _resolution_text(header)),
        ("dimensions", _dimensions_text(header)),
        ("annotation", _mode_text(header)),
        ("classes", _classes_text(header)),
        ("painted", _painted_text(header)),
        ("smallest", _smallest_text(header)),
        ("fine-tuned", _tuned_text(header)),
        ("training", _training_text(header)),
        ("IoU", _scores_text(header)),
    ]
    for name, text in rows:
        if text:
            print(f"{name:12}  {text}")


def _first(header: Mapping[str, Any], *names: str) -> Any:
    """Return the first entry that a header has."""
    return next((header[name] for name in names if name in header), None)


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, empty where a header has something else."""
    return value if isinstance(value, Mapping) else {}


def _network_text(config: Mapping[str, Any]) -> str:
    if not config:
        return ""
    parts = [str(config.get("architecture"))]
    if "in_channels" in config:
        n = config["in_channels"]
        parts.append(f"{n} channel{'' if n == 1 else 's'}")
    parts.append(f"depth {config.get('depth')}")
    return ", ".join(parts)


def _features_text(header: Mapping[str, Any]) -> str:
    n_levels, n_scales = header.get("n_levels"), header.get("n_scales")
    if not (isinstance(n_levels, int) and isinstance(n_scales, int)):
        return ""
    levels = f"{n_levels} level{'' if n_levels == 1 else 's'}"
    return f"{levels} at {n_scales} scale{'' if n_scales == 1 else 's'}"


def _sight_text(header: Mapping[str, Any]) -> str:
    """Say what the chosen network sees; '' for the forest alone."""
    from napari_unet.session import sight_text

    is_tuned = str(header.get("chosen")).startswith("fine-tuned")
    n_scales = header.get("tuned_n_scales" if is_tuned else "head_n_scales")
    reach_px = header.get("reach_px")
    if not (isinstance(n_scales, int) and isinstance(reach_px, int)):
        return ""
    if not n_scales > 0 < reach_px:
        return ""
    config = header.get("config")
    factor = config.get("downsampling", 1) if isinstance(config, dict) else 1
    return sight_text(n_scales, reach_px, factor if factor in (1, 2, 4, 8) else 1)


def _data_text(data: Any) -> str:
    return ", ".join(map(str, data)) if isinstance(data, list) else str(data or "")


def _pretrained_text(header: Mapping[str, Any]) -> str:
    n_steps = header.get("n_steps")
    if not isinstance(n_steps, int):
        return ""
    parts = [f"{n_steps:,} steps"]
    if isinstance(hours := header.get("hours"), int | float):
        parts.append(f"in {hours:g} hours")
    seed = _mapping(header.get("settings")).get("seed")
    if seed is not None:
        parts.append(f"with seed {seed}")
    scores = _mapping(header.get("validation"))
    ious = [f"{k} image {v:.2f}" for k, v in scores.items() if isinstance(v, float)]
    if ious:
        parts.append(f"(mean IoU in validation: {', '.join(ious)})")
    return " ".join(parts)


def _resolution_text(header: Mapping[str, Any]) -> str:
    """Say at which resolution images are seen; '' for the full one."""
    factor = _mapping(header.get("config")).get("downsampling", 1)
    return "" if factor == 1 else f"1/{factor} of the image's, along Y and X"


def _dimensions_text(header: Mapping[str, Any]) -> str:
    """Say how stacks were learned; '' for plane by plane."""
    dimensions = _mapping(header.get("config")).get("dimensions", "2d")
    anisotropy = _mapping(header.get("tuned_network")).get("anisotropy")
    if dimensions != "3d" or not isinstance(anisotropy, int | float):
        return "" if dimensions == "2d" else str(dimensions)
    return f"3d, planes {anisotropy:.3g} px apart"


def _mode_text(header: Mapping[str, Any]) -> str:
    """Say what was painted; '' for strokes, as in files that do not say it."""
    if _mapping(header.get("config")).get("annotation_mode") != "objects":
        return ""
    return "objects: the border between touching ones is learned"


def _classes_text(header: Mapping[str, Any]) -> str:
    from napari_unet.annotation.objects import shown_values

    names = _mapping(header.get("class_names"))
    values = header.get("values")
    if not isinstance(values, list):
        return ""
    if _mode_text(header):  # the border is a part of the objects
        values = list(shown_values(values))
    named = (f"{v} {names[str(v)]}" if str(v) in names else str(v) for v in values)
    return ", ".join(named)


def _painted_text(header: Mapping[str, Any]) -> str:
    if not header.get("n_px"):
        return ""
    if header.get("n_objects"):
        return f"{header['n_px']} px in {header['n_objects']} objects and background"
    return f"{header['n_px']} px in {header.get('n_strokes')} strokes"


def _smallest_text(header: Mapping[str, Any]) -> str:
    smallest_px = header.get("smallest_object_px")
    if not isinstance(smallest_px, int):
        return ""
    return f"objects of {smallest_px:,} px, from the painted ones"


def _tuned_text(header: Mapping[str, Any]) -> str:
    if not header.get("step"):
        return ""
    text = f"{header['step']} steps"
    seconds = header.get("seconds")
    return f"{text} in {seconds_text(seconds)}" if seconds else text


def _training_text(header: Mapping[str, Any]) -> str:
    """Say whether training can go on exactly; '' for a model alone."""
    return "goes on with train --resume" if header.get("training") else ""


def _scores_text(header: Mapping[str, Any]) -> str:
    """Return the scores; those on the same held-out strokes name them once."""
    parts: dict[str, list[str]] = {}
    for name, score in _mapping(header.get("scores")).items():
        found = _mapping(score)
        value, n_px, n_strokes = map(found.get, ("mean_iou", "n_px", "n_strokes"))
        if isinstance(value, int | float):
            held_out = ""
            if isinstance(n_px, int) and isinstance(n_strokes, int):
                is_of_objects = bool(_mode_text(header))
                held_out = f" ({held_out_text(n_px, n_strokes, is_of_objects)})"
            parts.setdefault(held_out, []).append(f"{name} {value:.2f}")
    return "; ".join(", ".join(mine) + held_out for held_out, mine in parts.items())
