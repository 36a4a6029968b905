"""*More > Export model …*: what the dock does around the export."""

from pathlib import Path

from napari_unet.jobs import ModelSaved
from napari_unet.widgets import _export_model
from napari_unet.widgets.segmentation import SegmentationDock


def test_a_saved_model_is_exported_on_a_worker(
    make_napari_viewer_proxy, qtbot, tmp_path, monkeypatch
):
    told = []

    def job(_token, model, out):
        yield from ()
        told.append((model, out))
        return f"Wrote {out}."

    monkeypatch.setattr(_export_model, "export_job", job)
    viewer = make_napari_viewer_proxy()
    dock = SegmentationDock(viewer)
    viewer.window.add_dock_widget(dock)
    sent = []
    monkeypatch.setattr(dock.state.live, "send", lambda *args: sent.append(args))
    dock.exporter.export(str(tmp_path / "model.tif"))
    assert "tells no format" in dock.state.session.message
    assert not sent
    out = tmp_path / "model.onnx"
    monkeypatch.setattr(
        "napari_unet.widgets._export_model.QFileDialog.getSaveFileName",
        lambda *_args: (str(tmp_path / "model"), "ONNX (*.onnx)"),
    )
    out.touch()
    dock.exporter.ask(dock)  # the suffix is ours: nobody was asked
    assert f"{out} is there already" in dock.state.session.message
    assert not sent
    out.unlink()
    dock.exporter.ask(dock)
    ((name, model),) = sent
    sent.clear()
    assert name == "save"
    dock.exporter.export(str(out))
    ((name, model),) = sent
    assert name == "save"
    assert Path(model).parent.is_dir()
    dock.state.live.received.emit(ModelSaved(str(tmp_path / "another")))
    assert not told
    with qtbot.waitSignal(dock.exporter._bridge.finished):
        dock.state.live.received.emit(ModelSaved(model))
        assert str(out) in dock.state.session.message
    assert told == [(model, str(out))]
    assert dock.state.session.message == f"Wrote {out}."
    assert not Path(model).parent.exists()
