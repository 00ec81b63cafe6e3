"""A server's parts put together, whatever stands in front of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from moedsr_core.backend.data_folder import DataFolder
from moedsr_core.backend.local_workers import LocalWorker
from moedsr_core.backend.pool import WorkerPool
from moedsr_core.backend.service import JobService
from moedsr_core.backend.workers import Worker

log = logging.getLogger(__name__)

_WATCH_S = 5.0
"""Time between looks at workers that do not start [s]."""
_LOOKS_PER_TICK = 12
"""Looks between two rounds of ageing and removing."""


@runtime_checkable
class Executor(Protocol):
    """Where jobs are computed."""

    @property
    def refused(self) -> str | None:
        """Why that can never be, where it is so."""

    def start(self) -> None:
        """Begin."""

    def refuse_absent(self) -> None:
        """Wait until it is known of each device whether it is there; InputError if one is not."""

    def tick(self) -> None:
        """Do what is to be done from time to time."""

    def close(self, seconds: float) -> None:
        """End; jobs that run are put back."""


class Backend:
    """Jobs, and those that compute them.

    Args:
        folder: Where everything is kept.
        service: The jobs.
        executor: What computes them; sets ``service.workers``.
    """

    def __init__(self, folder: DataFolder, service: JobService, executor: Executor) -> None:
        self.folder, self.service, self.executor = folder, service, executor
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="moedsr-watch", daemon=True)

    @classmethod
    def local(
        cls,
        folder: DataFolder,
        service: JobService,
        devices: Sequence[str] = ("auto",),
        *,
        grow: bool = False,
        make: Callable[[str], Worker] = LocalWorker,
    ) -> Backend:
        """One that computes on this computer.

        Args:
            folder: Where everything is kept.
            service: The jobs.
            devices: A worker is started for each.
            grow: Whether to use all devices of the kind that the first worker found.
            make: Makes a worker for a device.
        """
        return cls(folder, service, WorkerPool(service, make, devices, grow=grow))

    def start(self) -> None:
        """Begin to compute."""
        self.executor.start()
        self._thread.start()

    def close(self, seconds: float = 2.0) -> None:
        """End the workers, keep what they have not finished for the next server, and let go."""
        self._ending.set()
        self.executor.close(seconds)
        self.service.close()

    def _watch(self) -> None:
        looks = 0
        while not self._ending.wait(_WATCH_S):
            looks += 1
            try:
                self.executor.tick()
                if looks % _LOOKS_PER_TICK == 0:
                    self.service.tick()
            except Exception:
                log.exception("looking after the jobs failed")
