"""``--config``: settings from a file, and options that win over it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._files import read_bytes

if TYPE_CHECKING:
    from napari_unet.config import LearnerConfig

__all__ = ["learner_settings"]


def learner_settings(path: Path | None, options: Mapping[str, Any]) -> LearnerConfig:
    """Return the settings in a JSON file (None: the usual ones), changed by options.

    ``options`` are by the settings' names; None is one that was not given.

    Raises
    ------
    FileError
        If the file cannot be read.
    ConfigError
        If it holds no such settings, or they do not go together with the options.
    """
    from napari_unet.config import LearnerConfig, parse_config

    settings: dict[str, Any] = {}
    if path is not None:
        text = read_bytes(path)
        parse_config(text)  # first, so that a message is about what the file says
        settings = json.loads(text)
    settings |= {name: value for name, value in options.items() if value is not None}
    config = parse_config(json.dumps(settings))
    assert isinstance(config, LearnerConfig)
    return config
