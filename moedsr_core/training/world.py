"""The processes that train together: who does what, and how their sums are made.

Started by ``torchrun``, every process holds the whole model, works on its share of each batch,
and the gradients are added up before each step. That is torch's DistributedDataParallel without
its wrapper, which expects one backward pass a step through the same parameters everywhere; here
every example has its own, and the experts it does not use get no gradient.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed
from torch.nn import Parameter

from moedsr_core.devices import choose_device
from moedsr_core.errors import InputError

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
"""What carries the sums, by kind of device."""


@dataclass(frozen=True)
class World:
    """One of the processes that train together; by default the only one.

    Attributes:
        rank: Its number.
        size: How many there are.
        device: Where its share of the work is done.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def writes(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def share(self, n: int) -> range:
        """Which of ``n`` pieces of work are this process's."""
        return range(self.rank, n, self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum of a tensor over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def wait(self) -> None:
        """Return once every process has come here."""
        if self.size > 1:
            distributed.barrier()

    def agree(self, number: int) -> None:
        """Make sure that all processes hold the same number.

        Raises:
            InputError: If they do not.
        """
        held = torch.zeros(self.size, dtype=torch.int64, device=self.device)
        held[self.rank] = number
        self.sum(held)
        if int(held.min()) != int(held.max()):
            raise InputError(
                f"the processes would go on from steps {held.tolist()}; put the run folder where "
                "every node sees the same files"
            )

    def sum_gradients(self, parameters: Iterable[Parameter]) -> None:
        """Add up gradients over all processes.

        A parameter that no process has a gradient for stays without, so that the optimiser
        leaves it alone as it would in a single process.
        """
        if self.size == 1:
            return
        learned = list(parameters)
        used = self.sum(
            torch.tensor([float(p.grad is not None) for p in learned], device=self.device)
        )
        touched = [p for p, n in zip(learned, used.tolist(), strict=True) if n > 0]
        if not touched:
            return
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in touched]
        )
        parts = self.sum(flat).split([p.numel() for p in touched])
        for parameter, part in zip(touched, parts, strict=True):
            parameter.grad = part.view_as(parameter)


@contextmanager
def join(device: str = "auto") -> Iterator[World]:
    """This process's place among those that ``torchrun`` started; alone without it.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; of several graphics processors of a
            node each process takes the one of its local rank.

    Raises:
        InputError: If the device is not here, or cannot work together with others.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = choose_device(device)
    if size == 1:
        yield World(device=chosen)
        return
    if chosen.type not in BACKENDS:
        raise InputError(
            f"several processes can train on {' or '.join(BACKENDS)}, not on {chosen.type}; "
            "use --device cpu or one process"
        )
    if chosen.type == "cuda" and chosen.index is None:
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(chosen)
    distributed.init_process_group(BACKENDS[chosen.type])
    try:
        yield World(distributed.get_rank(), distributed.get_world_size(), chosen)
    finally:
        distributed.destroy_process_group()
