"""The join between the jobs and the science.

The science is imported when it is first needed, in the computing thread, so that the server
answers before torch is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import Any

from moedsr_core.backend.jobs import Event
from moedsr_core.backend.options import JobOptions
from moedsr_core.structure import Structure

MAX_THREADS = 16
"""More threads than this cost more than they bring for networks of this width."""


class CoreEngine:
    """Runs jobs with :mod:`moedsr_core.predict`; keeps models warm between jobs.

    Args:
        device: Where jobs are computed unless they choose another place.
    """

    def __init__(self, device: str = "auto") -> None:
        self._device = device

    def device(self) -> str:
        """Device that ``auto`` stands for."""
        from moedsr_core.predict import choose_device

        return str(choose_device(self._device))

    def models(self) -> list[dict[str, Any]]:
        """Entries of ``GET /v1/models``."""
        from moedsr_core.models.registry import available_models

        return available_models()

    def warm_up(self) -> None:
        """Import the science and settle the number of threads of the calling thread."""
        import torch

        torch.set_num_threads(_thread_count())

    def __call__(
        self,
        structure: Structure,
        options: JobOptions,
        on_progress: Callable[[str, int], None],
        should_stop: Callable[[], bool],
    ) -> Generator[Event, None, None]:
        """Compute one job; see :data:`moedsr_core.backend.jobs.Engine`."""
        raise NotImplementedError
        yield


def _thread_count() -> int:
    if os.environ.get("OMP_NUM_THREADS", "").isdecimal():
        return max(int(os.environ["OMP_NUM_THREADS"]), 1)
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return min(cores, MAX_THREADS)
