"""Keeps the settings of guidance for the next time."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from platformdirs import user_config_path
from pydantic import ValidationError

from napari_unet.config import GuidanceConfig
from napari_unet.errors import NapariUnetError
from napari_unet.export import replace_file

__all__ = ["guidance_file", "keep_guidance", "read_guidance"]


def guidance_file() -> Path:
    """Return where the settings are kept."""
    return user_config_path("napari-unet", appauthor=False) / "guidance.json"


def read_guidance() -> GuidanceConfig:
    """Return the settings as they were left; the defaults where there are none."""
    with suppress(OSError, ValueError, ValidationError):
        facts = json.loads(guidance_file().read_text(encoding="utf-8"))
        return GuidanceConfig.model_validate(facts)
    return GuidanceConfig()


def keep_guidance(config: GuidanceConfig) -> None:
    """Keep the settings; where that fails, they hold until the viewer closes."""
    path = guidance_file()
    with suppress(OSError, NapariUnetError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as temporary:
            temporary.write_text(config.model_dump_json(), encoding="utf-8")
