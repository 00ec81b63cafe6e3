"""Work in small steps, between the events of PyMOL's window."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from .failures import tell

TICK_MS = 10
WAIT_S = 0.1
FAILED_S = 2.0
"""Time after which a look that failed is tried again [s]."""
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


Result = TypeVar("Result")


class Errand:
    """Something that another thread does, which leaves PyMOL alone.

    Attributes:
        result: What it gave.

    Args:
        work: What is to be done.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: Exception | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, name="moedsr-errand", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether it is done."""
        return not self._thread.is_alive()

    def step(self, patience: float) -> None:
        """Wait for it a moment."""
        self._thread.join(patience)

    def _run(self) -> None:
        try:
            self.result = self._work()
        except Exception as error:  # raised again where the result is wanted
            self.error = error


class _Timer:
    """Steps a task: after each step it rests as long, so that the window gets its half."""

    def __init__(self, task: Task, at_end: Callable[[Task], None]) -> None:
        from pymol.Qt import QtCore

        self._task, self._at_end = task, at_end
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
        self._at_end(self._task)


_running: set[_Timer] = set()
_waiting: list[int] = []
"""Scripts that were open when each wait began."""


def run_task(task: Task, wait: bool | None, _self: Any) -> None:
    """Do a task while the window stays alive.

    Args:
        task: What is to be done.
        wait: Whether to return only when it is over, as is always so without a window; None waits
            in a script, whose next line may need it, and not for a typed command.
        _self: PyMOL.

    Raises:
        UserError: If it was waited for and failed.
    """
    if not in_window():
        while not task.over:
            task.step(WAIT_S)
    elif wait or (wait is None and in_script(_self)):
        wait_between_events(task, _self)
    else:
        run_between_events(task)
        return
    if task.error is not None:
        raise task.error


def outside(work: Callable[[], Result], _self: Any) -> Result:
    """Do something that may take a while and leaves PyMOL alone, while the window stays alive.

    Args:
        work: What is to be done; in a window another thread does it.
        _self: PyMOL.

    Returns:
        What it gives.
    """
    if not in_window():
        return work()
    errand = Errand(work)
    wait_between_events(errand, _self)
    if errand.error is not None:
        raise errand.error
    result: Result = errand.result
    return result


def run_between_events(task: Task) -> None:
    """Start a task and return; its errors are printed."""
    _Timer(task, _print_error)


def _print_error(task: Task) -> None:
    if task.error is not None:
        from pymol import colorprinting

        colorprinting.error(f" Error: {task.error}")
        tell(task.error)


def wait_between_events(task: Task, _self: Any) -> None:
    """Do a task; the window goes on, and so does what is typed into it."""
    from pymol.Qt import QtCore

    loop = QtCore.QEventLoop()
    _waiting.append(_open_scripts(_self))
    try:
        _Timer(task, lambda _: loop.quit())
        (loop.exec if hasattr(loop, "exec") else loop.exec_)()
    finally:
        _waiting.pop()


class _Watch:
    """Looks after something, again and again, while there is something to look after."""

    def __init__(self, look: Callable[[], float | None], at_end: Callable[[], None]) -> None:
        from pymol.Qt import QtCore

        self._look, self._at_end = look, at_end
        self._timer = QtCore.QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)

    def _tick(self) -> None:
        try:
            rest = self._look()
        except Exception:  # PyMOL raises different types from version to version
            rest = FAILED_S
        if rest is None:
            self._at_end()
        else:
            self._timer.start(int(1000 * rest))


_watches: dict[int, _Watch] = {}


def watch(owner: object, look: Callable[[], float | None]) -> None:
    """Look after something in a window; without one, or with a watch already, do nothing.

    Args:
        owner: What has the watch.
        look: Does the looking, and returns the time until the next one [s]; None ends the watch.
    """
    if id(owner) not in _watches and in_window() and _has_events():
        _watches[id(owner)] = _Watch(look, lambda: _watches.__delitem__(id(owner)))


def _has_events() -> bool:
    from pymol.Qt import QtCore

    return QtCore.QCoreApplication.instance() is not None


def in_script(_self: Any) -> bool:
    """Whether a command comes from a script (``@file``) rather than from somebody who types."""
    return _open_scripts(_self) > max(_waiting, default=0)


def _open_scripts(_self: Any) -> int:
    """Scripts that PyMOL's parser is in the middle of, one within the other."""
    parser = getattr(_self, "_parser", None)
    if parser is None:
        return 0
    files = [getattr(parser.layer[k], "script", None) for k in range(parser.nest + 1)]
    return sum(1 for file in files if file is not None and not file.closed)


def in_window() -> bool:
    """Whether a PyMOL window's event loop runs in this very thread."""
    if threading.current_thread() is not threading.main_thread():
        return False
    if not any(f"{binding}.QtWidgets" in sys.modules for binding in _BINDINGS):
        return False
    from pymol.gui import get_qtwindow

    return get_qtwindow() is not None
