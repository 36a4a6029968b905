"""The dock says why everything is background, and stops saying so: real learner."""

import numpy as np
from conftest import paint_both

from napari_unet.inference.predictor import Frugal
from napari_unet.widgets._live import live_job
from napari_unet.widgets.segmentation import SegmentationDock


def test_advice_on_a_collapse_comes_and_goes(
    make_napari_viewer_proxy, blobs, qtbot, monkeypatch
):
    real = Frugal.predict

    def all_background(self, source, plane, tile, n_planes=1):
        probabilities = real(self, source, plane, tile)
        probabilities[0] = 2
        return probabilities

    monkeypatch.setattr(Frugal, "predict", all_background)
    viewer = make_napari_viewer_proxy()
    dock = SegmentationDock(viewer, make_job=live_job)
    viewer.window.add_dock_widget(dock)
    noise = np.random.default_rng(0).integers(0, 20, blobs.shape)
    viewer.add_image(blobs + noise.astype(np.uint8), name="blobs")
    layer = dock.state.book.new_annotation()
    paint_both(layer)
    said = "Almost everything is predicted as 'background'"
    qtbot.waitUntil(lambda: dock.tip.text.startswith(said), timeout=90_000)
    assert "strokes of 'object', also on small ones" in dock.tip.text
    dock.resize(320, 700)
    assert dock.minimumSizeHint().height() <= 700

    monkeypatch.setattr(Frugal, "predict", real)
    layer.paint((60, 95), 2)
    qtbot.waitUntil(lambda: said not in dock.tip.text, timeout=30_000)
    assert "second stroke of 'background'" in dock.tip.text
    prediction = dock.state.book.current.prediction
    qtbot.waitUntil(lambda: (prediction.data == 2).any(), timeout=30_000)
    assert said not in dock.tip.text
    dock.state.suspend()
