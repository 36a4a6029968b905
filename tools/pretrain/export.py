"""Writing the bundled file: averaged weights in half precision, and what they are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_unet.config import SCHEMA_VERSION
from napari_unet.core.checkpoint import save_tensors
from tools.pretrain.training import Trainer

__all__ = ["export"]


def export(trainer: Trainer, path: Path, described: dict[str, Any]) -> None:
    """Write network and prior; ``described`` joins the header."""
    tensors = {
        name: tensor.half().contiguous()
        for name, tensor in trainer.average.state_dict().items()
        if not name.startswith("head.")
    }
    prior = trainer.average_prior
    tensors["prior.log_scale"] = prior.log_scale.detach().half()
    header = {
        "schema_version": SCHEMA_VERSION,
        "kind": "bundled",
        "licence": "BSD-3-Clause",  # the package's
        "unet": trainer.unet.config.model_dump(mode="json"),
        "n_levels": trainer.settings.n_levels,
        "n_scales": trainer.settings.n_scales,
        "strength": [round(float(v), 5) for v in prior.strength],
        "temperature": [round(float(v), 5) for v in prior.temperature],
        "n_steps": trainer.n_steps,
        "hours": round(trainer.seconds / 3600, 2),
        "settings": asdict(trainer.settings),
        "started_from": trainer.started_from,
        **described,
    }
    save_tensors(path, tensors, header)
