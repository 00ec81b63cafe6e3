"""PyMOL as a child process of the demo, and what the demo shows while it works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SCRIPT = Path(__file__).with_name("demo_in_pymol.py")
MARK = "@demo "
LAST_LINES = 15
END_S = 10.0
"""How long PyMOL may take to end when told to [s]."""
LINE_EVERY_S = 5.0
"""Time between lines where the output is no terminal [s]."""
_HOMES = {
    "HOME": "", "USERPROFILE": "", "APPDATA": "AppData/Roaming", "LOCALAPPDATA": "AppData/Local",
    "XDG_CONFIG_HOME": ".config", "XDG_CACHE_HOME": ".cache", "XDG_DATA_HOME": ".local/share",
}  # fmt: skip


class ChildError(Exception):
    """PyMOL could not do its part; one sentence, then its last lines."""


class Screen:
    """Stages with bars and the time left; plain lines where the output is no terminal."""

    def __init__(self) -> None:
        console = Console(stderr=False, highlight=False)
        columns = (
            TextColumn("{task.description:<50}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._plain = not console.is_terminal
        self._task: TaskID | None = None
        self._title, self._begin, self._said = "", 0.0, 0.0

    def __enter__(self) -> Screen:
        """Start to draw."""
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bars as they are."""
        self._progress.stop()

    def stage(self, title: str, total: int) -> None:
        """Finish the stage before and begin one of ``total`` steps."""
        if self._task is not None:
            done = self._progress.tasks[self._task].total
            self._progress.update(self._task, completed=done)
        self._task = self._progress.add_task(title, total=total)
        self._title, self._begin, self._said = title, time.monotonic(), time.monotonic()
        if self._plain:
            print(f"{title} …", flush=True)

    def step(self, done: int, total: int) -> None:
        """Say how far the stage is."""
        if self._task is not None:
            self._progress.update(self._task, completed=done)
        now = time.monotonic()
        if self._plain and now - self._said >= LINE_EVERY_S:
            left = (now - self._begin) / done * (total - done)
            print(f"  {done} of {total}, {left:.0f} s left", flush=True)
            self._said = now

    def say(self, line: str) -> None:
        """Show one line of PyMOL's."""
        self._progress.console.print(f"  {line}", style="dim", markup=False)


class PyMOLChild:
    """One step of the demo in a PyMOL of its own, in a throw-away home.

    Args:
        step: Name of the step in ``demo_in_pymol.py``.
        order: What to do; handed over as a JSON file.
        home: The throw-away home.
        screen: Where progress is shown.
    """

    def __init__(self, step: str, order: dict[str, Any], home: Path, screen: Screen) -> None:
        self._order, self._screen, self._home = order, screen, home
        path = home / f"{step}.json"
        path.write_text(json.dumps(order), encoding="utf-8")
        self._command = [sys.executable, "-m", "pymol", "-cq", str(SCRIPT), "--", step, str(path)]
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._told: dict[str, dict[str, Any]] = {}

    def run(self) -> dict[str, dict[str, Any]]:
        """Run to the end; returns the last report of each kind.

        Raises:
            ChildError: If PyMOL reports a failure or ends too early.
        """
        process = subprocess.Popen(
            self._command, env=throwaway_environment(self._home), cwd=self._home,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
        try:
            assert process.stdout is not None
            for line in process.stdout:
                self._take(line.rstrip())
            process.wait()
        finally:
            _end(process)
        if "done" not in self._told:
            reason = self._told.get("failed", {}).get("error", "PyMOL ended too early")
            raise ChildError("\n".join([f"The demo failed in PyMOL: {reason}", *self._last]))
        return self._told

    def _take(self, line: str) -> None:
        if not line.startswith(MARK):
            if line.strip():
                self._last.append(line)
            if line.startswith("PyMOL>"):
                self._screen.say(line)
            return
        report = json.loads(line[len(MARK) :])
        self._told[report["kind"]] = report
        _SHOWN.get(report["kind"], _ignore)(self, report)

    def _frame(self, report: dict[str, Any]) -> None:
        self._screen.step(report["done"], self._order["frames"])

    def _predicted(self, report: dict[str, Any]) -> None:
        self._screen.stage("Saving the PyMOL session", 1)

    def _saved(self, report: dict[str, Any]) -> None:
        self._screen.stage("Ray-tracing pictures", self._n_pictures)

    def _picture(self, report: dict[str, Any]) -> None:
        self._screen.step(report["done"], self._n_pictures)

    @property
    def _n_pictures(self) -> int:
        return len(self._order["stills"]) + len(self._order["movie"])


def _ignore(child: PyMOLChild, report: dict[str, Any]) -> None:
    """Nothing to show."""


_SHOWN = {
    "frame": PyMOLChild._frame,
    "predicted": PyMOLChild._predicted,
    "saved": PyMOLChild._saved,
    "picture": PyMOLChild._picture,
}


def throwaway_environment(home: Path) -> dict[str, str]:
    """This process's environment with every folder of the user's, and every choice, moved away.

    Threads that wait give up their core: PyMOL and its backend share few of them, and where
    others compute too, waiting busily made the prediction take three times the processor time.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MOEDSR_", "PYMOL_"))}
    moved = {name: str(home / place) for name, place in _HOMES.items()}
    return {"OMP_WAIT_POLICY": "PASSIVE", **kept, **moved}


def _end(process: subprocess.Popen[str]) -> None:
    """Make sure that PyMOL is gone; its backend goes with it."""
    if process.stdin is not None:
        process.stdin.close()
    for stop in (process.terminate, process.kill):
        if process.poll() is None:
            stop()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                continue
    if process.stdout is not None:
        process.stdout.close()
