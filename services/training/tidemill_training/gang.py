"""The processes of one run: alone, or several under torchrun that sum their gradients."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


@dataclass(frozen=True, slots=True)
class Gang:
    """This process's place among `size` ones; every rank takes the same decisions."""

    rank: int
    size: int
    device: torch.device

    def share(self, rows: torch.Tensor) -> torch.Tensor:
        """Return this rank's rows of a batch; together the ranks have each row once."""
        return rows[self.rank :: self.size]

    def add(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum gradients over the ranks: the same step as one process would make."""
        if self.size == 1:
            return
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        distributed.all_reduce(flat)
        start = 0
        for parameter, gradient in zip(parameters, gradients, strict=True):
            end = start + gradient.numel()
            parameter.grad = flat[start:end].reshape(gradient.shape).clone()
            start = end

    def agree(self, value: float) -> float:
        """Return rank 0's value on every rank."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, src=0)
        return float(shared)


def device(local_rank: int = 0) -> torch.device:
    """Return a CUDA device when there is one, else the CPU: the code is the same."""
    if torch.cuda.is_available():
        return torch.device("cuda", local_rank % torch.cuda.device_count())
    return torch.device("cpu")


def backend(where: torch.device, processes: int) -> str:
    """Name what carries the sums: NCCL wants a GPU for each process, Gloo takes whatever there is.

    So a run that asks for more processes than its machine has GPUs shares them and goes on.
    """
    if where.type == "cuda" and processes <= torch.cuda.device_count():
        return "nccl"
    return "gloo"


def alone() -> Gang:
    """Return the gang of one."""
    return Gang(0, 1, device())


def joined() -> Gang:
    """Join the gang that torchrun has started this process for; alone when it has not."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return alone()
    where = device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(backend(where, int(os.environ["LOCAL_WORLD_SIZE"])))
    return Gang(distributed.get_rank(), distributed.get_world_size(), where)
