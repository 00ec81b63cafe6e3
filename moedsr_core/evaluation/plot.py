"""A picture of a summary: every protein a dot, means with their intervals."""

from __future__ import annotations

import io

import numpy as np

from moedsr_core.errors import InputError
from moedsr_core.evaluation.summary import Summary

PANELS = (
    "iou", "chamfer_A", "nc_signed", "gap_closed", "occupancy_skill", "mean_displacement_r",
    "surface_rmsf_r", "surface_rmsf_r_residue", "surface_rmsf_ratio",
)  # fmt: skip


def picture(summary: Summary) -> bytes:
    """PNG with a panel for every metric of :data:`PANELS`.

    Raises:
        InputError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            "a picture of the scores needs matplotlib; install moedsr[train]"
        ) from error
    figure = Figure(figsize=(12, 10), layout="constrained")
    for axes, metric in zip(figure.subplots(3, 3).flat, PANELS, strict=True):
        _panel(axes, summary, metric)
    count = len(summary.evaluations)
    figure.suptitle(f"{summary.evaluations[0].model}, {count} proteins: means with 95 % intervals")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()


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
