"""The examples of the documentation run as they stand, and leave what they promise."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(900)  # 15 s each, minutes on a busy machine

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
MADE = {
    "batch_folder.py": "labels/field-3-labels.tif",
    "learn_from_strokes.py": "nuclei-labels.tif",
    "objects_and_measurements.py": "nuclei.csv",
    "project_by_script.py": "study/nuclei.unet-project/rounds/round-0001.safetensors",
    "unet_alone.py": "unet.safetensors",
}


def run(code, folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", *code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_example_is_known():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(MADE)


@pytest.mark.parametrize("name", MADE)
def test_an_example_runs(name, tmp_path):
    assert run([str(EXAMPLES / name)], tmp_path)
    assert (tmp_path / MADE[name]).stat().st_size


def test_the_cells_of_the_notebook_run_in_order(tmp_path):
    notebook = json.loads((EXAMPLES / "loop.ipynb").read_text("utf-8"))
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    assert len(cells) >= 5
    assert all(c["outputs"] for c in cells if "print(" in "".join(c["source"]))
    assert run(["-c", "\n".join("".join(c["source"]) for c in cells)], tmp_path)
