"""What a measurement shows, whoever draws it: numbers with names and units, and nothing of Qt."""

from __future__ import annotations

import csv
import io
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Table = list[list[Any]]
"""Rows of values; the first row names the columns."""


@dataclass(frozen=True)
class Series:
    """One line, or one set of bars.

    Attributes:
        label: What it is; empty where the chart's title says so.
        x: Where its points stand, (n,).
        y: Their values, (n,); NaN where there is none.
        color: ``#rrggbb``, or empty for whoever draws it to choose.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    color: str = ""


@dataclass(frozen=True)
class Chart:
    """One diagram.

    Attributes:
        title: What it shows.
        x_label: Name and unit of the axis to the right.
        y_label: Name and unit of the axis upward.
        series: What is drawn.
        kind: ``line`` or ``bar``.
        tick_labels: Name of each x of the first series, in their order; empty for plain numbers.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    kind: str = "line"
    tick_labels: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON; null where there is no value."""
        return {
            "title": self.title,
            "x_label": self.x_label,
            "y_label": self.y_label,
            "kind": self.kind,
            "tick_labels": list(self.tick_labels),
            "series": [
                {"label": s.label, "color": s.color, "x": _plain(s.x), "y": _plain(s.y)}
                for s in self.series
            ],
        }


class Measurement(ABC):
    """What a measuring command found."""

    @abstractmethod
    def charts(self) -> tuple[Chart, ...]:
        """Its diagrams, the most telling one first."""

    @abstractmethod
    def table(self) -> Table:
        """Its numbers."""

    def tables(self) -> dict[str, Table]:
        """Its tables, by what is added to the name of the first one's file."""
        return {"": self.table()}

    def chart(self) -> Chart:
        """Its most telling diagram."""
        return self.charts()[0]


def csv_text(table: Table) -> str:
    """A table as comma-separated values: numbers to six digits, nothing where there is none."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([[_cell(value) for value in row] for row in table])
    return text.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return str(value)


def _plain(values: Sequence[float] | np.ndarray) -> list[float | None]:
    return [float(v) if math.isfinite(v) else None for v in values]
