"""A Ray cluster as the server sees it: which one, and the news of where there is room."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from moedsr_core.backend.child import Child
from moedsr_core.backend.cluster.actor import SCIENCE
from moedsr_core.backend.cluster.places import Place
from moedsr_core.backend.messages import Message
from moedsr_core.backend.workers import WorkerDied
from moedsr_core.errors import BackendError
from moedsr_core.wording import counted

ANSWER_S = 90.0
"""How long a cluster may take to answer a server that starts [s]; Ray itself gives up before."""
ROOM_S = 20.0
"""How long to wait for room: a server before this one may have ended just now [s]."""
_LOST = "Failed to connect to GCS"
"""What Ray writes before it ends a program whose cluster has gone."""
_DEVICES = {"GPU": "cuda", "CPU": "cpu"}


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
        self._child = Child(options.census_command(), self._news.put, logged=False)

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


class Cluster:
    """A cluster that has answered, and has room.

    Args:
        options: Which one.
        begin: Begins to tell where there is room.

    Raises:
        BackendError: If Ray is not installed, no cluster answers, or it has no room.
    """

    def __init__(
        self, options: ClusterOptions, begin: Callable[[ClusterOptions], Census] = Census
    ) -> None:
        self.options, self._begin = options, begin
        self._census: Census | None = begin(options)
        try:
            self.news = self._with_room(self._census)
        except BaseException:
            self.close()
            raise
        self.options = replace(options, device=_DEVICES[self.news["kind"]])

    def census(self) -> Census:
        """The news to come; from a process that joins again where the last was closed."""
        if self._census is None:
            self._census = self._begin(self.options)
        return self._census

    def close(self) -> None:
        """End the process that tells the news."""
        census, self._census = self._census, None
        if census is not None:
            census.close()

    def _with_room(self, census: Census) -> dict[str, Any]:
        """Wait for the cluster's answer, and for room.

        Raises:
            BackendError: If there is none.
        """
        ends = time.monotonic() + ROOM_S
        news = census.next(ANSWER_S)
        while not news["free"] and news["places"] and time.monotonic() < ends:
            news = census.next(ANSWER_S)
        if not news["free"]:
            raise BackendError(self._no_room(news["kind"], len(news["places"])))
        return news

    def _no_room(self, kind: str, places: int) -> str:
        cluster, cpus = f"the Ray cluster at {self.options.address!r}", self.options.cpus
        if places:
            return (
                f"{cluster} has room for {counted(places, 'worker')}, but other programs use it "
                "all; end one of them, or start Ray on another computer"
            )
        needed = f"{'a GPU and ' if kind == 'GPU' else ''}{counted(cpus, 'processor')}"
        return (
            f"{cluster} has no computer with {needed} for a worker; start Ray on one, or choose "
            "others with --devices and --ray-cpus"
        )
