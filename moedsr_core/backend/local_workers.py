"""A worker as a child process of the server."""

from __future__ import annotations

import itertools
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from moedsr_core.backend.child import Child
from moedsr_core.backend.messages import Message
from moedsr_core.backend.workers import WorkerDied
from moedsr_core.errors import InputError

log = logging.getLogger(__name__)

CHECK_S = 20.0
"""How long options may take to be checked [s]; a busy worker takes milliseconds."""
STOP_S = 30.0
"""How long a worker may go on with a job that was stopped, before it is ended [s]."""
_AHEAD = 4
"""Records that may wait to be written; a worker that is faster waits itself."""

Command = Callable[[str], list[str]]
"""Makes the command line of a worker for a device."""


def worker_command(device: str) -> list[str]:
    """Command line of a worker with the science."""
    return [sys.executable, "-m", "moedsr_core.backend.worker", "--device", device]


class LocalWorker:
    """A worker process; see :class:`moedsr_core.backend.workers.Worker`.

    Args:
        device: Where it computes.
        command: How it is started.

    Raises:
        WorkerDied: If it cannot be started.
    """

    def __init__(self, device: str, command: Command = worker_command) -> None:
        self._numbers = itertools.count()
        self._checks: dict[int, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self._ready: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._records: queue.Queue[Message | None] = queue.Queue(_AHEAD)
        self._stopped_at: float | None = None
        self._closed = threading.Event()
        self._child = Child(command(device), self._sort)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def describe(self) -> dict[str, Any]:
        """Wait until it is ready; what it says of itself."""
        fields = self._ready.get()
        if fields is None:
            raise self._child.death()
        if fields["type"] == "refused":
            raise InputError(fields["error"])
        return fields

    def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Resolve options."""
        number, answers = next(self._numbers), queue.SimpleQueue[dict[str, Any] | None]()
        self._checks[number] = answers
        try:
            self._child.say({"type": "check", "number": number, "options": dict(options)})
            answer = answers.get(timeout=CHECK_S)
        except queue.Empty as error:
            raise WorkerDied("a worker does not answer") from error
        finally:
            del self._checks[number]
        if answer is None:
            raise self._child.death()
        if "refused" in answer:
            raise InputError(answer["refused"])
        return answer["resolved"]

    def run(self, request: bytes, skip_frames: int) -> Iterator[Message]:
        """Compute a job."""
        self._stopped_at = None
        self._child.say({"type": "run", "skip": skip_frames}, request)
        return self._until_end()

    def _until_end(self) -> Iterator[Message]:
        while True:
            message = self._next()
            yield message
            if message[0]["type"] in ("done", "failed", "cancelled"):
                return

    def stop(self) -> None:
        """Have the job end soon."""
        self._stopped_at = time.monotonic()
        with suppress(WorkerDied):
            self._child.say({"type": "stop"})

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._child.is_alive()

    def close(self) -> None:
        """End it."""
        self._closed.set()
        self._child.close()

    def _next(self) -> Message:
        while True:
            with suppress(queue.Empty):
                message = self._records.get(timeout=1.0)
                if message is None:
                    raise self._child.death()
                return message
            if self._closed.is_set():
                raise self._child.death()
            if self._stopped_at and time.monotonic() - self._stopped_at > STOP_S:
                log.warning("a worker does not heed a request to stop and is ended")
                self._child.kill()
                self._stopped_at = None

    def _sort(self, message: Message | None) -> None:
        if message is None:
            for answers in [self._ready, *self._checks.values()]:
                answers.put(None)
            self._offer(None)
        elif message[0]["type"] in ("ready", "refused"):
            self._ready.put(message[0])
        elif message[0]["type"] == "checked":
            waiting = self._checks.get(message[0]["number"])
            if waiting is not None:
                waiting.put(message[0])
        else:
            self._offer(message)

    def _offer(self, message: Message | None) -> None:
        """Hand on a message as soon as there is room, unless nobody takes any more."""
        while not self._closed.is_set():
            with suppress(queue.Full):
                self._records.put(message, timeout=0.5)
                return
