"""The installation itself: a few programs, one after another, whose words are passed on."""

from __future__ import annotations

import atexit
import os
import queue
import shutil
import subprocess
import sys
import threading
import zipfile
from collections import deque
from pathlib import Path
from typing import IO

from ..errors import UserError
from ..local_backend import surroundings
from .places import (
    environments_folder,
    new_environment,
    python_in,
    remove,
    remove_left_overs,
    size_mb,
    use,
)
from .plan import Plan

PYTHONS = ">=3.10,<3.14"
"""Versions of Python that moedsr and what it needs run on."""
TRIAL = "import moedsr_core.predict, moedsr_core.backend.server"
LOOK_S = 1.0
"""Time between looks at how much has come [s]."""
LEAVE_S = 5.0
"""How long PyMOL's end may be held up by removing what is there so far [s]."""
LOG_LINES = 500
_SHARED = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_CERT": "SSL_CERT_FILE",
}
"""What a lab tells pip of its mirrors, and what uv calls it."""


class _Cancelled(Exception):
    """Somebody has asked to stop."""


class Installation:
    """Makes a private environment; a :class:`window.Task`.

    It ends with an environment that was tried and is used from then on, or leaves nothing.

    Attributes:
        stage: What is being done.
        done_mb: How much has been installed so far [MB].
        total_mb: About how much there will be [MB].
        log: The last lines of what the programs said.
        state: ``running``, ``done``, ``cancelled`` or ``failed``.
        error: What went wrong.

    Args:
        plan: What to install.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.stage, self.state = "looking at this computer", "running"
        self.done_mb, self.total_mb = 0.0, float(plan.size_mb)
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.error: UserError | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._begun = False

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self._begun and not self._thread.is_alive() and self._lines.empty()

    def step(self, patience: float) -> None:
        """Begin, or take the next line of the log.

        Args:
            patience: How long to wait for one [s].
        """
        if not self._begun:
            self._begun = True
            atexit.register(self._leave)
            self._thread.start()
        try:
            self.said(self._lines.get(timeout=patience or None, block=patience > 0))
        except queue.Empty:
            pass

    def said(self, line: str) -> None:
        """Take one line; whoever shows them replaces this."""

    def cancel(self) -> None:
        """Stop, and remove what is there so far."""
        self._stop.set()
        process = self._process
        if process is not None:
            _end(process)

    def _leave(self) -> None:
        """Cancel, and wait a little for it, as PyMOL ends."""
        self.cancel()
        self._thread.join(LEAVE_S)

    def _run(self) -> None:
        folder: Path | None = None
        try:
            remove_left_overs()
            folder = new_environment()
            self._install(folder)
            use(folder)
            self.state = "done"
            remove_left_overs()
            return
        except _Cancelled:
            self.state = "cancelled"
        except UserError as error:
            self.state, self.error = "failed", error
        except OSError as error:
            self.state = "failed"
            self.error = UserError(
                f"the environment could not be made ({error.strerror or error}) in "
                f"{folder or environments_folder()}; nothing was kept"
            )
        if folder is not None:
            remove(folder)
            self._say(f"removed {folder}")

    def _install(self, folder: Path) -> None:
        plan, environment = self.plan, _environment(folder)
        uv = plan.installer
        if not plan.has_uv:
            tools = folder / "tools"
            self._call(
                "fetching the installer",
                [plan.installer, "-m", "pip", "install", "--target", str(tools), "uv"],
                {**surroundings(plan.installer)["env"]},
            )
            uv = str(tools / "bin" / ("uv.exe" if sys.platform == "win32" else "uv"))
        source = self._source(folder)
        python = python_in(folder)
        self._call(
            "making the environment",
            [uv, "venv", "--python", PYTHONS, str(folder / "env")],
            environment,
        )
        command = [uv, "pip", "install", "--python", str(python)]
        command += ["--constraint", str(source / "constraints.txt"), f"{source}[server]"]
        if "UV_TORCH_BACKEND" not in os.environ:  # an empty one takes what the index has
            command += ["--torch-backend", plan.torch_backend]
        self._watched("downloading and installing", command, environment, folder / "env")
        self._call("trying it", [str(python), "-c", TRIAL], {**surroundings(str(python))["env"]})
        for name in ("tools", "cache", "source"):
            remove(folder / name)

    def _source(self, folder: Path) -> Path:
        """Folder of the core's sources: a copy, so that nothing is built in a checkout."""
        target = folder / "source"
        if self.plan.source.is_dir():
            for name in ("setup.py", "pyproject.toml", "README.md", "constraints.txt"):
                target.mkdir(exist_ok=True)
                shutil.copy(self.plan.source / name, target / name)
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(self.plan.source / "moedsr_core", target / "moedsr_core", ignore=ignore)
        else:
            with zipfile.ZipFile(self.plan.source) as archive:
                archive.extractall(target)
        return target

    def _watched(
        self, stage: str, command: list[str], environment: dict[str, str], folder: Path
    ) -> None:
        """Do :meth:`_call` while looking how a folder grows."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(LOOK_S):
                self.done_mb = min(size_mb(folder.parent), self.total_mb)

        watch = threading.Thread(target=look, daemon=True)
        watch.start()
        try:
            self._call(stage, command, environment)
        finally:
            ended.set()
            watch.join()
        self.done_mb = self.total_mb = size_mb(folder)

    def _call(self, stage: str, command: list[str], environment: dict[str, str]) -> None:
        """Run one program to its end.

        Raises:
            UserError: If it fails.
            _Cancelled: If it was to stop.
        """
        self.stage = stage
        self._say(f"{stage} …")
        if self._stop.is_set():
            raise _Cancelled
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, env=environment, **_group(),
            )  # fmt: skip
        except OSError as error:
            raise UserError(
                f"{stage} failed: '{Path(command[0]).name}' could not be started "
                f"({error.strerror or error}); nothing was kept"
            ) from error
        self._process = process
        if self._stop.is_set():  # asked for between the two
            _end(process)
        assert process.stdout is not None
        words = self._read(process.stdout)
        code = process.wait()
        self._process = None
        if self._stop.is_set():
            raise _Cancelled
        if code != 0:
            raise UserError(f"{stage} failed: {_reason(words)}; nothing was kept")

    def _read(self, pipe: IO[bytes]) -> list[str]:
        words = []
        with pipe:
            for line in pipe:
                text = line.decode("utf-8", errors="replace").rstrip()
                if text:
                    words.append(text)
                    self._say(text)
        return words

    def _say(self, line: str) -> None:
        self.log.append(line)
        self._lines.put(line)


def _environment(folder: Path) -> dict[str, str]:
    """What uv is told: the lab's mirrors, and to keep everything in one folder."""
    environment = {**os.environ}
    environment.pop("VIRTUAL_ENV", None)
    for ours, theirs in _SHARED.items():
        if environment.get(ours) and theirs not in environment:
            environment[theirs] = environment[ours]
    if not environment.get("UV_TORCH_BACKEND", "any"):
        del environment["UV_TORCH_BACKEND"]
    environment["UV_CACHE_DIR"] = str(folder / "cache")
    environment["UV_PYTHON_INSTALL_DIR"] = str(folder / "python")
    environment["UV_NO_PROGRESS"] = "1"
    return environment


def _group() -> dict:
    """Options of a program that is ended with all that it has started."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it has started."""
    try:
        if sys.platform == "win32":
            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(process.pid)],
                capture_output=True, creationflags=subprocess.CREATE_NO_WINDOW,
            )  # fmt: skip
        else:
            os.killpg(process.pid, 15)
    except (OSError, ProcessLookupError):
        pass  # it has ended by itself


def _reason(words: list[str]) -> str:
    """The line that tells why: the first that names an error, or else the last."""
    named = [line for line in words if "error" in line.lower()]
    return (named or words or ["it ended without a word"])[0 if named else -1].strip().rstrip(".")
