"""The local backend: the core's server as a child process, gone when PyMOL is gone."""

from __future__ import annotations

import atexit
import json
import os
import queue
import secrets
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .errors import BackendError
from .needs import plugin_needs
from .remote import Address, BackendClient, Patience, Ways, checked_health
from .settings import load_settings

SERVER_MODULE = "moedsr_core.backend.server"
NEEDED = ("moedsr_core", "fastapi", "uvicorn")
INSTALL = (
    "type 'moedsr_install' to install it into an environment of its own, or name another Python "
    "with 'moedsr_backend python=/path/to/python'"
)
START_S = 600.0
"""How long the server may take to answer while its process lives [s]; on a busy computer, from a
cold disk, it has taken two minutes."""
LOOK_S = 0.5
"""Time between looks, so that Ctrl-C is heeded on Windows too [s]."""
CHECK_S = 120.0
END_S = 4.0
"""How long it may take to end by itself [s]; it allows itself two."""
LOG_LINES = 200
_WAYS = Ways(revive="'moedsr_backend stop' ends it and the next command starts another")


def own_interpreters() -> Iterator[str]:
    """Python programs of the running PyMOL; its own program may be a launcher instead."""
    folder = Path(sys.prefix)
    if sys.platform == "win32":
        places = [folder / "python.exe", folder / "Scripts" / "python.exe"]
    else:
        places = [folder / "bin" / "python3", folder / "bin" / "python"]
    if Path(sys.executable or "").name.lower().startswith("python"):
        places.insert(0, Path(sys.executable))
    seen: set[Path] = set()
    for place in places:
        if place.is_file() and place not in seen:
            seen.add(place)
            yield str(place)


def find_python() -> str:
    """Interpreter that holds moedsr_core: the setting, MOEDSR_PYTHON, or PyMOL's own.

    Raises:
        BackendError: If the one that was named does not hold it, or none does.
    """
    named = load_settings()["python"] or os.environ.get("MOEDSR_PYTHON", "")
    if named:
        return check_python(named)
    for candidate in own_interpreters():
        if not missing_from(candidate):
            return candidate
    raise BackendError(f"no Python that holds moedsr was found; {INSTALL}")


def check_python(name: str) -> str:
    """Full path of an interpreter that holds the core and what its server needs.

    Raises:
        BackendError: If it does not, or is no program.
    """
    path = str(Path(name).expanduser().absolute())
    if not Path(path).is_file():
        raise BackendError(
            f"there is no Python at '{name}'; name one with 'moedsr_backend python=/path/to/python'"
        )
    missing = missing_from(path)
    if missing:
        raise BackendError(f"'{name}' does not hold {missing}; {INSTALL}")
    return path


