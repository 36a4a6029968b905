"""What a trainer has come to between two steps, so that another one can go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from napari_unet.annotation.annotations import MAX_VALUE
from napari_unet.annotation.strokes import MAX_CLASSES
from napari_unet.config import UNetConfig
from napari_unet.core.head import RidgeHead

__all__ = [
    "Facts",
    "RandomFacts",
    "TrainerFacts",
    "TrainerState",
    "load_weights",
    "part_of",
    "set_generator",
]

_Count = Annotated[int, Field(ge=0, lt=2**53)]
_Word128 = Annotated[str, Field(pattern=r"^[0-9a-f]{1,32}$")]


class Facts(BaseModel):
    """A part of a training state's header."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class RandomFacts(Facts):
    """State of NumPy's generator PCG64; 128 bits are more than JSON readers take."""

    state: _Word128
    increment: _Word128
    has_half: bool
    half: Annotated[int, Field(ge=0, lt=2**32)]

    @classmethod
    def of(cls, rng: np.random.Generator) -> RandomFacts:
        """Return the state of a generator that `numpy.random.default_rng` made."""
        state: Mapping[str, Any] = rng.bit_generator.state
        assert state["bit_generator"] == "PCG64"
        return cls(
            state=f"{state['state']['state']:x}",
            increment=f"{state['state']['inc']:x}",
            has_half=bool(state["has_uint32"]),
            half=int(state["uinteger"]),
        )

    def put_into(self, rng: np.random.Generator) -> None:
        """Let a generator go on from here."""
        rng.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": int(self.state, 16), "inc": int(self.increment, 16)},
            "has_uint32": int(self.has_half),
            "uinteger": self.half,
        }


class TrainerFacts(Facts):
    """What a trainer knows beside its tensors.

    ``values`` are its classes, empty before it took an annotation; ``turn`` counts the
    patches drawn since it took this one.
    """

    values: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MAX_VALUE)], ...],
        Field(max_length=MAX_CLASSES),
    ]
    network: UNetConfig
    n_scales: Annotated[int, Field(ge=1, le=4)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    n_steps: _Count
    n_bad_steps: Annotated[int, Field(ge=0, le=1000)]
    # as they are after memory ran out
    batch_size: Annotated[int, Field(ge=1, le=256)]
    patch_px: Annotated[int, Field(ge=16, le=1024, multiple_of=16)]
    is_short_of_memory: bool
    turn: _Count
    rng: RandomFacts


@dataclass(frozen=True, eq=False)
class TrainerState:
    """A trainer's facts and tensors, and the heads that it took last.

    The tensors are those of ``unet.``, ``average.``, ``head.``, ``moments.`` and
    ``head_moments.``, and the state of the ``generator`` of the augmentation. They are
    the trainer's own: to be written, not kept.
    """

    facts: TrainerFacts
    tensors: dict[str, torch.Tensor]
    heads: tuple[RidgeHead, RidgeHead] | None = None


def part_of(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return what is named ``prefix.name``, by its ``name``."""
    start = f"{prefix}."
    return {n[len(start) :]: t for n, t in tensors.items() if n.startswith(start)}


def load_weights(unet: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Copy weights into a network, which stays where and how it lies in memory.

    Raises
    ------
    ValueError
        If a name or a shape is not the network's.
    """
    own = unet.state_dict()
    if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in state.items()}:
        raise ValueError("the weights in training are not of their network")
    unet.load_state_dict(state)


def set_generator(generator: torch.Generator, state: torch.Tensor | None) -> None:
    """Let a generator on the CPU go on from a state.

    Raises
    ------
    ValueError
        If it is none.
    """
    if state is None or state.dtype != torch.uint8 or state.ndim != 1:
        raise ValueError("the state of a random generator is missing")
    try:
        generator.set_state(state)
    except RuntimeError as error:  # of another size, or impossible
        raise ValueError("the state of a random generator is damaged") from error
