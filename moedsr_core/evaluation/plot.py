"""A picture of a summary: every protein a dot, means with their intervals."""

from __future__ import annotations

import numpy as np

from moedsr_core.evaluation.summary import Summary
from moedsr_core.report import figure, png
from moedsr_core.wording import counted

PANELS = (
    "iou", "chamfer_A", "nc_signed", "gap_closed", "occupancy_skill", "mean_displacement_r",
    "surface_rmsf_r", "surface_rmsf_r_residue", "surface_rmsf_ratio",
)  # fmt: skip


def picture(summary: Summary) -> bytes:
    """PNG with a panel for every metric of :data:`PANELS`.

    Raises:
        InputError: If matplotlib is not installed.
    """
    drawn = figure(12, 10)
    for axes, metric in zip(drawn.subplots(3, 3).flat, PANELS, strict=True):
        _panel(axes, summary, metric)
    proteins = counted(len(summary.evaluations), "protein")
    drawn.suptitle(f"{summary.evaluations[0].model}, {proteins}: means with 95 % intervals")
    return png(drawn)


def _panel(axes, summary: Summary, metric: str) -> None:
    who = [c for c in summary.contenders if summary.interval(c, metric).proteins]
    for row, name in enumerate(who):
        values, mean = summary.values(name, metric), summary.interval(name, metric)
        axes.scatter(values, np.full(len(values), row), s=14, alpha=0.5, color="tab:blue")
        reach = np.nan_to_num([[mean.mean - mean.low], [mean.high - mean.mean]])
        axes.errorbar(mean.mean, row, xerr=reach, fmt="s", color="black", capsize=4)
    if not who:
        axes.set_axis_off()
        return
    axes.set_yticks(range(len(who)), who)
    axes.set_ylim(len(who) - 0.5, -0.5)
    axes.set_title(metric)
    axes.grid(axis="x", alpha=0.3)
