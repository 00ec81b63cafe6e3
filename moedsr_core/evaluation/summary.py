"""Many proteins in one table: means over proteins, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from moedsr_core.errors import InputError
from moedsr_core.evaluation.conventions import SHAPE_METRICS
from moedsr_core.evaluation.motion import MOTION_METRICS
from moedsr_core.evaluation.result import Evaluation
from moedsr_core.report import Row, markdown_table

METRICS = (*SHAPE_METRICS, *MOTION_METRICS, "gap_closed")
RESAMPLES = 10_000
"""Bootstrap samples of an interval."""
FORMATS = {"iou": ".3f", "chamfer_paper": ".4f", "chamfer_dsr_code": ".5f"}


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over proteins with its 95 % bootstrap interval, and the median."""

    proteins: int
    """Proteins that have the figure."""
    mean: float
    """Mean over them."""
    low: float
    """Lower end; NaN for fewer than two proteins."""
    high: float
    """Upper end."""
    median: float
    """Median over them."""


def interval(values: Sequence[float] | Float[np.ndarray, " n"], seed: int = 0) -> Interval:
    """Mean and its percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13).

    Whole proteins are drawn with replacement, since frames of one protein are not independent.
    Below about ten proteins such intervals are too narrow. Figures that mean nothing for a protein
    (NaN) are left out.
    """
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if len(known) == 0:
        return Interval(proteins=0, mean=np.nan, low=np.nan, high=np.nan, median=np.nan)
    mean, median = float(known.mean()), float(np.median(known))
    if len(known) == 1:
        return Interval(proteins=1, mean=mean, low=np.nan, high=np.nan, median=median)
    picks = np.random.default_rng(seed).integers(len(known), size=(RESAMPLES, len(known)))
    low, high = np.quantile(known[picks].mean(axis=1), [0.025, 0.975])
    return Interval(proteins=len(known), mean=mean, low=float(low), high=float(high), median=median)


@dataclass(frozen=True)
class Summary:
    """Evaluations of one model on many proteins.

    Attributes:
        evaluations: One for each protein, measured alike.

    Raises:
        InputError: If there is none, or they were measured with different options or models.
    """

    evaluations: tuple[Evaluation, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot stand in one table."""
        if not self.evaluations:
            raise InputError("a summary needs at least one evaluation, got none")
        if len({(e.model, e.options) for e in self.evaluations}) > 1:
            raise InputError(
                "a summary needs one model measured in one way; these differ in model or options"
            )

    @property
    def contenders(self) -> tuple[str, ...]:
        """Everyone measured on any protein, in the order of the first evaluations."""
        return tuple(dict.fromkeys(who for e in self.evaluations for who in e.motion))

    def values(self, contender: str, metric: str) -> Float[np.ndarray, " proteins"]:
        """A figure of every protein; NaN where it does not exist."""
        return np.array([_figure(e, contender, metric) for e in self.evaluations])

    def interval(self, contender: str, metric: str) -> Interval:
        """Mean of a figure over proteins."""
        return interval(self.values(contender, metric))

    def gain(self, contender: str, metric: str) -> Interval:
        """Mean difference to *static*, protein by protein."""
        return interval(self.values(contender, metric) - self.values("static", metric))

    def rows(self) -> list[Row]:
        """A row for every contender and metric: the mean, and the difference to *static*."""
        return [
            {
                "contender": who, "metric": metric, "proteins": mean.proteins, "mean": mean.mean,
                "low": mean.low, "high": mean.high, "median": mean.median,
                "minus_static": gain.mean, "minus_static_low": gain.low,
                "minus_static_high": gain.high,
            }
            for who in self.contenders
            for metric in METRICS
            for mean, gain in [(self.interval(who, metric), self.gain(who, metric))]
            if mean.proteins
        ]  # fmt: skip

    def protein_rows(self) -> list[Row]:
        """A row for every protein and contender."""
        return [
            {"ensemble": e.name, "residues": e.residues, "frames": len(e.chosen), "contender": who}
            | {metric: _figure(e, who, metric) for metric in METRICS}
            for e in self.evaluations
            for who in self.contenders
        ]

    def markdown(self) -> str:
        """A table for every metric: a row for every protein, then the mean and the median."""
        return "\n\n".join(self._table(metric) for metric in METRICS)

    def _table(self, metric: str) -> str:
        who = [c for c in self.contenders if self.interval(c, metric).proteins]
        style = FORMATS.get(metric, ".2f")
        lines = [
            [e.name, *(_shown(_figure(e, c, metric), style) for c in who)] for e in self.evaluations
        ]
        over = [self.interval(c, metric) for c in who]
        means = ["**mean**", *(_with_interval(one, style) for one in over)]
        medians = ["**median**", *(_shown(one.median, style) for one in over)]
        return markdown_table([metric, *who], [*lines, means, medians])


def _figure(evaluation: Evaluation, contender: str, metric: str) -> float:
    known = {**evaluation.frames.get(contender, {}), **evaluation.motion.get(contender, {})}
    return evaluation.mean(contender, metric) if metric in known else float("nan")


def _shown(value: float, style: str) -> str:
    return format(value, style) if np.isfinite(value) else ""


def _with_interval(mean: Interval, style: str) -> str:
    if not np.isfinite(mean.low):
        return _shown(mean.mean, style)
    return f"{mean.mean:{style}} [{mean.low:{style}}, {mean.high:{style}}]"
