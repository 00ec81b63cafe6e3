"""A worker as a child process of the server."""

from __future__ import annotations

import itertools
import logging
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from moedsr_core.backend.messages import Message, read_message, write_message
from moedsr_core.backend.pool import WorkerDied
from moedsr_core.errors import BackendError, InputError

log = logging.getLogger(__name__)

CHECK_S = 20.0
"""How long options may take to be checked [s]; a busy worker takes milliseconds."""
STOP_S = 30.0
"""How long a worker may go on with a job that was stopped, before it is ended [s]."""
END_S = 2.0
"""How long it may take to end by itself [s]."""
_AHEAD = 4
"""Records that may wait to be written; a worker that is faster waits itself."""

Command = Callable[[str], list[str]]
"""Makes the command line of a worker for a device."""


def worker_command(device: str) -> list[str]:
    """Command line of a worker with the science."""
    return [sys.executable, "-m", "moedsr_core.backend.worker", "--device", device]


class LocalWorker:
    """A worker process; see :class:`moedsr_core.backend.pool.Worker`.

    Args:
        device: Where it computes.
        command: How it is started.

    Raises:
        WorkerDied: If it cannot be started.
    """

    def __init__(self, device: str, command: Command = worker_command) -> None:
        try:
            self._process = subprocess.Popen(
                command(device),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise WorkerDied(f"a worker could not be started: {error}") from error
        self._last_words: deque[str] = deque(maxlen=20)
        self._say_lock = threading.Lock()
        self._numbers = itertools.count()
        self._checks: dict[int, queue.SimpleQueue[dict[str, Any] | None]] = {}
        self._ready: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._records: queue.Queue[Message | None] = queue.Queue(_AHEAD)
        self._stopped_at: float | None = None
        self._dead = threading.Event()
        self._closed = threading.Event()
        assert self._process.stdout and self._process.stderr
        self._threads = [
            threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._drain, args=(self._process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def describe(self) -> dict[str, Any]:
        """Wait until it is ready; what it says of itself."""
        fields = self._ready.get()
        if fields is None:
            raise self._death()
        if fields["type"] == "refused":
            raise InputError(fields["error"])
        return fields

    def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Resolve options."""
        number, answers = next(self._numbers), queue.SimpleQueue[dict[str, Any] | None]()
        self._checks[number] = answers
        try:
            self._say({"type": "check", "number": number, "options": dict(options)})
            answer = answers.get(timeout=CHECK_S)
        except queue.Empty as error:
            raise WorkerDied("a worker does not answer") from error
        finally:
            del self._checks[number]
        if answer is None:
            raise self._death()
        if "refused" in answer:
            raise InputError(answer["refused"])
        return answer["resolved"]

    def run(self, request: bytes, skip_frames: int) -> Iterator[Message]:
        """Compute a job."""
        self._stopped_at = None
        self._say({"type": "run", "skip": skip_frames}, request)
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
            self._say({"type": "stop"})

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return not self._dead.is_set()

    def close(self) -> None:
        """End it: its input first, which it heeds, then by force."""
        process = self._process
        self._closed.set()
        self._dead.set()
        with suppress(OSError, ValueError):
            if process.stdin:
                process.stdin.close()
        for step in (lambda: None, process.terminate, process.kill):
            step()
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
                break
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(END_S)

    def _say(self, fields: Mapping[str, Any], data: bytes = b"") -> None:
        assert self._process.stdin
        try:
            with self._say_lock:
                write_message(self._process.stdin, fields, data)
        except (OSError, ValueError) as error:
            raise self._death() from error

    def _next(self) -> Message:
        while True:
            with suppress(queue.Empty):
                message = self._records.get(timeout=1.0)
                if message is None:
                    raise self._death()
                return message
            if self._closed.is_set():
                raise self._death()
            if self._stopped_at and time.monotonic() - self._stopped_at > STOP_S:
                log.warning("a worker does not heed a request to stop and is ended")
                self._process.kill()
                self._stopped_at = None

    def _listen(self, pipe: BinaryIO) -> None:
        with pipe, suppress(BackendError, OSError, ValueError):
            while (message := read_message(pipe)) is not None:
                self._sort(message)
        self._dead.set()
        for answers in [self._ready, *self._checks.values()]:
            answers.put(None)
        self._offer(None)

    def _sort(self, message: Message) -> None:
        kind = message[0]["type"]
        if kind in ("ready", "refused"):
            self._ready.put(message[0])
        elif kind == "checked":
            answers = self._checks.get(message[0]["number"])
            if answers is not None:
                answers.put(message[0])
        else:
            self._offer(message)

    def _drain(self, pipe: BinaryIO) -> None:
        """Pass on its log, so that a full pipe never stops it."""
        with pipe, suppress(OSError, ValueError):
            for line in pipe:
                text = line.decode("utf-8", errors="replace").rstrip()
                self._last_words.append(text)
                log.info("%s", text)

    def _offer(self, message: Message | None) -> None:
        """Hand on a message as soon as there is room, unless nobody takes any more."""
        while not self._closed.is_set():
            with suppress(queue.Full):
                self._records.put(message, timeout=0.5)
                return

    def _death(self) -> WorkerDied:
        self._dead.set()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        said = next((text for text in reversed(self._last_words) if text), "")
        code = self._process.returncode
        return WorkerDied(f"it ended with code {code}{f': {said}' if said else ''}")
