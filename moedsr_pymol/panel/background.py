"""Questions that other threads ask, answered on the window's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pymol.Qt import QtCore

Then = Callable[[Any], None]


class Background(QtCore.QObject):
    """Asks in threads, and gives the answers to the thread that it was made in."""

    _answered = QtCore.Signal(object, object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._answered.connect(self._give, QtCore.Qt.ConnectionType.QueuedConnection)

    def ask(self, work: Callable[[], Any], then: Then, failed: Then | None = None) -> None:
        """Do something in a thread of its own.

        Args:
            work: What is to be done; it leaves PyMOL and Qt alone.
            then: Takes what it gives.
            failed: Takes what it raises; nobody does by default.
        """

        def run() -> None:
            try:
                value, take = work(), then
            except Exception as error:
                value, take = error, failed or _nobody
            try:
                self._answered.emit(take, value)
            except RuntimeError:
                pass  # the window was closed meanwhile

        threading.Thread(target=run, name="moedsr-ask", daemon=True).start()

    def _give(self, take: Then, value: Any) -> None:
        take(value)


def _nobody(_: Any) -> None:
    """Take an answer that nobody waits for."""
