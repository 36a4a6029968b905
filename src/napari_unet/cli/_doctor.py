"""``napari-unet doctor``: whether all is there, the GPU is used, and it learns."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from napari_unet.cli._console import write_json
from napari_unet.cli._options import add_device, add_json
from napari_unet.cli._screen import ask, has_screen, window_system
from napari_unet.errors import DeviceError, NapariUnetError

__all__ = ["Finding", "add_parser", "run"]

_SELF_TEST_S = 4.0


@dataclass(frozen=True)
class Finding:
    """What one check found; ``advice`` is '' where nothing is to be done."""

    name: str
    is_ok: bool
    text: str
    advice: str = ""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "doctor",
        help="check this installation, its GPU, and learn for some seconds",
        description="Check Python, napari, Qt, torch, GPU and driver, then train and "
        "predict for about 10 seconds. Exit code 3 when a check fails that the command "
        "line itself needs.",
        allow_abbrev=False,
    )
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print each finding as soon as it is there, and before slow checks what runs."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("", _check_python),
        ("", _check_napari),
        ("starting Qt", _check_qt),
        ("", _check_codecs),
        ("importing torch", _check_torch),
        ("", _check_gpu),
        (
            "learning and predicting a sample, some 10 seconds",
            lambda: _self_test(args.device or "auto"),
        ),
    ]
    findings = []
    for doing, check in checks:
        if doing and not args.json:
            print(f"...  {doing}", file=sys.stderr, flush=True)
        finding = check()
        findings.append(finding)
        if not args.json:
            mark = "ok  " if finding.is_ok else "FAIL"
            print(f"{mark} {finding.name:11} {finding.text}")
            if finding.advice:
                print(f"     {'':11} -> {finding.advice}")
            sys.stdout.flush()
    is_ok = all(finding.is_ok for finding in findings)
    if args.json:
        write_json({"is_ok": is_ok, "findings": [asdict(f) for f in findings]})
    elif is_ok:
        print("All is well.")
    return 0 if is_ok else 3


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _check_python() -> Finding:
    text = (
        f"{platform.python_version()} on {platform.platform(terse=True)}, "
        f"{os.cpu_count()} cores; napari-unet {_version('napari-unet') or 'unknown'}"
    )
    is_ok = sys.version_info >= (3, 11)
    return Finding(
        "Python", is_ok, text, "" if is_ok else "install Python 3.11 or newer"
    )


def _check_napari() -> Finding:
    found = _version("napari")
    if found is None:
        # the command line and Python work without it
        return Finding(
            "napari",
            True,
            "not installed",
            "for painting: pip install 'napari-unet[all]'",
        )
    return Finding("napari", True, found)


def _check_qt() -> Finding:
    """Ask Qt in a process of its own: where it cannot start, it aborts the process."""
    if find_spec("qtpy") is None or _version("napari") is None:
        return Finding("Qt", True, "not needed without napari")
    code = "import qtpy; print(qtpy.API_NAME, qtpy.QT_VERSION)"
    found = ask(code)
    if found is None:
        advice = "for painting: pip install 'napari[all]'"
        return Finding("Qt", True, "no Qt binding works", advice)
    if not has_screen():
        advice = "napari needs a screen; the command line does not"
        return Finding("Qt", True, f"{found}, no screen", advice)
    screen = window_system()
    if screen is None:
        advice = (
            "Qt cannot open a window here: on Linux install libegl1 libxcb-cursor0 "
            "libxkbcommon-x11-0"
        )
        return Finding("Qt", True, f"{found}, cannot start", advice)
    return Finding("Qt", True, f"{found} on {screen}")


def _check_codecs() -> Finding:
    found = _version("imagecodecs")
    if found is None:
        return Finding(
            "imagecodecs",
            True,
            "not installed",
            "only for TIFFs compressed with LZW, zstd or JPEG: pip install imagecodecs",
        )
    return Finding("imagecodecs", True, found)


def _check_torch() -> Finding:
    started = time.monotonic()
    try:
        import torch
    except (ImportError, OSError) as error:
        # a damaged installation raises OSError for a library that is missing
        line = str(error).strip().splitlines()[0][:150]
        return Finding(
            "torch", False, f"cannot be imported: {line}", "pip install torch"
        )
    seconds = time.monotonic() - started
    threads = torch.get_num_threads()
    text = f"{torch.__version__}, {threads} threads, imported in {seconds:.1f} s"
    return Finding("torch", True, text)


def _check_gpu() -> Finding:
    try:
        import torch

        from napari_unet.core.device import choose_device, describe_device
    except (ImportError, OSError):
        return Finding("GPU", True, "unknown without torch")
    driver = _nvidia_driver()
    for name in ("cuda", "mps"):
        try:
            device = choose_device(name)
        except DeviceError:
            continue
        text = describe_device(device, 0)
        if name == "cuda":
            text += f", CUDA {torch.version.cuda}, driver {driver or 'unknown'}"
        return Finding("GPU", True, text)
    if driver is None:
        return Finding("GPU", True, "none found; the CPU is used")
    if torch.version.cuda is None:
        advice = "this torch has no CUDA: install it anew as https://pytorch.org says"
    else:
        advice = f"update the driver ({driver}): torch wants CUDA {torch.version.cuda}"
    return Finding(
        "GPU", True, f"NVIDIA driver {driver}, but torch has no CUDA", advice
    )


def _nvidia_driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            query, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().partition("\n")[0] or None


def _self_test(device: str) -> Finding:
    """Learn the sample for some seconds and compare with its truth."""
    try:
        from napari_unet.cli._self_test import learn_and_predict

        result = learn_and_predict(device, _SELF_TEST_S)
    except NapariUnetError as error:
        advice = "choose --device cpu" if device != "cpu" else ""
        return Finding("self-test", False, str(error), advice)
    except (ImportError, OSError, RuntimeError) as error:
        # a broken driver shows in any of these; the doctor must not fall ill itself
        line = str(error).strip().partition("\n")[0][:150]
        return Finding("self-test", False, f"could not run: {line}", "see above")
    advice = "" if result.is_ok else "the results are wrong: try --device cpu"
    return Finding("self-test", result.is_ok, result.text, advice)
