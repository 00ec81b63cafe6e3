"""Diagrams of what the plugin measures, as PNG, SVG or PDF."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from moedsr_core.plugin_task import Tell, run
from moedsr_core.report import figure

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#999999")
"""Okabe and Ito 2008: told apart by colour-blind readers too."""
WIDTH, HEIGHT, WIDEST = 8.0, 3.2, 16.0
"""Of one diagram; of one with many bars at most [inch]."""
BARS_PER_INCH = 12.0
MOST_LABELS = 80
"""Names that stand along an axis; of more bars, some go without."""
_DPI = 120


def draw(charts: list[dict[str, Any]], file: Path) -> None:
    """Draw diagrams one below the other into a file whose ending chooses the format.

    Args:
        charts: Each with ``title``, ``x_label``, ``y_label``, ``kind`` (line or bar),
            ``tick_labels``, and ``series`` of ``label``, ``color``, ``x``, ``y``.
        file: Where to.

    Raises:
        InputError: If matplotlib is not installed.
    """
    bars = max(len(chart["tick_labels"]) for chart in charts)
    width = min(max(WIDTH, bars / BARS_PER_INCH), WIDEST)
    drawn = figure(width, HEIGHT * len(charts) + (0.6 if bars else 0.0))
    panels = drawn.subplots(len(charts), 1, squeeze=False)[:, 0]
    for axes, chart in zip(panels, charts, strict=True):
        _panel(axes, chart)
    made_when = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(file.suffix)
    drawn.savefig(file, dpi=_DPI, metadata=made_when)


def _panel(axes: Any, chart: dict[str, Any]) -> None:
    for k, series in enumerate(chart["series"]):
        x, y = (np.array(series[name], np.float64) for name in "xy")
        color = series["color"] or COLORS[k % len(COLORS)]
        if chart["kind"] == "bar":
            axes.bar(x, y, color=color, label=series["label"])
            axes.set_xlim(*_around(chart))
        else:
            marker = "o" if len(x) < 2 else None
            axes.plot(x, y, color=color, label=series["label"], marker=marker, linewidth=1.5)
    axes.set(title=chart["title"], xlabel=chart["x_label"], ylabel=chart["y_label"])
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    names = chart["tick_labels"]
    if names:
        shown = slice(None, None, -(-len(names) // MOST_LABELS))
        axes.set_xticks(chart["series"][0]["x"][shown], names[shown], rotation=90, fontsize=7)
    elif chart["kind"] == "bar":
        axes.set_xticks([])
    elif all(float(x).is_integer() for series in chart["series"] for x in series["x"]):
        axes.locator_params(axis="x", integer=True)  # there is nothing between two states
    if any(series["label"] for series in chart["series"]):
        axes.legend(frameon=False, fontsize=8)


def _around(chart: dict[str, Any]) -> tuple[float, float]:
    """Ends of an axis that all bars stand on, those without a value too."""
    at = [x for series in chart["series"] for x in series["x"]]
    return min(at) - 0.6, max(at) + 0.6


def _work(folder: Path, request: dict[str, Any], tell: Tell) -> None:
    tell("drawing", 0, 1)
    draw(request["charts"], folder / f"chart{request['ending']}")


if __name__ == "__main__":
    sys.exit(run(_work))
