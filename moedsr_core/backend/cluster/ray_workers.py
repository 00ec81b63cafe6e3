"""Workers on a Ray cluster, wherever there is room for them."""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from moedsr_core.backend.child import Child
from moedsr_core.backend.cluster.actor import SCIENCE
from moedsr_core.backend.cluster.places import Place
from moedsr_core.backend.local_workers import LocalWorker
from moedsr_core.backend.messages import Message
from moedsr_core.backend.pool import FIRST_PAUSE_S, LONGEST_PAUSE_S, WorkerPool
from moedsr_core.backend.service import JobService
from moedsr_core.backend.workers import Worker, WorkerDied
from moedsr_core.errors import BackendError
from moedsr_core.wording import counted

log = logging.getLogger(__name__)

ANSWER_S = 90.0
"""How long a cluster may take to answer a server that starts [s]; Ray itself gives up before."""
ROOM_S = 20.0
"""How long to wait for room: a server before this one may have ended just now [s]."""
_LOST = "Failed to connect to GCS"
"""What Ray writes before it ends a program whose cluster has gone."""
FRESH_S = 5.0
"""Age from which on news of a cluster mean nothing [s]; they come once a second."""


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Which cluster, and how much of it."""

    address: str
    """Its address: ``HOST:PORT``, or ``auto`` for this computer's."""
    device: str = "auto"
    """cpu, cuda, or auto: the GPUs of a cluster that has any when the server starts."""
    cpus: int = 1
    """Processors for each worker."""
    most: int | None = None
    """Workers at most; as many as there is room for by default."""
    core: str = SCIENCE
    """Module and name of what does the work."""

    def census_command(self) -> list[str]:
        """Command line of the process that tells where there is room."""
        return self._python("census", "--device", self.device)

    def bridge_command(self, place: Place) -> list[str]:
        """Command line of the process between the server and an actor."""
        gpu = ["--gpu"] if place.kind == "GPU" else []
        where = ["--node", place.node, "--host", place.host, *gpu]
        return self._python("bridge", *where, "--core", self.core)

    def _python(self, module: str, *more: str) -> list[str]:
        command = [sys.executable, "-m", f"moedsr_core.backend.cluster.{module}"]
        return [*command, "--address", self.address, "--cpus", str(self.cpus), *more]


class Census:
    """News of where there is room, from a process that has joined the cluster.

    Raises:
        WorkerDied: If it cannot be started.
    """

    def __init__(self, options: ClusterOptions) -> None:
        self._news: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._child = Child(options.census_command(), self._news.put)

    def next(self, seconds: float) -> dict[str, Any]:
        """Wait for the next news.

        Raises:
            WorkerDied: If the process has ended, or has none for so long.
        """
        try:
            message = self._news.get(timeout=seconds)
        except queue.Empty as error:
            raise WorkerDied("the Ray cluster does not answer") from error
        if message is None:
            death = self._child.death()
            if _LOST in str(death):
                raise WorkerDied("it has not answered for a minute")
            raise death
        return message[0]

    def close(self) -> None:
        """End the process."""
        self._child.close()


class RayWorkers(WorkerPool):
    """A pool with a worker at each place of a cluster, also while places come and go.

    Args:
        service: Where the jobs come from.
        options: The cluster.
        census: Begins to tell where there is room.

    Raises:
        BackendError: If Ray is not installed, no cluster answers, or it has no room.
    """

    def __init__(
        self,
        service: JobService,
        options: ClusterOptions,
        census: Callable[[ClusterOptions], Census] = Census,
    ) -> None:
        super().__init__(service, self._make_worker, ())
        self._options, self._begin_census = options, census
        self._places: dict[str, Place] = {}
        self._heard = 0.0
        self._away: str | None = None
        self._ending = threading.Event()
        self._census: Census | None = census(options)
        try:
            self._find_room(self._census)
        except BaseException:
            self._census.close()
            raise
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
        if (census := self._census) is not None:
            census.close()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        super().close(seconds)

    def _find_room(self, census: Census) -> None:
        """Wait for the cluster's answer, and for room.

        Raises:
            BackendError: If there is none.
        """
        ends = time.monotonic() + ROOM_S
        news = census.next(ANSWER_S)
        while not news["free"] and news["places"] and time.monotonic() < ends:
            news = census.next(ANSWER_S)
        self._options = replace(self._options, device=_DEVICES[news["kind"]])
        self._note(news)
        if not news["free"]:
            raise BackendError(self._no_room(news["kind"]))
        room = counted(len(self._places), "worker")
        log.info("the Ray cluster %s has room for %s", self._options.address, room)

    def _no_room(self, kind: str) -> str:
        cluster, cpus = f"the Ray cluster at {self._options.address!r}", self._options.cpus
        if self._places:
            return (
                f"{cluster} has room for {counted(len(self._places), 'worker')}, but other "
                "programs use it all; end one of them, or start Ray on another computer"
            )
        needed = f"{'a GPU and ' if kind == 'GPU' else ''}{counted(cpus, 'processor')}"
        return (
            f"{cluster} has no computer with {needed} for a worker; start Ray on one, or choose "
            "others with --devices and --ray-cpus"
        )

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
        if self._census is None:
            self._census = self._begin_census(self._options)
        try:
            while True:
                self._note(self._census.next(ANSWER_S))
                self.have(self._names())
        finally:
            self._census.close()
            self._census = None

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


_DEVICES = {"GPU": "cuda", "CPU": "cpu"}
