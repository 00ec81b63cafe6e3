"""The thread that starts a job, or takes one up again, and follows its stream.

It speaks HTTP and numpy only, and leaves PyMOL alone.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .backends import Backend
from .errors import BackendError, RefusedError, StoppedError, UserError
from .remote import BackendClient, Follower, Patience, Record
from .surface import Frame

PATIENCE = Patience()
RESTARTS = 3
"""How often a local backend that ends in mid-job is started again without a new frame."""
WAITING = "waiting for the server"
STARTING = "starting the backend"
SAY_S = 5.0
"""Time between words about a backend that is starting [s]."""

Begin = Callable[[BackendClient], str]
"""Starts a job, or looks for one, and gives its id."""


class Receiver:
    """Puts what becomes of one job into a queue, as pairs of a kind and a value.

    Kinds: ``job`` (its id), ``progress``, ``frame``, ``attributes``,
    ``end`` and ``failed``.

    Args:
        backend: Where it is computed; started if need be.
        begin: How the job is had.
    """

    def __init__(self, backend: Backend, begin: Begin) -> None:
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.job_id = ""
        self.backend, self._begin = backend, begin
        self._follower: Follower | None = None
        self._last: Frame | None = None
        self._deaths, self._last_words = 0, ""
        self._stop, self._left = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="moedsr-stream", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Cancel the job, without waiting for the backend to agree."""
        self._stop.set()
        if self._follower is not None:
            self._follower.stop()
        threading.Thread(target=self._cancel, name="moedsr-cancel", daemon=True).start()

    def leave(self) -> None:
        """Follow the job no longer; the backend goes on with one that has begun."""
        self._left = bool(self.job_id)
        if not self._left:
            self.stop()
            return
        self._stop.set()
        if self._follower is not None:
            self._follower.stop()

    def _cancel(self) -> None:
        if not self.job_id or self.backend.stopped or not self.backend.running:
            return  # not started yet: the thread sees the flag and comes back here
        try:
            client = self.backend.client(PATIENCE)
            try:
                client.cancel(self.job_id)
            finally:
                client.close()
        except UserError:
            pass  # a backend that is gone computes no more

    def _run(self) -> None:
        try:
            self._start_job()
            self._follow()
        except StoppedError:
            pass  # whoever stopped us knows
        except UserError as error:
            self.events.put(("failed", self._with_last_words(error)))
        except Exception as error:  # a thread's traceback would reach nobody
            text = f"what the backend sent could not be understood ({error}); restart it"
            self.events.put(("failed", BackendError(text)))

    def _start_job(self) -> None:
        client = self._started(STARTING)
        try:
            if self._stop.is_set():
                raise StoppedError("the prediction was cancelled")
            job = self._begin(client)
        finally:
            client.close()
        self.job_id = job
        self.events.put(("job", job))
        if self._stop.is_set() and not self._left:
            self._cancel()

    def _follow(self) -> None:
        follower = Follower(self._connect, self.job_id, self._report, PATIENCE)
        self._follower = follower
        if self._stop.is_set():
            return
        for record in follower.records():
            self._pass_on(record)

    def _connect(self) -> BackendClient:
        """A connection; a local backend that has ended is started again, where the job goes on."""
        if self.backend.stopped:
            raise BackendError(
                f"the backend was stopped; 'moedsr_fetch {self.job_id}' goes on with the job"
            )
        if not self.backend.running:
            self._deaths += 1
            self._last_words = self.backend.last_words()
            if self._deaths > RESTARTS:
                raise BackendError("the backend ended in mid-job again and again")
        return self._started(f"{STARTING} again")

    def _started(self, stage: str) -> BackendClient:
        """A connection to the backend, and words about the time that its start takes."""
        if self.backend.running:
            return self.backend.client(PATIENCE)
        with self._going_on(stage):
            return self.backend.client(PATIENCE)

    @contextmanager
    def _going_on(self, stage: str) -> Iterator[None]:
        done, begin = threading.Event(), time.monotonic()
        self.events.put(("progress", {"stage": stage}))

        def say() -> None:
            while not done.wait(SAY_S):
                text = f"{stage}, {time.monotonic() - begin:.0f} s"
                self.events.put(("progress", {"stage": text}))

        threading.Thread(target=say, name="moedsr-start", daemon=True).start()
        try:
            yield
        finally:
            done.set()

    def _report(self, reason: str, waited: float) -> None:
        self.events.put(("progress", {"stage": WAITING, "reason": reason}))

    def _with_last_words(self, error: UserError) -> UserError:
        """The error; after the backend's end its last words too."""
        if not self._deaths:
            return error
        words = f" ({self._last_words})" if self._last_words else ""
        if isinstance(error, RefusedError) and error.status == 404:
            return BackendError(
                f"the backend ended in mid-job{words} and the job with it; run the command again"
            )
        return BackendError(f"{error}; it had ended in mid-job{words}")

    def _pass_on(self, record: Record) -> None:
        if record.kind == "frame":
            self._deaths = 0
            self._last = Frame.read(record.arrays, self._last, record=record.data)
            self.events.put(("frame", self._last))
        elif record.kind == "attributes":
            self.events.put(("attributes", record.arrays))
        elif record.kind in ("progress", "end"):
            self.events.put((record.kind, record.fields))
