"""Pictures of MoE-DSR's tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moedsr_core.report import Row, figure, png
from moedsr_core.reports.moe_trials import BASELINES, Contest


def proteins_picture(contest: Contest, metrics: Sequence[str], title: str) -> bytes:
    """PNG with a panel for every metric, a row for every protein, a mark for every contender."""
    drawn = figure(3.0 * len(metrics) + 1.5, 1.8 + 0.3 * len(contest.proteins))
    panels = np.atleast_1d(drawn.subplots(1, len(metrics), sharey=True))
    for axes, metric in zip(panels, metrics, strict=True):
        for k, label in enumerate(contest.labels):
            values = contest.values(label, metric)
            places = np.arange(len(contest.proteins)) + 0.6 * _share(k, len(contest.labels))
            sd = values.std(axis=0, ddof=1) if len(values) > 1 else None
            axes.errorbar(
                values.mean(axis=0), places, xerr=sd, fmt=_mark(label), ms=4, capsize=2, label=label
            )
        axes.set_title(metric)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(contest.proteins)), contest.proteins)
    panels[0].set_ylim(len(contest.proteins) - 0.5, -0.5)
    drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    drawn.suptitle(title)
    return png(drawn)


def models_picture(rows: Sequence[Row], variable: str, title: str, numeric: bool) -> bytes:
    """PNG with a panel for every metric: baselines lines, models marks, or a curve over numbers."""
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    drawn = figure(3.2 * len(metrics) + 0.5, 4.0)
    for axes, metric in zip(np.atleast_1d(drawn.subplots(1, len(metrics))), metrics, strict=True):
        of_metric = {row[variable]: row for row in rows if row["metric"] == metric}
        for who, style in zip(BASELINES, ("--", ":"), strict=True):
            axes.axhline(of_metric[who]["mean"], color="grey", linestyle=style, label=who)
        models = [label for label in of_metric if label not in BASELINES]
        where = [float(label) for label in models] if numeric else list(range(len(models)))
        mean = [of_metric[label]["mean"] for label in models]
        sd = np.nan_to_num([of_metric[label]["sd"] for label in models])
        axes.errorbar(where, mean, yerr=sd, fmt="o-" if numeric else "o", capsize=3)
        axes.set_xticks(where, models, rotation=0 if numeric else 45, ha="center")
        axes.set_xlabel(variable)
        axes.set_title(metric)
        axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small")
    drawn.suptitle(title)
    return png(drawn)


def _share(k: int, n: int) -> float:
    """Place of the k-th of n marks around 0, within ± 1/2."""
    return (k + 0.5) / n - 0.5


def _mark(label: str) -> str:
    return "|" if label in BASELINES else "o"
