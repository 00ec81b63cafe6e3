"""What the colours of a surface mean, drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymol.Qt import QtCore, QtGui, QtWidgets

from ..palettes import category_colors

UNITS = {"motion": "Å", "fluctuation": "Å", "hydrophobicity": "", "charge": "e"}
ENDS = {
    "motion": ("inwards", "outwards"),
    "fluctuation": ("still", "moving"),
    "hydrophobicity": ("water-loving", "water-avoiding"),
    "charge": ("negative", "positive"),
}
BAR = 14
TICKS = 5


class Legend(QtWidgets.QWidget):
    """A ramp with its numbers, or a patch for each colour."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.mode = ""
        self.ends: tuple[float, float] | None = None
        self._stops = np.zeros((0, 3))
        self._patches: list[tuple[str, Any]] = []
        self._note = ""
        self.setMinimumHeight(BAR + 2 * self.fontMetrics().lineSpacing() + 6)

    def show_surface(self, surface: Any, arriving: bool = False) -> None:
        """Tell of a surface's colours; of none, nothing.

        Args:
            surface: The surface, or None.
            arriving: Whether a prediction still fills it.
        """
        self.mode, self.ends, self._patches, self._note = "", None, [], ""
        if surface is not None:
            how = surface.coloring
            self.mode, self.ends = how.mode, how.ends(surface)
            self._stops = np.array(how.stops or [(1.0, 1.0, 1.0)])
            self._patches, self._note = _patches(surface), _note(surface, arriving)
        self.update()

    @property
    def note(self) -> str:
        """What is said where nothing is drawn."""
        return self._note

    def paintEvent(self, _: Any) -> None:
        """Draw it."""
        painter = QtGui.QPainter(self)
        painter.setPen(self.palette().color(self.palette().ColorRole.WindowText))
        if self.ends is not None:
            self._paint_ramp(painter)
        elif self._patches:
            self._paint_patches(painter)
        else:
            painter.drawText(QtCore.QRectF(self.rect()), self._note, QtGui.QTextOption())
        painter.end()

    def _paint_ramp(self, painter: Any) -> None:
        assert self.ends is not None
        low, high = self.ends
        edge = self.fontMetrics().horizontalAdvance("-0.00") // 2 + 2
        bar = QtCore.QRectF(edge, 1, max(self.width() - 2 * edge, 10), BAR)
        gradient = QtGui.QLinearGradient(bar.left(), 0, bar.right(), 0)
        for share, color in zip(np.linspace(0, 1, len(self._stops)), self._stops):  # noqa: B905
            gradient.setColorAt(float(share), QtGui.QColor.fromRgbF(*map(float, color)))
        painter.fillRect(bar, gradient)
        painter.drawRect(bar)
        line = self.fontMetrics().lineSpacing()
        unit = UNITS.get(self.mode, "")
        for k in range(TICKS):
            share = k / (TICKS - 1)
            x = bar.left() + share * bar.width()
            painter.drawLine(QtCore.QPointF(x, bar.bottom()), QtCore.QPointF(x, bar.bottom() + 3))
            value = low + share * (high - low)
            text = f"{value:.3g}" if abs(value) >= 1e-6 else "0"
            if k == TICKS - 1 and unit:
                text += f" {unit}"
            width = self.fontMetrics().horizontalAdvance(text)
            left = min(max(x - width / 2, 0), self.width() - width)
            painter.drawText(QtCore.QPointF(left, bar.bottom() + line), text)
        words = ENDS.get(self.mode)
        if words:
            y = bar.bottom() + 2 * line
            width = self.fontMetrics().horizontalAdvance(words[1])
            painter.drawText(QtCore.QPointF(bar.left(), y), words[0])
            painter.drawText(QtCore.QPointF(bar.right() - width, y), words[1])

    def _paint_patches(self, painter: Any) -> None:
        metrics = self.fontMetrics()
        x, y, line = 0, 1, metrics.lineSpacing() + 4
        for text, color in self._patches:
            width = BAR + 5 + metrics.horizontalAdvance(text) + 12
            if x and x + width > self.width():
                x, y = 0, y + line
            patch = QtCore.QRectF(x, y, BAR, BAR)
            painter.fillRect(patch, QtGui.QColor.fromRgbF(*map(float, color)))
            painter.drawRect(patch)
            painter.drawText(QtCore.QPointF(x + BAR + 5, y + metrics.ascent()), text)
            x += width


def _patches(surface: Any) -> list[tuple[str, Any]]:
    shares = surface.attributes.get("expert")
    if surface.coloring.mode == "expert" and shares is not None:
        colors = category_colors(shares.shape[1])
        return [(f"expert {k + 1}", color) for k, color in enumerate(colors)]
    if surface.coloring.mode == "plain":
        return [("one colour", surface.coloring.stops[0])]
    return []


def _note(surface: Any, arriving: bool) -> str:
    fluctuation = "Known once all frames are there."
    if not arriving:
        fluctuation = "The prediction ended before this was known."
    return {
        "normal": "Red, green and blue say how far the surface faces along x, y and z.",
        "chain": "The colours that PyMOL gives to chains, of the nearest atom.",
        "fluctuation": fluctuation,
        "expert": "Known with the first frame of a prediction.",
    }.get(surface.coloring.mode, "")
