"""Mode, settings and classes: kept with the project, and taken up from one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.widgets._classes import LabelClass

if TYPE_CHECKING:
    from napari_unet.project import Project
    from napari_unet.widgets._state import ViewerState

__all__ = ["ProjectSettings"]


class ProjectSettings:
    """Keeps the settings of a viewer's state with its project."""

    def __init__(self, state: ViewerState) -> None:
        self._state = state
        self._is_taking_up = False

    def describe(self) -> None:
        """Keep them with the project."""
        state = self._state
        if not self._is_taking_up:
            # the size has a message of its own on its way to the learner
            instant = state.config.instant
            n_scales = state.n_scales or instant.n_scales
            instant = instant.model_copy(update={"n_scales": n_scales})
            learner = state.config.model_copy(update={"instant": instant})
            state.project.describe(state.mode, learner)

    def take_up(self, project: Project, is_same_work: bool) -> None:
        """Go on as a project says that was opened."""
        if is_same_work:  # it was made of what is here
            self.describe()
            return
        record, state = project.record, self._state
        self._is_taking_up = True
        try:
            state.start_over()
            if record.classes:
                state.classes.replace(
                    LabelClass(entry.value, entry.name, entry.colour)
                    for entry in record.classes
                )
            usual = record.learner.instant.model_copy(update={"n_scales": None})
            state.set_config(record.learner.model_copy(update={"instant": usual}))
            state.set_scales(record.learner.instant.n_scales)
            state.set_mode(record.mode)
        finally:
            self._is_taking_up = False
        state.rounds.begin()
