"""The demo's window learns for real, and its labels are those of the command line."""

import numpy as np
import pytest
import tifffile

from napari_unet.cli import main
from napari_unet.jobs import ModelSaved
from napari_unet.sample import load_sample
from napari_unet.widgets.demo import prepare


@pytest.fixture
def demo(make_napari_viewer_proxy):
    dock = prepare(make_napari_viewer_proxy(), "tissue")
    yield dock
    dock.state.suspend()


def test_the_demo_learns_and_the_command_line_gives_its_pixels(demo, qtbot, tmp_path):
    state = demo.state
    qtbot.waitUntil(lambda: state.session.step >= 2, timeout=60_000)
    assert state.session.phase == "learning"
    assert state.session.shown
    state.stop()
    qtbot.waitUntil(lambda: state.session.phase == "paused", timeout=20_000)
    entry = state.book.current
    state.predict_all()
    qtbot.waitUntil(lambda: entry.is_complete, timeout=60_000)
    saved = []
    state.live.received.connect(
        lambda event: saved.append(event) if isinstance(event, ModelSaved) else None
    )
    model, out = tmp_path / "model.safetensors", tmp_path / "labels.tif"
    state.live.send("save", str(model))
    qtbot.waitUntil(lambda: saved != [], timeout=20_000)
    image = tmp_path / "image.tif"
    tifffile.imwrite(image, load_sample("tissue").image, photometric="rgb")
    call = ["predict", "--model", model, "--image", image, "--out", out]
    assert main([str(arg) for arg in call]) == 0
    np.testing.assert_array_equal(tifffile.imread(out), entry.prediction.data)
    assert set(np.unique(entry.prediction.data)) == {1, 2}
