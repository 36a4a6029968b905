"""*Export model …*: the network that predicts, as a file for other programs."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from pathlib import Path

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_unet.errors import NapariUnetError
from napari_unet.export.model_format import model_format_of
from napari_unet.jobs import CancelToken, JobEvent, ModelSaved
from napari_unet.widgets._bridge import Bridge
from napari_unet.widgets._state import ViewerState

__all__ = ["ModelExporter", "export_job"]

_FILTERS = (
    "BioImage.IO package (*.zip);;ONNX (*.onnx);;PyTorch (*.pt2);;"
    "Tensors (*.safetensors)"
)


def export_job(
    _token: CancelToken, model: str, out: str
) -> Generator[JobEvent, None, str]:
    """Write a model file's network for other programs; return a sentence about it."""
    yield from ()
    from napari_unet.export import export_model

    done = export_model(model, out)
    return f"Wrote {done.path}. {done.remark}".strip()


class ModelExporter(QObject):
    """Has the learner save its model aside, and a worker of its own export that.

    So painting and the overlay go on: torch takes half a minute for it.
    """

    def __init__(self, state: ViewerState) -> None:
        super().__init__(state)
        self._state = state
        self._out = ""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._bridge = Bridge(self)
        self._bridge.finished.connect(self._on_done)
        self._bridge.failed.connect(self._on_failed)
        state.live.received.connect(self._on_event)

    def ask(self, parent: QWidget) -> None:
        """Ask where to, then begin."""
        path, kind = QFileDialog.getSaveFileName(
            parent, "Export model", "model.zip", _FILTERS
        )
        if not path:
            return
        if not Path(path).suffix:
            path += kind.rpartition("*")[2].rstrip(")")
            if Path(path).exists():  # about which nobody was asked
                self._state.warn(f"{path} is there already: choose it to replace it.")
                return
        self.export(path)

    def export(self, path: str) -> None:
        """Export the model that predicts now."""
        if self._bridge.is_running:
            self._state.warn("A model is being exported: wait until it is written.")
            return
        try:
            _, target = model_format_of(path, None)
        except NapariUnetError as error:
            self._state.warn(str(error))
            return
        self._clear()  # of a model that could not be saved
        self._out = str(target)
        self._folder = tempfile.TemporaryDirectory(prefix="napari-unet-")
        self._state.live.send("save", self._model)

    def stop(self) -> None:
        """End the worker: the dock closes."""
        self._bridge.stop()
        self._clear()

    @property
    def _model(self) -> str:
        assert self._folder is not None
        return str(Path(self._folder.name) / "model.safetensors")

    def _on_event(self, event: JobEvent) -> None:
        if not isinstance(event, ModelSaved) or self._folder is None:
            return
        model, out = self._model, self._out
        if event.path == model:
            self._state.session.say(f"Exporting the model to {out} …")
            self._bridge.start(lambda token: export_job(token, model, out))

    def _on_done(self, text: str) -> None:
        self._clear()
        self._state.session.say(text)

    def _on_failed(self, error: BaseException) -> None:
        self._clear()
        self._state.warn(str(error))

    def _clear(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
