"""Training in several processes, as ``torchrun`` starts them: one of them, or the only one.

Every process holds the whole (small) model and draws its own batches; gradients are averaged after
each backward pass, in one message. That is what ``DistributedDataParallel`` does, written out: it
hides the model behind a wrapper with one ``forward``, and a judge that sees three batches before
one step does not fit behind that.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True)
class Ranks:
    """This process among ``world``."""

    rank: int = 0
    world: int = 1

    @classmethod
    def join(cls, device: str) -> Ranks:
        """Meet the other processes that ``torchrun`` started, if it did."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls()
        # Optimisers import this module. Once the processes have met, its functions would take their
        # group as a default argument for good, and the threads of a group that outlives the
        # interpreter abort the process now and then.
        import torch.distributed.nn.functional  # noqa: F401

        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        return cls(dist.get_rank(), world)

    def leave(self) -> None:
        if self.world > 1:
            dist.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.rank == 0

    def average(self, parameters: Iterable[Tensor]) -> None:
        """Give the gradients their mean over all processes."""
        if self.world == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        at = 0
        for gradient in gradients:
            gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in order."""
        values: list[Any] = [value]
        if self.world > 1:
            values = [None] * self.world
            dist.all_gather_object(values, value)
        return values

    def agree(self, value: bool, device: str) -> bool:
        """What the first process says, so that all do the same."""
        if self.world == 1:
            return value
        told = torch.tensor([int(value)], device=device)
        dist.broadcast(told, 0)
        return bool(told.item())
