"""Requests that end because their token does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from moedsr_core.backend.access.tokens import Holder, Keys

log = logging.getLogger(__name__)

WATCH_S = 0.25
"""How often the tokens of running requests are looked up [s]."""


class RunningRequest:
    """One request, and whether it was ended from outside."""

    def __init__(self, holder: Holder, task: asyncio.Task[object]) -> None:
        self.holder, self._task = holder, task
        self.revoked = False

    def end(self) -> None:
        """Cancel the request, once."""
        if not self.revoked:
            self.revoked = True
            self._task.cancel()

    def absorb(self) -> None:
        """Undo the cancelling, so that the task may still answer."""
        if hasattr(self._task, "uncancel"):  # from Python 3.11 on
            self._task.uncancel()


class RunningRequests:
    """Watches the tokens of running requests, and ends those whose token is no longer valid.

    Args:
        keys: What knows the valid tokens.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._running: set[RunningRequest] = set()
        self._watcher: asyncio.Task[None] | None = None

    @contextmanager
    def watched(self, holder: Holder) -> Iterator[RunningRequest]:
        """Watch the calling task for as long as this lasts."""
        task = asyncio.current_task()
        assert task is not None
        request = RunningRequest(holder, task)
        self._running.add(request)
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())
        try:
            yield request
        finally:
            self._running.discard(request)

    async def _watch(self) -> None:
        while self._running:
            await asyncio.sleep(WATCH_S)
            try:
                live = self._keys.live({request.holder.id for request in self._running})
            except Exception:
                log.exception("the tokens of running requests could not be looked up")
                continue
            for request in list(self._running):
                if request.holder.id not in live:
                    request.end()
