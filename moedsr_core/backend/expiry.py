"""How long results are kept, and how much of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from moedsr_core.backend.jobstore import JobStore

DAY_S = 86_400.0
_LONGEST_PAUSE_S = DAY_S
"""Most that jobs age while no server runs [s]. More may be a clock that was set."""


@dataclass(frozen=True, kw_only=True)
class Keep:
    """What is kept of finished jobs."""

    days: float = 7.0
    """Age at which a result is removed [days], counted while a server runs; a time without one
    counts as a day at most."""
    gigabytes: float = 10.0
    """Size of all results above which the oldest are removed [GB]."""


class Expiry:
    """Lets finished jobs age, and says which are to go.

    Age is counted here by a clock that nobody can set: a computer whose date jumps loses nothing.

    Args:
        store: The jobs.
        keep: What is kept.
    """

    def __init__(self, store: JobStore, keep: Keep) -> None:
        self._store, self._keep = store, keep
        self._last = time.monotonic()

    def begin(self) -> None:
        """Count the time for which no server ran."""
        seen = self._store.last_seen()
        pause = 0.0 if seen is None else time.time() - seen
        self._add(min(max(pause, 0.0), _LONGEST_PAUSE_S))

    def advance(self) -> None:
        """Count the time since the last call."""
        now = time.monotonic()
        self._add(now - self._last)
        self._last = now

    def sweep(self, is_read: Callable[[str], bool], remove: Callable[[str], object]) -> int:
        """Remove what is too old, deleted, or too much, oldest first.

        Args:
            is_read: Whether somebody reads the job of an id, which then stays.
            remove: Removes the job of an id.

        Returns:
            Number of jobs removed.
        """
        removed = 0
        while (job_id := self._next(is_read)) is not None:
            remove(job_id)
            removed += 1
        return removed

    def _next(self, is_read: Callable[[str], bool]) -> str | None:
        too_much = self._store.total_bytes() > self._keep.gigabytes * 1e9
        for job_id, kept_s, owner in self._store.removable():
            due = too_much or not owner or kept_s > self._keep.days * DAY_S
            if due and not is_read(job_id):
                return job_id
        return None

    def _add(self, seconds: float) -> None:
        with self._store.together():
            self._store.add_age(seconds)
            self._store.note_seen(time.time())
