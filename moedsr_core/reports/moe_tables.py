"""Tables of MoE-DSR that compare models: per protein (its Table 1), and over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool

from moedsr_core.choices import check_choice
from moedsr_core.evaluation.summary import FORMATS, METRICS
from moedsr_core.report import Report, Row, markdown_table, shown
from moedsr_core.reports.moe_pictures import models_picture, proteins_picture
from moedsr_core.reports.moe_trials import Contest, Spread, spread
from moedsr_core.wording import counted

EVERYTHING = "All"
"""Name of the row over all proteins, as in the paper."""
LOWER_IS_BETTER = frozenset({"chamfer_paper", "chamfer_dsr_code", "chamfer_A", "hausdorff_A"})
CONTENDERS = {
    "typical": "the model's best single shape at each time",
    "drawn": "one drawn motion",
}
"""What may stand for a model."""


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What is put into a table."""

    metrics: tuple[str, ...] = ("iou", "chamfer_paper", "nc_abs", "nc_signed", "gap_closed")
    """Figures of docs/evaluation.md. The paper's formula of normal consistency is ``nc_abs``; its
    numbers, some below the 0.5 of chance, are probably ``nc_signed``."""
    contender: str = "typical"
    """What stands for a model: ``typical`` or ``drawn``; the paper does not say which code z it
    takes for a protein never seen."""

    def __post_init__(self) -> None:
        """Refuse figures that nobody measures."""
        for metric in self.metrics:
            check_choice("metrics", metric, dict.fromkeys(METRICS))
        check_choice("contender", self.contender, CONTENDERS)


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What stands around a table."""

    name: str
    """Of the files."""
    title: str
    """Above it."""
    variable: str = "model"
    """What the compared models differ in."""
    notes: tuple[str, ...] = ()
    """Below it."""
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What the paper reports, by label and metric."""
    numeric: bool = False
    """Whether labels are numbers, and the picture a curve over them."""


def per_protein(contest: Contest, options: TableOptions, heading: Heading) -> Report:
    """Every protein, then all: MoE-DSR Table 1 with our baselines.

    The deviation is over trials, of a protein's mean over frames; in the last row of the mean over
    proteins.
    """
    rows = [
        _row(protein, label, metric, spread(values[:, k]), 1)
        for metric in options.metrics
        for label in contest.labels
        for values in [contest.values(label, metric)]
        for k, protein in enumerate(contest.proteins)
    ] + overall(contest, options.metrics)
    tables = [_protein_table(rows, contest, metric) for metric in options.metrics]
    return Report(
        name=heading.name,
        tables={heading.name: rows},
        markdown=_document(heading, contest, tables),
        pictures={heading.name: proteins_picture(contest, options.metrics, heading.title)},
    )


def compared(contest: Contest, options: TableOptions, heading: Heading) -> Report:
    """One line for every model: MoE-DSR Table 4, Fig. 3 and the ablation of Ψ."""
    rows = [
        {heading.variable: row.pop("model"), **row}
        | {"paper": heading.paper.get(label, {}).get(row["metric"], float("nan"))}
        for row in overall(contest, options.metrics)
        for label in [row["model"]]
    ]
    for row in rows:
        del row["protein"]
    table = _model_table(rows, contest, options.metrics, heading)
    return Report(
        name=heading.name,
        tables={heading.name: rows},
        markdown=_document(heading, contest, [table]),
        pictures={
            heading.name: models_picture(rows, heading.variable, heading.title, heading.numeric)
        },
    )


def overall(contest: Contest, metrics: Sequence[str]) -> list[Row]:
    """Means over the proteins for which every contender has the figure."""
    rows = []
    for metric in metrics:
        known = in_common(contest, metric)
        for label in contest.labels:
            means = contest.values(label, metric)[:, known].mean(axis=1) if known.any() else None
            found = Spread(float("nan"), float("nan"), 0) if means is None else spread(means)
            rows.append(_row(EVERYTHING, label, metric, found, int(known.sum())))
    return rows


def in_common(contest: Contest, metric: str) -> Bool[np.ndarray, " proteins"]:
    """Which proteins have the figure in every trial of every contender."""
    values = np.concatenate([contest.values(label, metric) for label in contest.labels])
    return np.asarray(np.isfinite(values).all(axis=0))


def _row(protein: str, label: str, metric: str, found: Spread, proteins: int) -> Row:
    return {
        "protein": protein, "model": label, "metric": metric, "mean": found.mean, "sd": found.sd,
        "trials": found.trials, "proteins": proteins,
    }  # fmt: skip


def _protein_table(rows: Sequence[Row], contest: Contest, metric: str) -> str:
    cells = {(r["protein"], r["model"]): _shown(r) for r in rows if r["metric"] == metric}
    lines = [
        [f"**{protein}**" if protein == EVERYTHING else protein]
        + [cells[protein, label] for label in contest.labels]
        for protein in (*contest.proteins, EVERYTHING)
    ]
    count = int(in_common(contest, metric).sum())
    table = markdown_table([_arrow(metric), *contest.labels], lines)
    if count < len(contest.proteins):
        table += (
            f"\n\n{EVERYTHING}: the {counted(count, 'protein')} for which everyone has {metric}."
        )
    return table


def _model_table(
    rows: Sequence[Row], contest: Contest, metrics: Sequence[str], heading: Heading
) -> str:
    cells = {(r[heading.variable], r["metric"]): r for r in rows}
    printed = [m for m in metrics if any(m in known for known in heading.paper.values())]
    lines = [
        [label]
        + [_shown(cells[label, metric]) for metric in metrics]
        + [shown(cells[label, metric]["paper"]) for metric in printed]
        for label in contest.labels
    ]
    columns = [*map(_arrow, metrics), *(f"{metric} in the paper" for metric in printed)]
    table = markdown_table([heading.variable, *columns], lines)
    short = [m for m in metrics if cells["static", m]["proteins"] < len(contest.proteins)]
    for metric in short:
        count = cells["static", metric]["proteins"]
        table += f"\n\n{metric}: the {counted(count, 'protein')} for which everyone has it."
    return table


def _document(heading: Heading, contest: Contest, tables: Sequence[str]) -> str:
    trials = ", ".join(f"{label} {len(group)}" for label, group in contest.trials.items())
    about = (
        f"{counted(len(contest.proteins), 'protein')}; trials: {trials}. Mean ± standard deviation "
        f"over trials; a model shows its {contest.contender} shape. static and mean_shape are "
        "baselines, of which mean_shape knows the answer."
    )
    return "\n\n".join([f"# {heading.title}", about, *tables, *heading.notes])


def _shown(row: Row) -> str:
    return shown(row["mean"], row["sd"], FORMATS.get(row["metric"], ".3f"))


def _arrow(metric: str) -> str:
    return f"{metric} {'↓' if metric in LOWER_IS_BETTER else '↑'}"
