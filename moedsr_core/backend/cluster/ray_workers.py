"""Workers on a Ray cluster, wherever there is room for them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from moedsr_core.backend.cluster.cluster import ANSWER_S, Cluster
from moedsr_core.backend.cluster.places import Place
from moedsr_core.backend.local_workers import LocalWorker
from moedsr_core.backend.pool import FIRST_PAUSE_S, LONGEST_PAUSE_S, WorkerPool
from moedsr_core.backend.service import JobService
from moedsr_core.backend.workers import Worker, WorkerDied
from moedsr_core.errors import BackendError
from moedsr_core.wording import counted

log = logging.getLogger(__name__)

FRESH_S = 5.0
"""Age from which on news of a cluster mean nothing [s]; they come once a second."""


class RayWorkers(WorkerPool):
    """A pool with a worker at each place of a cluster, also while places come and go.

    Args:
        service: Where the jobs come from.
        cluster: Where there is room; closed with this.
    """

    def __init__(self, service: JobService, cluster: Cluster) -> None:
        super().__init__(service, self._make_worker, ())
        self._cluster, self._options = cluster, cluster.options
        self._places: dict[str, Place] = {}
        self._heard = 0.0
        self._away: str | None = None
        self._ending = threading.Event()
        self._note(cluster.news)
        room = counted(len(self._places), "worker")
        log.info("the Ray cluster %s has room for %s", self._options.address, room)
        self._thread = threading.Thread(target=self._follow, name="moedsr-census", daemon=True)

    def start(self) -> None:
        """Begin to compute."""
        self.have(self._names())
        self._thread.start()

    def status(self) -> list[dict[str, Any]]:
        """Name and state of each worker, and of the cluster where it is away."""
        rows, age = super().status(), time.monotonic() - self._heard
        if age > FRESH_S:
            name = f"Ray cluster {self._options.address}"
            error = self._away or f"it has not answered for {age:.0f} s"
            rows.append({"device": name, "state": "down", "error": error})
        return rows

    def tick(self) -> None:
        """Tell waiting jobs where there is no hope; while the cluster is away, there is."""
        if time.monotonic() - self._heard > FRESH_S:
            self.forgive()
        else:
            super().tick()

    def close(self, seconds: float) -> None:
        """End all workers; jobs that run are put back."""
        self._ending.set()
        self._service.stop_taking()
        self._cluster.close()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        super().close(seconds)

    def _follow(self) -> None:
        """Have workers where there is room, and join the cluster again where it was away."""
        pause = FIRST_PAUSE_S
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                self._listen()
            except BackendError as error:
                self._lose(str(error))
            long_lived = time.monotonic() - began > 2 * LONGEST_PAUSE_S
            pause = FIRST_PAUSE_S if long_lived else min(2 * pause, LONGEST_PAUSE_S)
            self._ending.wait(pause)

    def _listen(self) -> None:
        """Follow the news.

        Raises:
            WorkerDied: If there are no more.
        """
        census = self._cluster.census()
        try:
            while True:
                self._note(census.next(ANSWER_S))
                self.have(self._names())
        finally:
            self._cluster.close()

    def _note(self, news: Mapping[str, Any]) -> None:
        places = [Place(**place) for place in news["places"]][: self._options.most]
        self._places = {place.key: place for place in places}
        self._heard, self._away = time.monotonic(), None

    def _lose(self, reason: str) -> None:
        if self._away is None and not self._ending.is_set():
            log.warning("the Ray cluster %s is away: %s", self._options.address, reason)
        self._away = reason

    def _names(self) -> dict[str, str]:
        return {key: str(place) for key, place in self._places.items()}

    def _make_worker(self, key: str) -> Worker:
        place = self._places.get(key)
        if place is None:
            raise WorkerDied("its computer has left the Ray cluster")
        return LocalWorker(key, lambda key: self._options.bridge_command(place))
