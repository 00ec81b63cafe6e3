"""A process of the server's that speaks in messages and ends with its standard input."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

from moedsr_core.backend.messages import Message, read_message, write_message
from moedsr_core.backend.workers import WorkerDied
from moedsr_core.errors import BackendError

log = logging.getLogger(__name__)

END_S = 2.0
"""How long it may take to end by itself [s]."""
_LAST_WORDS_S = 0.5


class Child:
    """A child process. Safe to use from any thread.

    Args:
        command: Its command line.
        on_message: Called with each message of its, and with None once it has ended, in a thread
            that does nothing else; it waits to be heard while that call lasts.
        logged: Whether what it writes on standard error goes into the log; its last words are
            kept in any case.

    Raises:
        WorkerDied: If it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        on_message: Callable[[Message | None], object],
        *,
        logged: bool = True,
    ) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise WorkerDied(f"a worker could not be started: {error}") from error
        self._on_message, self._logged = on_message, logged
        self._last_words: deque[str] = deque(maxlen=20)
        self._say_lock = threading.Lock()
        self._dead = threading.Event()
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

    def say(self, fields: Mapping[str, Any], data: bytes = b"") -> None:
        """Tell it something.

        Raises:
            WorkerDied: If it has ended.
        """
        assert self._process.stdin
        try:
            with self._say_lock:
                write_message(self._process.stdin, fields, data)
        except (OSError, ValueError) as error:
            raise self.death() from error

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return not self._dead.is_set()

    def death(self) -> WorkerDied:
        """How it ended, for which it waits; in its own words, if it had any."""
        self._dead.set()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        self._threads[1].join(_LAST_WORDS_S)
        said = next((text for text in reversed(self._last_words) if text), "")
        code = self._process.returncode
        if said and code == BackendError.exit_code:
            return WorkerDied(said)
        return WorkerDied(f"it ended with code {code}{f': {said}' if said else ''}")

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """End it: its input first, which it heeds, then by force."""
        process = self._process
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

    def _listen(self, pipe: BinaryIO) -> None:
        with pipe, suppress(BackendError, OSError, ValueError):
            while (message := read_message(pipe)) is not None:
                self._on_message(message)
        self._dead.set()
        self._on_message(None)

    def _drain(self, pipe: BinaryIO) -> None:
        """Pass on its log, so that a full pipe never stops it."""
        with pipe, suppress(OSError, ValueError):
            for line in pipe:
                text = line.decode("utf-8", errors="replace").rstrip()
                self._last_words.append(text)
                if self._logged:
                    log.info("%s", text)
