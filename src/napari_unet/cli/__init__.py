"""The command line: ``napari-unet train | predict | evaluate | ...``."""

from napari_unet.cli._main import main

__all__ = ["main"]
