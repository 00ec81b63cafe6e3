"""Computing the next while the last is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Thread
from typing import TypeVar

import torch

_GLANCE = 0.05
"""Time between two looks at whether to stop [s]."""

Item = TypeVar("Item")


def ahead(
    items: Iterator[Item],
    pause: Callable[[], None],
    abandon: Callable[[], object],
    threads: int | None = None,
) -> Iterator[Item]:
    """The same items in the same order, each computed in a thread while the one before is used.

    Only the next one is computed ahead. What ``items`` raises is raised here.

    Args:
        items: Computed as they are asked for.
        pause: Called in this thread while it waits; may raise to stop.
        abandon: Called where the rest is not wanted, so that the item in progress, which is
            waited for, can be cut short; not where ``items`` itself fails.
        threads: How many of PyTorch's threads compute an item; as many as here by default.
    """
    end = object()
    with ThreadPoolExecutor(1) as pool:
        if threads is not None:
            _limit(pool, threads)
        upcoming = pool.submit(next, items, end)
        while True:
            try:
                while wait([upcoming], _GLANCE).not_done:
                    pause()
            except BaseException:
                abandon()
                raise
            item = upcoming.result()
            if item is end:
                return
            upcoming = pool.submit(next, items, end)
            try:
                yield item  # type: ignore[misc]
            except BaseException:
                abandon()
                raise


def _limit(pool: ThreadPoolExecutor, threads: int) -> None:
    """Let a pool's thread, and no other, compute with so many of PyTorch's threads.

    ``torch.set_num_threads`` also says how many each thread will have that has not asked yet. So
    the pool's thread asks first, and a thread of its own says again what that was.
    """
    before = torch.get_num_threads()
    pool.submit(torch.get_num_threads).result()
    pool.submit(torch.set_num_threads, threads).result()
    restoring = Thread(target=torch.set_num_threads, args=(before,))
    restoring.start()
    restoring.join()
