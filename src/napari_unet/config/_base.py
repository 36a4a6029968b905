"""What all settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Settings"]


class Settings(BaseModel):
    """Unknown names are refused, and nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid")
