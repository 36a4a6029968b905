"""Settings: frozen pydantic models, each field with meaning, unit, bounds and reason.

One model serves the form in the dock (title, tooltip, range), the command line's
``--config`` file and the JSON in a checkpoint's header.
"""

from napari_unet.config.cluster import ClusterConfig
from napari_unet.config.guidance import GuidanceConfig, UncertaintyMeasure
from napari_unet.config.instant import HoldOut, InstantConfig
from napari_unet.config.learner import (
    SCHEMA_VERSION,
    AnnotationMode,
    LearnerConfig,
    parse_config,
)
from napari_unet.config.model_card import ModelCard
from napari_unet.config.network import MAX_CHANNELS, UNetConfig
from napari_unet.config.prediction import InstanceConfig, TilingConfig
from napari_unet.config.training import AugmentationConfig, FineTuneConfig

__all__ = [
    "MAX_CHANNELS",
    "SCHEMA_VERSION",
    "AnnotationMode",
    "AugmentationConfig",
    "ClusterConfig",
    "FineTuneConfig",
    "GuidanceConfig",
    "HoldOut",
    "InstanceConfig",
    "InstantConfig",
    "LearnerConfig",
    "ModelCard",
    "TilingConfig",
    "UNetConfig",
    "UncertaintyMeasure",
    "parse_config",
]
