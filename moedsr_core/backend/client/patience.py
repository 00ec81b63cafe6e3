"""How long one waits for a server."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Limits of waiting.

    Attributes:
        connect_s: How long a connection may take [s].
        silence_s: Longest silence of an answer [s]; a stream promises a record every 2 s.
        retries: How often one request is sent again.
        first_wait_s: Wait after the first failure [s]; doubles with each.
        longest_wait_s: Longest wait between two tries [s].
        busy_s: How long a busy server's wishes to be left alone are followed, in sum [s].
        outage_s: How long a server may be away in mid-job [s]; a sleep of this computer does
            not count.
        barren: How many connections in a row may bring no new frame.
    """

    connect_s: float = 8.0
    silence_s: float = 30.0
    retries: int = 3
    first_wait_s: float = 0.5
    longest_wait_s: float = 15.0
    busy_s: float = 60.0
    outage_s: float = 900.0
    barren: int = 60

    def wait(self, failures: int) -> float:
        """Time until the next try [s]: exponential, and drawn so that clients part."""
        longest = min(self.first_wait_s * 2.0 ** min(failures - 1, 30), self.longest_wait_s)
        return longest * random.uniform(0.5, 1.0)
