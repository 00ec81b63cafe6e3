"""Work in small steps, between the events of PyMOL's window."""

from __future__ import annotations

import sys
import threading
import time
from typing import Protocol

TICK_MS = 10
_BINDINGS = ("PyQt5", "PySide2", "PyQt6", "PySide6")


class Task(Protocol):
    """Something that is done in steps, in PyMOL's own thread."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""

    @property
    def error(self) -> Exception | None:
        """What went wrong."""

    def step(self, patience: float) -> None:
        """Do the next small thing; wait for it at most ``patience`` seconds."""


class _Timer:
    """Steps a task: after each step it rests as long, so that the window gets its half."""

    def __init__(self, task: Task) -> None:
        from pymol.Qt import QtCore

        self._task = task
        self._timer = QtCore.QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)
        _running.add(self)

    def _tick(self) -> None:
        begin = time.monotonic()
        self._task.step(0.0)
        if not self._task.over:
            self._timer.start(max(TICK_MS, int(1000 * (time.monotonic() - begin))))
            return
        _running.discard(self)
        if self._task.error is not None:
            from pymol import colorprinting

            colorprinting.error(f" Error: {self._task.error}")


_running: set[_Timer] = set()


def run_between_events(task: Task) -> None:
    """Start a task and return; its errors are printed."""
    _Timer(task)


def in_window() -> bool:
    """Whether a PyMOL window's event loop runs in this very thread."""
    if threading.current_thread() is not threading.main_thread():
        return False
    if not any(f"{binding}.QtWidgets" in sys.modules for binding in _BINDINGS):
        return False
    from pymol.gui import get_qtwindow

    return get_qtwindow() is not None
