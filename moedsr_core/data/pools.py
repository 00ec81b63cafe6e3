"""Processes that compute frames: on this machine, or on an existing Ray cluster.

Ray is imported only where it is asked for.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any

from moedsr_core.errors import InputError, MoedsrError
from moedsr_core.ray_cluster import join
from moedsr_core.threads import SEARCH_THREADS

_THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_RAY_ENVIRONMENT = {"env_vars": {SEARCH_THREADS: "1"}}


def local_pool(jobs: int) -> ProcessPoolExecutor:
    """Processes on this machine, of one thread each.

    Args:
        jobs: How many.

    Raises:
        InputError: If that is not a positive number.
    """
    if jobs < 1:
        raise InputError(f"jobs must be 1 or more, got {jobs}")
    for setting in _THREAD_SETTINGS:
        os.environ.setdefault(setting, "1")
    return ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=begin_worker,
    )


def begin_worker() -> None:
    """One thread; Ctrl-C is left to the process that asks, whose end, even by a kill, is ours."""
    os.environ[SEARCH_THREADS] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def attempt(function: Callable[..., Any], *arguments: Any) -> tuple[Any, str | None]:
    """What a function gives, or why it does not: pools wrap exceptions each in their own way."""
    try:
        return function(*arguments), None
    except MoedsrError as error:
        return None, str(error)
    except Exception as error:  # one odd protein must not end a run of days
        return None, f"{function.__name__} failed with {type(error).__name__}: {error}"


class RayPool(Executor):
    """An existing Ray cluster as an executor; one processor a task.

    The nodes must see the same folder of trajectories under the same path and have moedsr
    installed. Everything is written by the process that asks.

    Args:
        address: ``auto`` for the cluster this machine belongs to, ``HOST:PORT``, or ``ray://…``.

    Raises:
        BackendError: If Ray is not installed, or no cluster answers.
    """

    def __init__(self, address: str = "auto") -> None:
        self._ray, self._ours = join(address)
        self._remote: dict[Callable[..., Any], Any] = {}

    @property
    def jobs(self) -> int:
        """Processors of the cluster."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function somewhere on the cluster."""
        if fn not in self._remote:
            self._remote[fn] = self._ray.remote(num_cpus=1, runtime_env=_RAY_ENVIRONMENT)(fn)
        return self._remote[fn].remote(*args, **kwargs).future()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, which goes on; tasks of ours that still run are dropped."""
        if self._ours and self._ray.is_initialized():
            self._ray.shutdown()
