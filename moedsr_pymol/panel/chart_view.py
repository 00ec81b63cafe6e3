"""A chart, painted; points at values, and gives what is clicked."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymol.Qt import QtCore, QtGui, QtWidgets

from ..measure.chart import Chart
from ..palettes import category_colors
from .scale import round_step, tick_text, ticks

HEIGHT = 220
LEAST_BAR = 2
"""Width that a bar has at least [pixels]; a chart of more bars scrolls."""
X_TICKS = Y_TICKS = 6
CHOSEN = "#d55e00"
"""Colour of the bar that was clicked."""
_BLUE = 4
"""Place of the colour of single series in the palette of categories."""


class ChartView(QtWidgets.QWidget):
    """Draws one chart.

    Attributes:
        chart: What is drawn.
        chosen: Index of the bar that was clicked last; -1 for none.
    """

    picked = QtCore.Signal(int)
    """A bar, or a point of the first series, was clicked: its index."""

    def __init__(self, chart: Chart, parent: Any = None) -> None:
        super().__init__(parent)
        self.chart, self.chosen = chart, -1
        self.setMouseTracking(True)
        self.setMinimumHeight(HEIGHT)
        count = len(chart.series[0].x) if chart.series else 0
        if chart.kind == "bar" and len(chart.series) == 1:
            self.setMinimumWidth(self._left() + 12 + LEAST_BAR * count)
        self._x = _span([series.x for series in chart.series], pad=0.5 * (chart.kind == "bar"))
        self._y = _span([series.y for series in chart.series], zero=chart.kind == "bar")

    @property
    def plot(self) -> Any:
        """The rectangle between the axes."""
        line = self.fontMetrics().lineSpacing()
        legend = line + 4 if self._labels() else 0
        return QtCore.QRectF(
            self._left(),
            line + 8,
            max(self.width() - self._left() - 12, 10),
            max(self.height() - 3 * line - 20 - legend, 10),
        )

    def _left(self) -> int:
        metrics = self.fontMetrics()
        return int(metrics.horizontalAdvance("00 000.0") + metrics.lineSpacing() + 4)

    def _labels(self) -> list[str]:
        return [series.label for series in self.chart.series if series.label]

    def at(self, x: float) -> int:
        """Index of the point of all series that stands nearest to a place [pixels]; -1 if none."""
        found = self._points()[0]
        if not len(found):
            return -1
        value = self._x[0] + (x - self.plot.left()) / self.plot.width() * (self._x[1] - self._x[0])
        return int(np.abs(found - value).argmin())

    def place(self, k: int) -> Any:
        """Where a point is drawn."""
        x, y = self._points()
        return self._place(float(x[k]), float(y[k]))

    def text(self, k: int) -> str:
        """What the mouse is told of a point."""
        labels = self.chart.tick_labels
        x, y = self._points()
        if k < len(labels):
            where = labels[k]
        elif self.chart.kind == "bar" and len(self.chart.series) > 1:
            where = self.chart.series[k].label
        else:
            where = f"{self.chart.x_label} {x[k]:g}"
        if len(self.chart.series) > 1 and self.chart.kind == "line":
            values = (
                f"{series.label}: {series.y[k]:.4g}"
                for series in self.chart.series
                if k < len(series.y)
            )
            return "\n".join([where, *values])
        return f"{where}: {y[k]:.4g}{_unit(self.chart.y_label)}"

    def _points(self) -> tuple[np.ndarray, np.ndarray]:
        """X and y of what can be pointed at: of bars all, of lines the first series'."""
        series = self.chart.series if self.chart.kind == "bar" else self.chart.series[:1]
        if not series:
            return np.zeros(0), np.zeros(0)
        return np.concatenate([s.x for s in series]), np.concatenate([s.y for s in series])

    def _place(self, x: float, y: float) -> Any:
        plot = self.plot
        across = (x - self._x[0]) / (self._x[1] - self._x[0])
        up = (y - self._y[0]) / (self._y[1] - self._y[0])
        return QtCore.QPointF(
            plot.left() + across * plot.width(), plot.bottom() - up * plot.height()
        )

    def paintEvent(self, _: Any) -> None:
        """Draw it."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        self._paint_axes(painter)
        for k, series in enumerate(self.chart.series):
            color = self._color(k)
            if self.chart.kind == "bar":
                self._paint_bars(painter, series, color, first=k == 0)
            else:
                self._paint_line(painter, series, color)
        self._paint_legend(painter)
        painter.end()

    def _color(self, k: int) -> Any:
        series = self.chart.series[k]
        if series.color:
            return QtGui.QColor(series.color)
        place = _BLUE if len(self.chart.series) == 1 else k
        return QtGui.QColor.fromRgbF(*map(float, category_colors(place + 1)[place]))

    def _ink(self, alpha: float = 1.0) -> Any:
        palette = self.palette()
        color = QtGui.QColor(palette.color(palette.ColorRole.WindowText))
        color.setAlphaF(alpha)
        return color

    def _paint_axes(self, painter: Any) -> None:
        plot, metrics = self.plot, self.fontMetrics()
        painter.setPen(self._ink())
        title = metrics.elidedText(
            self.chart.title, QtCore.Qt.TextElideMode.ElideMiddle, self.width() - 8
        )
        painter.drawText(QtCore.QPointF(4, metrics.ascent() + 2), title)
        step = round_step(self._y[1] - self._y[0], Y_TICKS)
        for value in ticks(*self._y, Y_TICKS):
            y = self._place(self._x[0], value).y()
            painter.setPen(self._ink(0.15))
            painter.drawLine(QtCore.QPointF(plot.left(), y), QtCore.QPointF(plot.right(), y))
            painter.setPen(self._ink(0.8))
            text = tick_text(value, step)
            x = plot.left() - metrics.horizontalAdvance(text) - 5
            painter.drawText(QtCore.QPointF(x, y + metrics.ascent() / 2 - 1), text)
        painter.setPen(self._ink(0.6))
        painter.drawLine(plot.bottomLeft(), plot.bottomRight())
        self._paint_x_ticks(painter)
        self._paint_labels(painter)

    def _paint_x_ticks(self, painter: Any) -> None:
        plot, metrics = self.plot, self.fontMetrics()
        free = -1e9
        painter.setPen(self._ink(0.8))
        for x, text in self._x_ticks():
            at = self._place(x, self._y[0]).x()
            width = metrics.horizontalAdvance(text)
            left = min(max(at - width / 2, 0), self.width() - width)
            if left < free:
                continue
            free = left + width + 8
            painter.drawLine(
                QtCore.QPointF(at, plot.bottom()), QtCore.QPointF(at, plot.bottom() + 3)
            )
            painter.drawText(QtCore.QPointF(left, plot.bottom() + metrics.ascent() + 4), text)

    def _x_ticks(self) -> list[tuple[float, str]]:
        chart = self.chart
        if chart.tick_labels:
            first = chart.series[0].x
            every = max(1, len(first) // 8)
            return [(float(first[k]), chart.tick_labels[k]) for k in range(0, len(first), every)]
        if chart.kind == "bar":
            return [(float(s.x[0]), s.label or f"{s.x[0]:g}") for s in chart.series if len(s.x)]
        whole = all(float(x).is_integer() for series in chart.series for x in series.x)
        least = 1.0 if whole else 0.0  # there is nothing between two states
        step = max(round_step(self._x[1] - self._x[0], X_TICKS), least)
        return [(value, tick_text(value, step)) for value in ticks(*self._x, X_TICKS, least)]

    def _paint_labels(self, painter: Any) -> None:
        plot, metrics = self.plot, self.fontMetrics()
        painter.setPen(self._ink(0.8))
        width = metrics.horizontalAdvance(self.chart.x_label)
        y = plot.bottom() + metrics.lineSpacing() + metrics.ascent() + 6
        painter.drawText(QtCore.QPointF(plot.center().x() - width / 2, y), self.chart.x_label)
        painter.save()
        painter.translate(metrics.ascent() + 1, plot.center().y())
        painter.rotate(-90)
        text = metrics.elidedText(
            self.chart.y_label, QtCore.Qt.TextElideMode.ElideRight, int(plot.height() + 30)
        )
        painter.drawText(QtCore.QPointF(-metrics.horizontalAdvance(text) / 2, 0), text)
        painter.restore()

    def _paint_bars(self, painter: Any, series: Any, color: Any, first: bool) -> None:
        one = self.plot.width() / (self._x[1] - self._x[0])
        width = max(min(one - 1.0, 60.0), 1.0)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing, one > 4 * LEAST_BAR)
        zero = self._place(self._x[0], max(self._y[0], 0.0)).y()
        for k, (x, y) in enumerate(zip(series.x.tolist(), series.y.tolist())):  # noqa: B905
            if not np.isfinite(y):
                continue
            top = self._place(x, y)
            chosen = first and k == self.chosen
            bar = QtCore.QRectF(top.x() - width / 2, top.y(), width, zero - top.y())
            painter.fillRect(bar, QtGui.QColor(CHOSEN) if chosen else color)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)

    def _paint_line(self, painter: Any, series: Any, color: Any) -> None:
        painter.setPen(QtGui.QPen(color, 1.6))
        path, begun = QtGui.QPainterPath(), False
        for x, y in zip(series.x.tolist(), series.y.tolist()):  # noqa: B905
            if not np.isfinite(y):
                begun = False
                continue
            point = self._place(x, y)
            path.lineTo(point) if begun else path.moveTo(point)
            begun = True
        painter.drawPath(path)

    def _paint_legend(self, painter: Any) -> None:
        if self.chart.kind == "bar" or not self._labels():
            return
        metrics = self.fontMetrics()
        x, y = self.plot.left(), self.height() - metrics.descent() - 2
        for k, series in enumerate(self.chart.series):
            painter.setPen(QtGui.QPen(self._color(k), 2.5))
            middle = y - metrics.ascent() / 2 + 1
            painter.drawLine(QtCore.QPointF(x, middle), QtCore.QPointF(x + 14, middle))
            painter.setPen(self._ink())
            painter.drawText(QtCore.QPointF(x + 18, y), series.label)
            x += 18 + metrics.horizontalAdvance(series.label) + 12

    def mouseMoveEvent(self, event: Any) -> None:
        """Tell the value under the mouse."""
        place = event.position() if hasattr(event, "position") else event.localPos()
        k = self.at(place.x()) if self.plot.contains(place) else -1
        where = self.mapToGlobal(place.toPoint())
        QtWidgets.QToolTip.showText(where, self.text(k) if k >= 0 else "", self)

    def mousePressEvent(self, event: Any) -> None:
        """Pick what is under the mouse."""
        place = event.position() if hasattr(event, "position") else event.localPos()
        k = self.at(place.x()) if self.plot.contains(place) else -1
        if k >= 0:
            self.chosen = k
            self.update()
            self.picked.emit(k)


def _span(values: list[np.ndarray], *, zero: bool = False, pad: float = 0.0) -> tuple[float, float]:
    """Lowest and highest value that an axis shows."""
    found = np.concatenate(values) if values else np.zeros(0)
    found = found[np.isfinite(found.astype(np.float64))]
    low, high = (float(found.min()), float(found.max())) if len(found) else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    extra = 0.0 if pad else 0.05 * (high - low)
    return low - pad - (0.0 if zero and low == 0.0 else extra), high + pad + extra


def _unit(label: str) -> str:
    """The unit that an axis label ends in: ``fluctuation [Å]`` gives `` Å``."""
    return f" {label[label.rindex('[') + 1 : -1]}" if label.endswith("]") and "[" in label else ""
