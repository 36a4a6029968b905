"""Processes that train one network together, one for each GPU, as torchrun starts them.

Each draws patches of its own, and the gradients are averaged over all before every
step (data parallelism, Li et al. 2020, arXiv:2006.15704): n processes do the work of a
batch n times as large. Without torchrun there is one process, and nothing is sent.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn

from napari_unet.errors import DeviceError

__all__ = ["Team", "current_team", "joined_team"]


@dataclass(frozen=True)
class Team:
    """All processes of a training; ``rank`` is the number of this one, from 0."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process decides, scores, speaks and writes for all."""
        return self.rank == 0

    def decide(self, value: bool) -> bool:
        """Return what the first process says; clocks differ, and all must agree."""
        return self._reduce(value and self.is_first, "MAX")

    def every(self, value: bool) -> bool:
        """Return whether it is true in every process."""
        return self._reduce(value, "MIN")

    def share(self, module: nn.Module) -> None:
        """Give all processes the first one's parameters."""
        if self.size > 1:
            with torch.no_grad():
                for parameter in module.parameters():
                    distributed.broadcast(parameter, src=0)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their means over all processes."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])  # one message
        distributed.all_reduce(flat)
        flat /= self.size
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def _reduce(self, value: bool, how: str) -> bool:
        if self.size == 1:
            return value
        on_gpu = distributed.get_backend() == "nccl"
        flag = torch.tensor(int(value), device="cuda" if on_gpu else "cpu")
        distributed.all_reduce(flag, getattr(distributed.ReduceOp, how))
        return bool(flag.item())


def current_team() -> Team:
    """Return the team that this process has joined, or that of this process alone."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return Team()
    return Team(distributed.get_rank(), distributed.get_world_size())


@contextmanager
def joined_team(device: str = "auto") -> Iterator[Team]:
    """Join the processes that torchrun started; alone where it did not.

    Parameters
    ----------
    device : {'auto', 'cpu', 'cuda', 'mps'}
        Where to train. With CUDA, each process of a machine takes a GPU of its own.

    Raises
    ------
    DeviceError
        If there are fewer GPUs than processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Team()
        return
    is_cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if is_cuda:
        place, n_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= n_gpus:
            raise DeviceError(
                f"process {place + 1} of this machine has no GPU, there "
                f"{'is' if n_gpus == 1 else 'are'} {n_gpus}: start torchrun with "
                f"--nproc-per-node {n_gpus}, or train with --device cpu"
            )
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if is_cuda else "gloo")
    try:
        yield current_team()
    finally:
        distributed.destroy_process_group()
