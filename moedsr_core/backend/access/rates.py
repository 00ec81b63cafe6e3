"""How often: token buckets, one for each client."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

_MOST_CLIENTS = 10_000
"""Clients remembered; who comes after that many others starts with a full bucket."""


class Buckets:
    """A bucket for each client: what it holds is spent at once, and refills steadily.

    Args:
        rate: Units that flow into a bucket [1/s].
        burst: Units that a bucket holds.
        clock: Seconds that never run backwards.
    """

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, float(burst), clock
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, client: Hashable) -> float:
        """Spend one unit of a client.

        Returns:
            0 where there was one, else the time until there is [s]; nothing is spent then.
        """
        now = self._clock()
        level, last = self._levels.get(client, (self._burst, now))
        level = min(level + (now - last) * self._rate, self._burst)
        granted = level >= 1.0
        self._levels[client] = (level - granted, now)
        self._levels.move_to_end(client)
        if len(self._levels) > _MOST_CLIENTS:
            self._levels.popitem(last=False)
        return 0.0 if granted else (1.0 - level) / self._rate
