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
from typing import Any, Protocol, runtime_checkable

from moedsr_core.data.pools import attempt, begin_worker
from moedsr_core.errors import BackendError, InputError
from moedsr_core.simulation.options import LimitConfig
from moedsr_core.simulation.places import Place
from moedsr_core.simulation.protein import Protein
from moedsr_core.simulation.replicate import Replicate, run_replicate

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
    these: Sequence[Protein], limits: LimitConfig, places: Sequence[Place], watcher: Watcher
) -> Result:
    """Simulate all replicates of all proteins that are not whole yet.

    Args:
        these: What to make.
        limits: From where on a run is said to unfold.
        places: What each process computes on.
        watcher: Is told of everything that happens.

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
        run = _Run(pool, desk, limits, watcher, news)
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


class _Run:
    """One run of :func:`simulate`."""

    def __init__(
        self, pool: Executor, desk: Executor, limits: LimitConfig, watcher: Watcher, news: Any
    ) -> None:
        self._pool, self._desk = pool, desk
        self._limits, self._watcher, self._news = limits, watcher, news
        self._result = Result()
        self._tasks: dict[Future[Any], tuple[Protein, Callable[[Protein, Any], None]]] = {}
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
            self._submit(self._pool, protein, self._run_replicates, _begin_protein, protein)

    def _run_replicates(self, protein: Protein, missing: list[Replicate]) -> None:
        self._left[protein.name] = len(missing)
        for one in missing:
            self._watcher.planned(one.label, protein.config.frames)
            self._submit(self._pool, protein, self._count_down, _run_one, one)
        self._finish_if_whole(protein)

    def _count_down(self, protein: Protein, _: None) -> None:
        self._left[protein.name] -= 1
        self._finish_if_whole(protein)

    def _finish_if_whole(self, protein: Protein) -> None:
        """Not in the queue of the processes, where it would wait for all other replicates."""
        if not self._left[protein.name]:
            self._submit(self._desk, protein, self._finish, protein.finish, self._limits)

    def _finish(self, protein: Protein, record: dict, was_there: bool = False) -> None:
        self._result.records[protein.name] = record
        self._watcher.finished(protein.name, record, was_there)

    def _fail(self, protein: Protein, reason: str) -> None:
        """Give a protein up, with all of its replicates that have not begun."""
        for task, (other, _) in list(self._tasks.items()):
            if other is protein and task.cancel():
                del self._tasks[task]
        if protein.name not in self._result.failures:
            self._result.failures[protein.name] = reason
            self._watcher.failed(protein.name, reason)

    def _submit(
        self,
        where: Executor,
        protein: Protein,
        then: Callable[[Protein, Any], None],
        function: Callable[..., Any],
        *arguments: Any,
    ) -> None:
        task = where.submit(attempt, function, *arguments)
        self._tasks[task] = protein, then

    def _settle(self, task: Future[Any]) -> None:
        protein, then = self._tasks.pop(task)
        value, reason = task.result()
        if reason is not None:
            self._fail(protein, reason)
        elif protein.name not in self._result.failures:
            then(protein, value)

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


def _run_one(replicate: Replicate) -> None:
    assert _worker is not None
    news = _worker.news
    run_replicate(replicate, _worker.place, lambda *message: news.put(message), _worker.stop.is_set)
