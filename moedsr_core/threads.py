"""Many points measured side by side on the processors there are."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float

from moedsr_core.errors import InputError

SEARCH_THREADS = "MOEDSR_SEARCH_THREADS"
"""Environment variable that limits the threads of a search."""
_BLOCK = 8192
"""Points measured at a time."""
_POINTS_PER_THREAD = 4096
"""A thread is worth starting for so many points."""


def search_threads(n: int) -> int:
    """Threads of a search for what is near each of ``n`` points.

    One for every processor, unless :data:`SEARCH_THREADS` says how many (many processes side by
    side set it to 1), and one alone for few points, which are found before a thread has started.

    Raises:
        InputError: If the variable holds no whole number.
    """
    asked = os.environ.get(SEARCH_THREADS, "-1")
    try:
        most = int(asked)
    except ValueError:
        raise InputError(
            f"{SEARCH_THREADS} must be a whole number, how many threads search at most, got "
            f"{asked!r}; unset it or set it to 1"
        ) from None
    most = most if most > 0 else os.cpu_count() or 1
    return max(1, min(most, n // _POINTS_PER_THREAD))


def in_threads(
    measure: Callable[[Float[np.ndarray, "m 3"]], Float[np.ndarray, " m"]],
    x: Float[np.ndarray, "n 3"],
) -> Float[np.ndarray, " n"]:
    """What ``measure`` says of each point, in blocks that stay in a processor's cache.

    Every point's value must be its own, whatever points come with it.
    """
    blocks = [x[i : i + _BLOCK] for i in range(0, len(x), _BLOCK)]
    threads = search_threads(len(x))
    if threads == 1:
        return np.concatenate([measure(block) for block in blocks] or [np.zeros(0)])
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(measure, blocks)))
