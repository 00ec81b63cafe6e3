"""One piece of work of the core as a child process, and a task that waits for it.

The child is given a private folder with ``request.json`` and npz files. It writes what it makes
there, and says how far it is in JSON lines on its standard output. It ends when its standard
input closes, which happens however PyMOL ends.
"""

from __future__ import annotations

import json
import queue
import subprocess
import tempfile
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BackendError, StoppedError, UserError
from .local_backend import find_python, surroundings
from .steps import Report, Work

END_S = 4.0
"""How long a child may take to end when asked [s]."""
_PACKAGE = "moedsr_core"


class ChildProcess(ABC):
    """A task that runs a program, and says how far it is.

    Whatever takes time happens in a thread, which leaves PyMOL alone.

    Attributes:
        over: Whether nothing is left to do.
        error: What went wrong.
        result: What ``collect`` returned.
        progress: What the child last said: ``stage``, ``done``, ``total``, ``seconds_left``.

    Args:
        who: What the program is called where it fails.
        collect: Takes what the child has made out of its folder, once it has ended well; runs in
            the thread.
    """

    def __init__(self, who: str, collect: Callable[[Path], Any]) -> None:
        self.over, self.result = False, None
        self.error: UserError | None = None
        self.progress: dict[str, Any] = {}
        self._who, self._collect = who, collect
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: deque[str] = deque(maxlen=20)
        self._thread = threading.Thread(target=self._run, name=f"moedsr-{who}", daemon=True)
        self._thread.start()

    @abstractmethod
    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        """Start the program, with pipes for all it reads and writes; runs in the thread.

        Args:
            folder: A private folder, removed in the end.
        """

    @abstractmethod
    def heard(self, line: bytes) -> dict[str, Any]:
        """Understand a line of its standard output: progress, or ``error``; empty if neither."""

    def step(self, patience: float) -> None:
        """Take one event; wait for it at most ``patience`` seconds."""
        try:
            kind, value = self._events.get(timeout=patience or None, block=patience > 0)
        except queue.Empty:
            return
        if self.over:
            return
        if kind == "progress":
            self.progress = value
            return
        self.over = True
        if kind == "done":
            self.result = value
        else:
            self.error = value

    def cancel(self) -> None:
        """Stop at once; the folder is removed as soon as the child has ended."""
        if not self.over:
            self.over, self.error = True, StoppedError("the work was cancelled")
        self._stop.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def through(self, report: Report) -> Work:
        """Do all of it as part of a longer piece of work.

        Returns:
            Its result.

        Raises:
            UserError: If it fails.
        """
        try:
            while not self.over:
                self.step((yield))
                if self.progress:
                    report.update(
                        str(self.progress.get("stage")),
                        int(self.progress.get("done") or 0),
                        int(self.progress.get("total") or 0),
                        self.progress.get("seconds_left"),
                    )
        finally:
            self.cancel()
        if self.error is not None:
            raise self.error
        return self.result

    def wait_for_end(self, seconds: float) -> bool:
        """Whether child, folder and thread are gone in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="moedsr-") as name:
                result = self._work(Path(name))
            self._events.put(("done", result))
        except UserError as error:
            self._events.put(("failed", error))
        except OSError as error:
            text = f"{self._who} could not be given its work: {error.strerror or error}"
            self._events.put(("failed", BackendError(text)))
        except Exception as error:  # a thread's traceback would reach nobody
            text = f"what {self._who} made could not be understood ({error})"
            self._events.put(("failed", BackendError(text)))

    def _work(self, folder: Path) -> Any:
        self._process = process = self.start(folder)
        try:
            failure = self._listen(process)
        finally:
            _end(process)
        self._refuse_stopped()
        if process.returncode or failure:
            last = self._log[-1] if self._log else f"it ended with {process.returncode}"
            raise BackendError(failure or f"{self._who} failed: {last}")
        return self._collect(folder)

    def _refuse_stopped(self) -> None:
        if self._stop.is_set():
            raise StoppedError("the work was cancelled")

    def _listen(self, process: subprocess.Popen[bytes]) -> str:
        """Pass on what the child says until it ends; its own sentence about a failure."""
        assert process.stdout and process.stderr
        drain = threading.Thread(target=self._drain, args=(process.stderr,), daemon=True)
        drain.start()
        failure = ""
        for line in process.stdout:
            if self._stop.is_set():
                break
            said = self.heard(line)
            failure = str(said.get("error") or failure)
            if "stage" in said:
                self._events.put(("progress", said))
        if not self._stop.is_set():
            process.wait()
            drain.join(END_S)
        return failure

    def _drain(self, pipe: Any) -> None:
        for line in pipe:
            text = line.decode("utf-8", errors="replace").rstrip()
            if text:
                self._log.append(text)


class CoreProcess(ChildProcess):
    """Runs ``python -m moedsr_core.MODULE FOLDER`` in the core's interpreter.

    Args:
        module: Which module of the core.
        request: What is wanted, for JSON.
        arrays: Larger input, by the name of its npz file.
        collect: As of any child.
    """

    def __init__(
        self,
        module: str,
        request: dict[str, Any],
        arrays: dict[str, dict[str, np.ndarray]] | None = None,
        collect: Callable[[Path], Any] = lambda folder: None,
    ) -> None:
        self._module, self._request, self._arrays = module, request, arrays or {}
        super().__init__("the core", collect)

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        """Find the interpreter, write the input and start it."""
        python = find_python()
        (folder / "request.json").write_text(json.dumps(self._request), encoding="utf-8")
        for name, arrays in self._arrays.items():
            np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
        self._refuse_stopped()
        return subprocess.Popen(
            [python, "-m", f"{_PACKAGE}.{self._module}", str(folder)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **surroundings(python),
        )  # fmt: skip

    def heard(self, line: bytes) -> dict[str, Any]:
        """A line of JSON; anything else is a library's word that is none of ours."""
        try:
            said = json.loads(line)
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a child that has not ended, and close its pipes."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                pass  # the other end is gone already