def missing_from(python: str) -> str:
    """Which of the packages that a server needs an interpreter lacks; empty if none."""
    program = (
        f"import importlib.util as u; print('found', *[n for n in {NEEDED} if not u.find_spec(n)])"
    )
    try:
        done = subprocess.run(
            [python, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=CHECK_S, **surroundings(python),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return NEEDED[0]
    found, *missing = done.stdout.split() or [""]
    return ", ".join(missing) if found == "found" else NEEDED[0]


def surroundings(python: str) -> dict[str, Any]:
    """How a child is started, so that nothing of ours or of the user's folder disturbs it.

    Python looks for modules in its working folder first, where a user may keep a ``queue.py``;
    our own PYTHONHOME would send another Python to our libraries; on Windows a child of a
    windowed program would open a console.
    """
    environment = dict(os.environ)
    if Path(python).resolve() != Path(sys.executable or "").resolve():
        for name in ("PYTHONHOME", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"):
            environment.pop(name, None)
    return {
        "env": environment,
        "cwd": Path(python).absolute().parent,
        "creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0),
    }


class LocalBackend:
    """The server as a child process: started when first needed, kept, restarted if dead.

    Attributes:
        name: By which jobs remember it.
        stopped: Whether it was ended on request, and not started since.
        log: Its last lines.

    Args:
        python: Interpreter to use; found by :func:`find_python` if None.
        module: Module that is run.
    """

    def __init__(self, python: str | None = None, module: str = SERVER_MODULE) -> None:
        self._python, self._module = python, module
        self._process: subprocess.Popen[bytes] | None = None
        self._client: BackendClient | None = None
        self._lock = threading.Lock()
        self.name = "local"
        self.stopped = False
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        atexit.register(self.stop)

    @property
    def running(self) -> bool:
        """Whether the child lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process id, if it lives."""
        return self._process.pid if self._process is not None and self.running else None

    def last_words(self) -> str:
        """The last line of its log."""
        return self.log[-1] if self.log else ""

    def client(self, patience: Patience | None = None) -> BackendClient:
        """A connection to the living server, which is started if there is none.

        Raises:
            BackendError: If it cannot be started, or does not fit this plugin.
        """
        with self._lock:
            if not self.running or self._client is None:
                self._end()
                self._start()
            assert self._client is not None
            return BackendClient(self._client.address, patience)

    def stop(self) -> None:
        """End the server, even one just starting; the next :meth:`client` starts another."""
        process, self.stopped = self._process, True
        if not self._lock.acquire(timeout=END_S):
            if process is not None:
                process.kill()  # whoever waits for its greeting then gives up the lock
            self._lock.acquire()
        try:
            self._end()
        finally:
            self._lock.release()

    def python(self) -> str:
        """Interpreter that it is started with.

        Raises:
            BackendError: If none holds what it needs.
        """
        return self._python or find_python()

    def _start(self) -> None:
        python = self.python()
        token = secrets.token_urlsafe(32)
        self.log.clear()
        self.stopped = False
        self._process = self._spawn(python)
        try:
            port = self._greet(self._process, token)
            client = BackendClient(Address(f"http://127.0.0.1:{port}", token, ways=_WAYS))
            checked_health(client, plugin_needs())
            self._client = client
        except BaseException:
            self._end()
            raise

    def _spawn(self, python: str) -> subprocess.Popen[bytes]:
        command = [python, "-m", self._module, "--parent-pipe", "--port", "0"]
        try:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                **surroundings(python),
            )  # fmt: skip
        except OSError as error:
            raise BackendError(f"the backend could not be started: {error}") from error

    def _greet(self, process: subprocess.Popen[bytes], token: str) -> int:
        """Hand over the token, which no command line may show, and read the port."""
        assert process.stdin and process.stdout and process.stderr
        answers: queue.Queue[bytes] = queue.Queue()
        drain = threading.Thread(target=_drain_log, args=(process.stderr, self.log), daemon=True)
        drain.start()
        threading.Thread(target=_drain_answers, args=(process.stdout, answers), daemon=True).start()
        try:
            process.stdin.write(token.encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(_first(answers))
            return int(answer["port"])
        except queue.Empty:
            problem = (
                f"it said nothing for {START_S:.0f} s; run the command again when the computer is "
                "less busy"
            )
        except (OSError, ValueError, KeyError, TypeError):
            drain.join(timeout=1.0)
            problem = self.last_words() or "it ended without a word"
        raise BackendError(f"the backend did not start: {problem}")

    def _end(self) -> None:
        """Close the child's input, which ends it; what does not end is ended."""
        process, self._process = self._process, None
        if self._client is not None:
            self._client.close()
            self._client = None
        if process is None:
            return
        _close(process.stdin)
        deadline = time.monotonic() + END_S
        for step in (lambda: None, process.terminate, process.kill):
            step()
            try:
                process.wait(max(deadline - time.monotonic(), 1.0))
                break
            except subprocess.TimeoutExpired:
                continue


def _first(answers: queue.Queue[bytes]) -> bytes:
    """The first answer; one that ends gives an empty one at once.

    Raises:
        queue.Empty: If none has come after :data:`START_S`.
    """
    deadline = time.monotonic() + START_S
    while True:
        try:
            return answers.get(timeout=LOOK_S)
        except queue.Empty:
            if time.monotonic() > deadline:
                raise


def _close(pipe: IO[bytes] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:
        pass  # the other end is gone already


def _drain_log(pipe: IO[bytes], log: deque[str]) -> None:
    """Keep the last lines of the log, so that a full pipe never stops the server."""
    with pipe:
        for line in pipe:
            text = line.decode("utf-8", errors="replace").rstrip()
            if text:
                log.append(text)


def _drain_answers(pipe: IO[bytes], answers: queue.Queue[bytes]) -> None:
    """Pass on the first line of standard output; an empty one says that there was none."""
    with pipe:
        answers.put(pipe.readline())
        for _ in pipe:
            pass


LOCAL = LocalBackend()
"""One server for all of PyMOL."""
