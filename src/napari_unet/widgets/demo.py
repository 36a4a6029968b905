"""The demo in a window: the sample with its strokes, both docks, and the loop running.

``napari-unet demo`` starts ``python -m napari_unet.widgets.demo`` on a screen.
"""

from __future__ import annotations

import argparse
from typing import Any

from qtpy.QtCore import QTimer

from napari_unet.widgets._open import open_dock
from napari_unet.widgets._samples import SAMPLE_TITLES, add_sample

__all__ = ["main", "prepare"]


def prepare(viewer: Any, sample: str = "nuclei") -> Any:
    """Add the sample and the docks, and let the loop learn as soon as it can.

    Returns
    -------
    SegmentationDock
    """
    add_sample(viewer, sample)
    dock = open_dock(viewer, "Interactive segmentation")
    open_dock(viewer, "Learning curves")
    state = dock.state

    def learn_once() -> None:
        # the strokes are copied a moment after the layers came
        if state.can_learn:
            state.changed.disconnect(learn_once)
            state.learn(True)

    state.changed.connect(learn_once)
    learn_once()
    return dock


def main() -> int:
    """Open napari and stay until its window is closed."""
    parser = argparse.ArgumentParser(prog="napari_unet.widgets.demo")
    parser.add_argument("--sample", choices=tuple(SAMPLE_TITLES), default="nuclei")
    args = parser.parse_args()
    import napari

    viewer = napari.Viewer(title="napari-unet demo")
    prepare(viewer, args.sample)
    # the docks take their room a moment later
    QTimer.singleShot(1000, viewer.reset_view)
    napari.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
