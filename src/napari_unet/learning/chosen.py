"""The network that a learner shows, apart from the learner: what can be handed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_unet.config import LearnerConfig
from napari_unet.core.head import RidgeHead
from napari_unet.jobs import Score, finish
from napari_unet.learning.candidates import Network, RidgeCandidate
from napari_unet.learning.learner import Learner

__all__ = ["ChosenNetwork", "chosen_network"]


@dataclass(frozen=True, eq=False)
class ChosenNetwork:
    """The network and head of the candidate that predicts.

    Attributes
    ----------
    name
        The candidate that this is: ``"instant"`` or ``"fine-tuned"``.
    shown
        The candidate that predicts; another one where a forest is part of it.
    network, head, values
        What it predicts with, and the classes of the head.
    config
        The learner's settings.
    class_names
        By value.
    axes
        Axes of the images, such as ``"YXC"``; None where they are not known.
    scores
        Held-out scores of all candidates.
    """

    name: str
    shown: str
    network: Network
    head: RidgeHead
    values: tuple[int, ...]
    config: LearnerConfig
    class_names: Mapping[int, str]
    axes: str | None
    scores: Mapping[str, Score]

    @property
    def score_text(self) -> str:
        """The held-out score, and what it rests on; '' where it is not known."""
        score = self.scores.get(self.name)
        return "" if score is None else score.text

    @property
    def remark(self) -> str:
        """Say what was left out; '' where the network alone predicts."""
        if self.name == self.shown:
            return ""
        whole = self.scores.get(self.shown)
        beside = "" if whole is None or not whole.text else f"; '{self.shown}': "
        beside = beside and f"{beside}{whole.text if whole else ''}"
        mine = f" (held-out {self.score_text}{beside})" if self.score_text else ""
        return (
            f"'{self.shown}' predicts here, but its forest cannot leave this program: "
            f"the network alone goes out, '{self.name}'{mine}."
        )


def chosen_network(learner: Learner) -> ChosenNetwork:
    """Return the network that predicts, or is part of what predicts.

    Where the forest predicts alone, the better network on the held-out strokes.

    Raises
    ------
    AnnotationError
        If the learner has no model: never were two classes painted.
    """
    state = learner._state
    if state.model is None or state.annotations.can_be_learned:
        finish(state.update())
    model = state.model
    assert model is not None
    scores = state.verdict.scores
    name = model.chosen.partition("+")[0]
    if name == "forest":
        tuned = model.tuned is not None and model.tuned.head is not None
        names = ("instant", "fine-tuned") if tuned else ("instant",)

        def loss(candidate: str) -> float:
            known = scores.get(candidate)
            return 1e9 if known is None or known.log_loss is None else known.log_loss

        name = min(names, key=loss)
    found = model.predictor(name)
    assert isinstance(found, RidgeCandidate)
    return ChosenNetwork(
        name=name,
        shown=model.chosen,
        network=found.network,
        head=found.head,
        values=found.values,
        config=learner.config,
        class_names=dict(learner.class_names),
        axes=learner._images.axes,
        scores=dict(scores),
    )
