"""What looks now and then while it is to be seen."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtCore, QtWidgets


class Looking(QtWidgets.QWidget):
    """A widget that follows something by looking at it at even times.

    Args:
        every_ms: Time between two looks [ms].
    """

    def __init__(self, every_ms: int, parent: Any = None) -> None:
        super().__init__(parent)
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(every_ms)
        self._timer.timeout.connect(lambda: self.look())

    def look(self) -> None:
        """Show how things are."""
        raise NotImplementedError

    def set_active(self, active: bool) -> None:
        """Look at once and from now on, or rest."""
        if active:
            self.look()
            self._timer.start()
        else:
            self._timer.stop()
