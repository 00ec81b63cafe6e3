"""Many proteins, several processes side by side.

One process hands out work: make a structure complete, run a replicate. It looks at a protein's
replicates itself and puts the folder in place. Whatever fails leaves the others alone.
"""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, runtime_checkable

from moedsr_core.data.pools import attempt, begin_worker
from moedsr_core.errors import BackendError, InputError
from moedsr_core.simulation.options import LimitConfig
from moedsr_core.simulation.places import Place
from moedsr_core.simulation.protein import Protein
from moedsr_core.simulation.replicate import Replicate, run_together

_LOOK_S = 0.3
"""Seconds between two looks at what the processes report."""


@runtime_checkable
class Watcher(Protocol):
    """Who wants to know how it goes."""

    def planned(self, label: str, frames: int) -> None:
        """A replicate is to be run until it has that many frames."""

    def advanced(self, label: str, frames: int, pace: float) -> None:
        """A replicate has so many whole frames; the last one was made at a pace [ns/day]."""

    def finished(self, name: str, record: dict, was_there: bool) -> None:
        """A protein's folder is whole; ``record`` is its ``simulation.json``."""

    def failed(self, name: str, reason: str) -> None:
        """A protein was given up."""


@dataclass
class Result:
    """What became of all proteins."""

    records: dict[str, dict] = field(default_factory=dict)
    """What ``simulation.json`` says of those that are whole."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why the others are not."""


def simulate(
    these: Sequence[Protein],
    limits: LimitConfig,
    places: Sequence[Place],
    watcher: Watcher,
    together: int = 1,
) -> Result:
    """Simulate all replicates of all proteins that are not whole yet.

    Args:
        these: What to make.
        limits: From where on a run is said to unfold.
        places: What each process computes on.
        watcher: Is told of everything that happens.
        together: Replicates that a process moves at once, in one system.

    Raises:
        BackendError: If a process is ended from outside.
        KeyboardInterrupt: As it came, once the processes have stopped between two frames.
    """
    context = multiprocessing.get_context("spawn")
    free, news, stop = context.Queue(), context.Queue(), context.Event()
    for place in places:
        free.put(place)
    workers = ProcessPoolExecutor(
        len(places), mp_context=context, initializer=_begin, initargs=(free, news, stop)
    )
    with workers as pool, ThreadPoolExecutor(1) as desk:
        run = _Run(pool, desk, limits, watcher, news, (len(places), together))
        try:
            return run.all(these)
        except BrokenProcessPool as error:
            raise BackendError(
                "a process that simulates was ended, perhaps for want of memory; the same command "
                "goes on from here, with fewer --jobs if need be"
            ) from error
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


_Task = tuple[list[Protein], Callable[[Any, str | None], None]]
"""Whose it is, and who is told what came of it, or why nothing did."""


