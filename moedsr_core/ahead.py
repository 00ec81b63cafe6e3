"""Computing the next while the last is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

_GLANCE = 0.05
"""Time between two looks at whether to stop [s]."""

Item = TypeVar("Item")


def ahead(
    items: Iterator[Item], pause: Callable[[], None], abandon: Callable[[], object]
) -> Iterator[Item]:
    """The same items in the same order, each computed in a thread while the one before is used.

    Only the next one is computed ahead. What ``items`` raises is raised here.

    Args:
        items: Computed as they are asked for. Of PyTorch's threads here two are left to others:
            to whoever uses the items, and to what may compute ahead of them.
        pause: Called in this thread while it waits; may raise to stop.
        abandon: Called where the rest is not wanted, so that the item in progress, which is
            waited for, can be cut short.
    """
    threads, end = max(torch.get_num_threads() - 2, 1), object()
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        try:
            upcoming = pool.submit(next, items, end)
            while True:
                while wait([upcoming], _GLANCE).not_done:
                    pause()
                item = upcoming.result()
                if item is end:
                    return
                upcoming = pool.submit(next, items, end)
                yield item  # type: ignore[misc]
        except BaseException:
            abandon()
            raise
