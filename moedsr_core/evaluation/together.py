"""Work on many frames side by side."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from typing import Any, TypeVar

from moedsr_core.choices import check_number
from moedsr_core.data.pools import local_pool
from moedsr_core.errors import BackendError

T = TypeVar("T")
FEW_FRAMES = 8
"""Below this many, starting processes takes longer than they save."""
_AHEAD = 4
"""Frames that wait while others are worked on, so that memory does not grow with their number."""


@contextmanager
def frame_pool(jobs: int, frames: int) -> Iterator[Executor | None]:
    """Processes for the frames of a trajectory; None where one process is as quick.

    Args:
        jobs: How many; 0 means one for each processor.
        frames: How many frames there are.

    Raises:
        InputError: If ``jobs`` is no such number.
    """
    check_number("jobs", jobs, 0, 1024, whole=True)
    wanted = min(jobs or os.cpu_count() or 1, frames)
    if wanted < 2 or frames < FEW_FRAMES:
        yield None
        return
    pool = local_pool(wanted)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def in_order(
    pool: Executor | None, function: Callable[..., T], tasks: Iterable[tuple[Any, ...]]
) -> Iterator[T]:
    """Results of a function for each tuple of arguments, in their order.

    Arguments are taken a few frames before their results are asked for.

    Args:
        pool: Where it runs; in this process without one.
        function: One that a process can find by its name.
        tasks: Arguments.

    Raises:
        BackendError: If a process of the pool was ended.
    """
    if pool is None:
        for arguments in tasks:
            yield function(*arguments)
        return
    waiting: deque[Future[T]] = deque()
    try:
        for arguments in tasks:
            waiting.append(pool.submit(function, *arguments))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenExecutor as error:
        raise BackendError(
            "a process that measures frames was ended, perhaps for want of memory; try fewer --jobs"
        ) from error