class _Run:
    """One run of :func:`simulate`."""

    def __init__(
        self,
        pool: Executor,
        desk: Executor,
        limits: LimitConfig,
        watcher: Watcher,
        news: Any,
        room: tuple[int, int],
    ) -> None:
        self._pool, self._desk = pool, desk
        self._limits, self._watcher, self._news = limits, watcher, news
        self._processes, self._together = room
        self._result = Result()
        self._tasks: dict[Future[Any], _Task] = {}
        self._beginning: set[str] = set()
        self._ready: list[tuple[Protein, Replicate]] = []
        self._left: dict[str, int] = {}

    def all(self, these: Sequence[Protein]) -> Result:
        """Everything, until nothing is left to do."""
        for protein in these:
            self._consider(protein)
        while self._tasks:
            done, _ = wait(self._tasks, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
            self._hear()
            for task in done:
                self._settle(task)
        return self._result

    def _consider(self, protein: Protein) -> None:
        try:
            finished = protein.is_finished
        except InputError as error:
            self._fail(protein, str(error))
            return
        if finished:
            self._finish(protein, protein.read_record(), was_there=True)
        else:
            self._beginning.add(protein.name)
            self._submit(
                self._pool, [protein], partial(self._begun, protein), _begin_protein, protein
            )

    def _begun(self, protein: Protein, missing: list[Replicate] | None, why: str | None) -> None:
        self._beginning.remove(protein.name)
        if missing is None:
            self._fail(protein, str(why))
        else:
            self._left[protein.name] = len(missing)
            for one in missing:
                self._watcher.planned(one.label, protein.config.frames)
                self._ready.append((protein, one))
            self._finish_if_whole(protein)
        if self._together == 1 or not self._beginning:
            self._deal()

    def _deal(self) -> None:
        """Hand out what is ready, the largest molecules first so that crowds weigh the same."""
        if self._together > 1:
            self._ready.sort(key=lambda one: -(one[1].folder / "start.pdb").stat().st_size)
        n = len(self._ready)
        crowds = max(-(-n // self._together), min(n, self._processes))
        for k in range(crowds):
            crowd = self._ready[k::crowds]
            owners = [protein for protein, _ in crowd]
            then = partial(self._ran, crowd)
            self._submit(self._pool, owners, then, _run_some, [one for _, one in crowd])
        self._ready = []

    def _ran(
        self,
        crowd: list[tuple[Protein, Replicate]],
        failures: dict[str, str] | None,
        why: str | None,
    ) -> None:
        for protein, one in crowd:
            said = why if failures is None else failures.get(one.label)
            if said is not None:
                self._fail(protein, said)
                continue
            self._left[protein.name] -= 1
            self._finish_if_whole(protein)

    def _finish_if_whole(self, protein: Protein) -> None:
        """Not in the queue of the processes, where it would wait for all other replicates."""
        if not self._left[protein.name] and protein.name not in self._result.failures:
            then = partial(self._put, protein)
            self._submit(self._desk, [protein], then, protein.finish, self._limits)

    def _put(self, protein: Protein, record: dict | None, why: str | None) -> None:
        if record is None:
            self._fail(protein, str(why))
        else:
            self._finish(protein, record)

    def _finish(self, protein: Protein, record: dict, was_there: bool = False) -> None:
        self._result.records[protein.name] = record
        self._watcher.finished(protein.name, record, was_there)

    def _fail(self, protein: Protein, reason: str) -> None:
        """Give a protein up, with all of its replicates that have not begun."""
        if protein.name in self._result.failures:
            return
        self._result.failures[protein.name] = reason
        for task, (owners, _) in list(self._tasks.items()):
            if all(one.name in self._result.failures for one in owners) and task.cancel():
                del self._tasks[task]
        self._watcher.failed(protein.name, reason)

    def _submit(
        self,
        where: Executor,
        owners: list[Protein],
        then: Callable[[Any, str | None], None],
        function: Callable[..., Any],
        *arguments: Any,
    ) -> None:
        self._tasks[where.submit(attempt, function, *arguments)] = owners, then

    def _settle(self, task: Future[Any]) -> None:
        _, then = self._tasks.pop(task)
        then(*task.result())

    def _hear(self) -> None:
        while True:
            try:
                self._watcher.advanced(*self._news.get_nowait())
            except queue.Empty:
                return


@dataclass(frozen=True)
class _Worker:
    """What a process was given."""

    place: Place
    news: Any
    stop: Any


_worker: _Worker | None = None


def _begin(free: Any, news: Any, stop: Any) -> None:
    global _worker
    begin_worker()
    _worker = _Worker(free.get(), news, stop)


def _begin_protein(protein: Protein) -> list[Replicate]:
    return protein.begin()


def _run_some(replicates: list[Replicate]) -> dict[str, str]:
    assert _worker is not None
    news = _worker.news
    return run_together(
        replicates, _worker.place, lambda *message: news.put(message), _worker.stop.is_set
    )
