"""tab."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtWidgets


class MeasureTab(QtWidgets.QWidget):
    """x."""

    def __init__(self, desk: Any, parent: Any = None) -> None:
        super().__init__(parent)

    def set_active(self, active: bool) -> None:
        """X."""
