"""What `make` says while it installs."""

import subprocess
import sys

import pytest

from scripts.bootstrap import install, pip_news

TORCH = "  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (532.4 MB)\n"


@pytest.mark.parametrize(
    ("line", "news"),
    [
        (TORCH, "  downloading torch (532.4 MB)"),
        (
            "  Using cached PyQt6_Qt6-6.11.0-py3-none.whl (1.1 GB)",
            "  using cached PyQt6_",
        ),
        ("Installing collected packages: numpy, six, torch", "  unpacking 3 packages"),
        ("  Downloading six-1.17.0-py2.py3-none-any.whl (11 kB)", ""),
        ("Collecting torch<3,>=2.6 (from napari-unet==0.1.0)", ""),
        ("\n", ""),
    ],
)
def test_only_what_takes_long_is_told(line, news):
    assert pip_news(line).startswith(news)
    assert bool(pip_news(line)) == bool(news)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
@pytest.mark.parametrize("code", [0, 7])
def test_pip_is_shown_while_it_runs_and_its_failure_raised(tmp_path, capsys, code):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{TORCH.rstrip()}'\necho noise\nexit {code}\n")
    python.chmod(0o755)
    if code:
        with pytest.raises(subprocess.CalledProcessError):
            install(python, ["torch"])
    else:
        install(python, ["torch"])
    assert capsys.readouterr().out == "  downloading torch (532.4 MB)\n"
