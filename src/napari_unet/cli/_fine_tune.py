"""Fine-tuning with a progress bar, as `train` and the demo run it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_unet.cli._console import complain, progress_bar
from napari_unet.jobs import Notice, Scored, StepDone

if TYPE_CHECKING:
    from napari_unet.cli._save_state import Every
    from napari_unet.jobs import CancelToken
    from napari_unet.learning import Learner
    from napari_unet.session import Session

__all__ = ["fine_tune"]


def fine_tune(
    args: argparse.Namespace,
    learner: Learner,
    n_seconds: float | None,
    n_steps: int | None,
    token: CancelToken | None = None,
    session: Session | None = None,
    saving: Every | None = None,
) -> Session:
    """Fine-tune with a progress bar; return the session with the curves.

    ``saving`` is asked after each step whether it is time to.
    """
    from napari_unet.session import Session

    session = session or Session()
    first: int | None = None
    with progress_bar(args, n_steps if n_seconds is None else n_seconds, "s") as bar:
        for event in learner.fine_tune(seconds=n_seconds, steps=n_steps, token=token):
            session.apply(event)
            if isinstance(event, StepDone):
                first = event.step - 1 if first is None else first
                done = event.step - first if n_seconds is None else event.seconds
                bar.update(min(done, bar.total or done) - bar.n)
                bar.set_postfix_str(f"{event.steps_per_s:.1f} steps/s", refresh=False)
                if saving is not None:
                    saving.tick()
            elif isinstance(event, Scored) and session.score is not None:
                score = session.score.text or "no score yet"
                bar.set_description_str(f"{event.chosen}: {score} ")
            elif isinstance(event, Notice):
                bar.clear()
                complain(event.message)
    return session
