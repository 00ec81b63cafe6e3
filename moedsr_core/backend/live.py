"""A job as long as somebody works on it or looks at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from moedsr_core.backend.jobstore import Job
from moedsr_core.backend.spool import Spool


class LiveJob:
    """A row of the table and what changes too often to be written there.

    Durations are measured by a clock that nobody sets, and told in the row when the job ends.
    """

    def __init__(self, job: Job, spool: Spool) -> None:
        self.job, self.spool = job, spool
        self.stage = job.state
        self.unsaved = False
        """Whether the table does not yet say how it ended, for want of space."""
        self.on_cancel: Callable[[], object] = lambda: None
        """Called when the job is cancelled while it runs."""
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], object]] = []
        self._since = time.monotonic()
        self._started: float | None = None
        self._first_frame: float | None = None
        self._last_frame = 0.0
        self._made = 0

    @property
    def waited(self) -> float:
        """Time that it waited for a worker in this server [s]; 0 before one begins with it."""
        return 0.0 if self._started is None else self._started - self._since

    @property
    def seconds(self) -> float:
        """Time since the computation began [s]; 0 while it waits."""
        if self.job.finished:
            return float(self.job.summary.get("seconds", 0.0))
        return 0.0 if self._started is None else time.monotonic() - self._started

    @property
    def seconds_left(self) -> float | None:
        """Time until the last frame at the pace of its worker's frames [s]; None before two."""
        if self.job.finished:
            return 0.0
        if self._started is None or self._made < 2 or self._first_frame is None:
            return None
        pace = (self._last_frame - self._first_frame) / (self._made - 1)
        ahead = pace * (self.job.frames - self.job.frames_done)
        return max(ahead - (time.monotonic() - self._last_frame), 0.0)

    def begin(self) -> None:
        """Note that a worker begins with it."""
        self.job.state, self.stage = "running", "starting"
        self.job.started = self.job.started or time.time()
        self._started, self._first_frame, self._made = time.monotonic(), None, 0

    def wait_again(self) -> None:
        """Note that it waits for another worker."""
        self.job.state = self.stage = "queued"
        self._since, self._started = time.monotonic(), None

    def note_record(self, is_frame: bool, size: int) -> None:
        """Note that the next record has been written."""
        job = self.job
        job.records += 1
        job.bytes += size
        if not is_frame:
            return
        job.frames_done += 1
        job.frames = max(job.frames, job.frames_done)
        job.attempts = job.restarts = 0
        self._last_frame = time.monotonic()
        self._first_frame = self._first_frame or self._last_frame
        self._made += 1
        job.summary.setdefault("seconds_to_first_frame", self.seconds)

    def end(self, state: str, error: str | None = None) -> None:
        """Note how it ended."""
        self.job.summary["seconds"] = self.seconds
        self.job.ended = time.time()
        self.job.error, self.stage, self.job.state = error, state, state

    def status(self, place: int | None = None) -> dict[str, Any]:
        """Entries of ``GET /v1/jobs/ID``.

        Args:
            place: How many jobs are before it in the queue.
        """
        job = self.job
        return {
            "id": job.id,
            "state": job.state,
            "kind": job.kind,
            "stage": self.stage,
            "frames_done": job.frames_done,
            "frames": job.frames,
            "created": job.created,
            "age_s": max(time.time() - job.created, 0.0),
            "seconds": self.seconds,
            "seconds_left": self.seconds_left,
            "error": job.error,
            "summary": dict(job.summary),
            "queue_position": place,
            "options": job.options,
            "bytes": job.bytes,
        }

    @contextmanager
    def listener(self, call: Callable[[], object]) -> Iterator[None]:
        """Have ``call`` called, in some thread, whenever something has changed."""
        with self._lock:
            self._listeners.append(call)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(call)

    @property
    def n_listeners(self) -> int:
        """How many are told."""
        return len(self._listeners)

    def notify(self) -> None:
        """Tell the listeners that something has changed."""
        with self._lock:
            listeners = list(self._listeners)
        for call in listeners:
            with suppress(RuntimeError):  # its event loop has ended meanwhile
                call()
