"""Surfaces of many trajectories, frame by frame, in parallel, into one store each.

One process reads the plan, hands out frames and writes; others load trajectories and compute.
Every frame that is done is on the disk, so that a kill loses only the frames in hand, one a worker.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from moedsr_core.data.ensemble import load_ensemble
from moedsr_core.data.frame_surface import PosedEnsemble, SurfaceConfig, frame_surface, pose
from moedsr_core.data.plan import FrameConfig, Plan
from moedsr_core.data.pools import attempt
from moedsr_core.data.store import StoreInfo, StoreWriter, is_finished
from moedsr_core.data.trajectory_files import TrajectoryFiles, find_trajectories
from moedsr_core.errors import BackendError, InputError


@runtime_checkable
class Watcher(Protocol):
    """Who wants to know how it goes."""

    def planned(self, label: str, frames: int) -> None:
        """A trajectory was read, and that many frames of it are still to be measured."""

    def measured(self, label: str) -> None:
        """A frame is done."""

    def finished(self, path: Path, frames: int, seconds: float) -> None:
        """A store is whole; 0 seconds where it was there already."""

    def failed(self, label: str, reason: str) -> None:
        """A trajectory or a protein could not be prepared."""


@dataclass
class Result:
    """What became of a plan."""

    stores: list[Path] = field(default_factory=list)
    """Whole stores, made now or before."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why the others could not be made."""


def prepare(
    plan: Plan,
    pool: Executor,
    jobs: int,
    watcher: Watcher,
    fetch: Callable[[str, threading.Event], None] | None = None,
    release: Callable[[str], None] | None = None,
) -> Result:
    """Make all stores of a plan that are not there yet.

    Args:
        plan: What to make.
        pool: Where trajectories are read and frames are measured.
        jobs: How many tasks the pool runs at once.
        watcher: Is told of everything that happens.
        fetch: Brings a protein's folder into ``plan.data``, in a thread; ends early when the
            event is set. One protein at a time, while earlier ones are measured.
        release: Is called with a protein all of whose stores are whole.

    Raises:
        BackendError: If the processes of the pool die.
    """
    return asyncio.run(_Preparation(plan, pool, jobs, watcher, fetch, release).run())


class _Preparation:
    """One run of :func:`prepare`."""

    def __init__(
        self,
        plan: Plan,
        pool: Executor,
        jobs: int,
        watcher: Watcher,
        fetch: Callable[[str, threading.Event], None] | None,
        release: Callable[[str], None] | None,
    ) -> None:
        self._plan, self._pool, self._watcher = plan, pool, watcher
        self._fetch, self._release = fetch, release
        self._result = Result()
        self._stop = threading.Event()
        self._fetching = asyncio.Lock()
        self._proteins = asyncio.Semaphore(4 + jobs // 8)
        self._open = asyncio.Semaphore(2 + jobs // 8)
        self._frames = asyncio.Semaphore(2 * jobs)

    async def run(self) -> Result:
        """All proteins; those that fail leave the others alone."""
        try:
            await _all([self._protein(name) for name in self._plan.names])
        finally:
            self._stop.set()
        return self._result

    async def _protein(self, name: str) -> None:
        async with self._proteins:
            try:
                if self._fetch:
                    async with self._fetching:
                        await asyncio.to_thread(self._fetch, name, self._stop)
                files = find_trajectories(self._plan.data / name, self._plan.frames.replicates)
            except InputError as error:
                self._fail(name, error)
                return
            whole = await _all([self._store(one) for one in files])
            if all(whole) and self._release:
                self._release(name)

    async def _store(self, files: TrajectoryFiles) -> bool:
        try:
            recipe, path = self._plan.recipe(files), self._plan.store_of(files)
            if is_finished(path, recipe):
                self._finish(path, 0, 0.0)
            else:
                async with self._open:
                    await self._make(files, recipe, path)
        except InputError as error:
            self._fail(files.label, error)
            return False
        return True

    async def _make(self, files: TrajectoryFiles, recipe: dict, path: Path) -> None:
        start = time.monotonic()
        posed: PosedEnsemble = await self._run(
            load_posed,
            files,
            self._plan.spacing_ps.get(files.name),
            self._plan.frames,
            self._plan.surfaces,
        )
        info = StoreInfo(
            name=files.name,
            replicate=files.replicate,
            structure=posed.structure,
            scale=posed.scale,
            lags_ps=posed.lags_ps,
            recipe=recipe,
        )
        with StoreWriter(path, info, self._plan.surfaces.points) as writer:
            missing = writer.missing
            self._watcher.planned(files.label, len(missing))
            await _all([self._frame(writer, posed, k, files.label) for k in missing])
            await asyncio.to_thread(writer.finish)
        self._finish(path, len(posed.lags_ps), time.monotonic() - start)

    async def _frame(self, writer: StoreWriter, posed: PosedEnsemble, k: int, label: str) -> None:
        coords: Float[np.ndarray, "atoms 3"] = posed.coords[k]
        async with self._frames:
            points, normals = await self._run(
                frame_surface, posed.structure, coords, posed.scale, k, self._plan.surfaces
            )
            writer.append(k, points, normals, coords)
        self._watcher.measured(label)

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the pool; whatever it raises becomes one sentence."""
        try:
            done = self._pool.submit(attempt, function, *arguments)
            value, reason = await asyncio.wrap_future(done)
        except BrokenExecutor as error:
            raise BackendError(
                "a process that measures frames was ended, perhaps for want of memory; the same "
                "command goes on from here, with fewer --jobs if need be"
            ) from error
        except Exception as error:  # a cluster's own: a node lost, out of memory
            raise InputError(f"the cluster lost a task ({_first_line(error)})") from error
        if reason is not None:
            raise InputError(reason)
        return value

    def _finish(self, path: Path, frames: int, seconds: float) -> None:
        self._result.stores.append(path)
        self._watcher.finished(path, frames, seconds)

    def _fail(self, label: str, error: Exception) -> None:
        self._result.failures[label] = str(error)
        self._watcher.failed(label, str(error))


def load_posed(
    files: TrajectoryFiles, spacing_ps: float | None, frames: FrameConfig, config: SurfaceConfig
) -> PosedEnsemble:
    """Read a trajectory, thin it and bring it into the canonical pose of its first frame.

    Raises:
        InputError: If the files cannot be used, or a frame's surface leaves Ω.
    """
    ensemble = load_ensemble(
        files.topology,
        files.trajectory,
        name=files.label,
        spacing_ps=spacing_ps,
        stride=frames.stride or 1,
        max_frames=frames.most,
    )
    return pose(ensemble, config)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


async def _all(work: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Wait for everything; where one fails, stop the others before that is passed on."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
