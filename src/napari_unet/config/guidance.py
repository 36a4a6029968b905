"""What guides a person: how uncertainty is measured, and what is noted of the work."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_unet.config._base import Settings

__all__ = ["GuidanceConfig", "UncertaintyMeasure"]

UncertaintyMeasure = Literal["entropy", "flips"]


class GuidanceConfig(Settings):
    """Where to paint next, and what is noted of how it went."""

    uncertainty: UncertaintyMeasure = Field(
        "entropy",
        title="Uncertainty",
        description="How unsure a prediction is, 0 to 1. 'entropy': how even the class "
        "probabilities are; it costs nothing beside the prediction, and is the "
        "default. 'flips': how much predictions of the mirrored image differ from it; "
        "three times the computing. Neither sees where the model is sure and wrong.",
    )
    log_interactions: bool = Field(
        False,
        title="Note when I paint",
        description="Write times of painting, learning, predicting and accepting into "
        "the project folder (interactions.jsonl), so that 'napari-unet project status' "
        "can tell minutes of painting for each image. Stays on this computer and is "
        "never sent. Off by default.",
    )
