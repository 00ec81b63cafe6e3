r"""Tables of the MoE-DSR paper from trained models, each as CSV, Markdown and a picture.

Several trials of a model share a label; a trial is a run folder, a folder with weights, the name of
a shipped model, or a JSON file of scripts/evaluate.py::

    python scripts/moe_tables.py table1 --data DATA --out tables/table1 \
        --models dsr=runs/dsr-0,runs/dsr-1 moedsr=runs/moedsr-0,runs/moedsr-1 anchored=default
    python scripts/moe_tables.py backbones --commands --data DATA
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import Progress

from moedsr_core.data.ensemble import Ensemble
from moedsr_core.data.identity import IdentityRule, align_all, find_mmseqs
from moedsr_core.data.splits import PARTS
from moedsr_core.errors import InputError
from moedsr_core.evaluation.options import EvaluateOptions
from moedsr_core.report import Report, figure
from moedsr_core.reports.expert_table import expert_report
from moedsr_core.reports.experts import (
    ExpertOptions,
    Routing,
    gate_of,
    likeness,
    refuse_without_experts,
    sequence,
)
from moedsr_core.reports.moe_measure import (
    Labelled,
    input_structures,
    is_scores,
    labelled,
    load_trial,
    measure,
    read_ensembles,
    refuse_trained_on,
    write_trial,
)
from moedsr_core.reports.moe_studies import (
    BACKBONE_STUDY,
    ENCODING_STUDY,
    Study,
    TrainingPlan,
    check_variants,
    commands,
    describe,
    sweep_study,
)
from moedsr_core.reports.moe_tables import Heading, TableOptions, compared, per_protein
from moedsr_core.reports.moe_trials import Contest, Trial, read_trial
from moedsr_core.terminal import exit_code, progress

SPLIT = Path(__file__).with_name("protein_md.json")
PAPER_SWEEP = ("4", "8", "16")


@dataclass(frozen=True, kw_only=True)
class _Common:
    models: tuple[str, ...] = ()
    """LABEL=TRIAL,TRIAL … for every model."""
    data: tuple[Path, ...] = ()
    """Folders that hold one folder per protein; not needed for JSON files."""
    split: Path = SPLIT
    """Which proteins are for what."""
    out: Path | None = None
    """Folder of the table; by default tables/TABLE."""
    threads: int = 2
    """Processor threads."""


@dataclass(frozen=True, kw_only=True)
class Table1(_Common):
    """Every protein: DSR beside MoE-DSR beside the baselines (MoE-DSR, Table 1)."""

    part: str = "test"
    """train, validation or test."""
    table: tyro.conf.OmitArgPrefixes[TableOptions] = field(default_factory=TableOptions)
    """What is put into the table."""
    measure: EvaluateOptions = field(default_factory=EvaluateOptions)
    """How models are measured."""
    jobs: int = 0
    """Processes that measure frames side by side; 0 means one for each processor."""


@dataclass(frozen=True, kw_only=True)
class Variants(Table1):
    """Variants of one model side by side; labels say which."""

    commands: bool = False
    """Print the commands that train the variants and make the table, and stop."""
    plan: tyro.conf.OmitArgPrefixes[TrainingPlan] = field(default_factory=TrainingPlan)
    """How the variants are trained, for --commands."""


class Backbones(Variants):
    """Router backbones (MoE-DSR, Table 4): qmpnn=…, pointnet2=… and so on."""


class Sweep(Variants):
    """Numbers of experts (MoE-DSR, Fig. 3): 4=…, 8=… and so on."""


class Encoding(Variants):
    """The encoding Ψ against plain coordinates: spherical=…, coordinates=…, naive=…."""


@dataclass(frozen=True, kw_only=True)
class Experts(_Common):
    """Which protein goes to which expert, and how alike an expert's are (MoE-DSR, Table 3)."""

    device: str = "cpu"
    """Where the router runs: auto, cpu, mps, cuda or cuda:N."""
    parts: tuple[str, ...] = PARTS
    """Parts of the split; the paper does not say which, its examples need all."""
    table: tyro.conf.OmitArgPrefixes[ExpertOptions] = field(default_factory=ExpertOptions)
    """How proteins are assigned, and what chance is."""
    rule: tyro.conf.OmitArgPrefixes[IdentityRule] = field(default_factory=IdentityRule)
    """When an alignment counts."""


Command = (
    Annotated[Table1, tyro.conf.subcommand("table1")]
    | Annotated[Experts, tyro.conf.subcommand("experts")]
    | Annotated[Backbones, tyro.conf.subcommand("backbones")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[Encoding, tyro.conf.subcommand("encoding")]
)
TABLE1 = Heading(
    name="table1",
    title="Surfaces over time (MoE-DSR, Table 1)",
    notes=(
        "The paper's frames are not superposed and its proteins are others, so that its numbers "
        "cannot stand beside these; `gap_closed` can.",
    ),
)


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    stopped = "stopped; no table was written, and scores of finished trials are kept"
    return exit_code(lambda console: _run(argv, console), stopped)


def _run(argv: list[str] | None, console: Console) -> None:
    asked = tyro.cli(Command, args=argv, description=__doc__)  # type: ignore[call-overload]
    if isinstance(asked, Variants) and asked.commands:
        print("\n".join(_commands(asked)))
        return
    torch.set_num_threads(asked.threads)
    warnings.filterwarnings("ignore", module="mdtraj")
    figure(1, 1)  # refused before anything is measured
    report = _report(asked, console)
    report.write(_out(asked))
    print(report.markdown)
    console.print(f"{report.name} is in {_out(asked)}")


def _commands(asked: Variants) -> list[str]:
    data = [folder.as_posix() for folder in asked.data] or ["DATA"]
    split = ["--split", asked.split.as_posix()] if asked.split != SPLIT else []
    labels = [model.split("=")[0] for model in asked.models]
    return commands(_study(asked), asked.plan, data, split, labels)


def _study(asked: Variants) -> Study:
    """Of a sweep, the labels are the study."""
    if isinstance(asked, Sweep):
        labels = [model.split("=")[0] for model in asked.models] or list(PAPER_SWEEP)
        if not all(label.isdecimal() for label in labels):
            raise InputError(f"labels of a sweep must be numbers of experts, got {labels}")
        return sweep_study([int(label) for label in labels])
    return BACKBONE_STUDY if isinstance(asked, Backbones) else ENCODING_STUDY


def _name(asked: _Common) -> str:
    return type(asked).__name__.lower()


def _out(asked: _Common) -> Path:
    return asked.out or Path("tables") / _name(asked)


def _report(asked: Table1 | Experts, console: Console) -> Report:
    models = labelled(asked.models)
    with progress(console) as bar:
        if isinstance(asked, Experts):
            return _experts(asked, models, bar)
        contest = _contest(asked, models, bar)
    if isinstance(asked, Variants):
        return compared(contest, asked.table, _study(asked).heading)
    return per_protein(contest, asked.table, TABLE1)


def _contest(asked: Table1, models: Labelled, bar: Progress) -> Contest:
    """Whatever can be refused is, before anything is measured."""
    weights = {label: [t for t in ts if not is_scores(t)] for label, ts in models.items()}
    read = {t: read_trial(Path(t)) for ts in models.values() for t in ts if is_scores(t)}
    if isinstance(asked, Variants):
        known = {label: [describe(load_trial(t)) for t in ts] for label, ts in weights.items()}
        check_variants(_study(asked), known)
    ensembles = {}
    if any(weights.values()):
        ensembles = read_ensembles(asked.data, asked.split, (asked.part,))
    for trial in [t for ts in weights.values() for t in ts if asked.part != "train"]:
        refuse_trained_on(load_trial(trial), ensembles)

    def scores(label: str, k: int, trial: str) -> Trial:
        return read.get(trial) or _measured(asked, f"{label}-{k}", trial, ensembles, bar)

    return Contest(
        {
            label: tuple(scores(label, k, t) for k, t in enumerate(ts))
            for label, ts in models.items()
        },
        asked.table.contender,
    )


def _measured(
    asked: Table1, name: str, source: str, ensembles: dict[str, Ensemble], bar: Progress
) -> Trial:
    """Measure one trial on all proteins, and keep its scores beside the table."""
    loaded, task = load_trial(source, asked.measure.device), bar.add_task(name, total=None)

    def tell(what: str, step: int, total: int) -> None:
        bar.update(task, description=f"{name}: {what}", completed=step, total=total)

    trial = measure(loaded, ensembles, asked.measure, tell, asked.jobs)
    place = _out(asked) / "scores" / f"{name}.json"
    write_trial(trial, place)
    bar.console.print(f"scores of {name} are in {place}")
    return trial


def _experts(asked: Experts, models: Labelled, bar: Progress) -> Report:
    find_mmseqs()
    loaded = {
        f"{m}-{k}": load_trial(t, asked.device)
        for m, ts in models.items()
        for k, t in enumerate(ts)
    }
    for one in loaded.values():
        refuse_without_experts(one)
    proteins = input_structures(read_ensembles(asked.data, asked.split, asked.parts, max_frames=2))
    routings = []
    for name, one in loaded.items():
        items = bar.track(proteins.values(), total=len(proteins), description=name)
        gates = np.stack([gate_of(one, protein, asked.table.seed) for protein in items])
        routings.append(Routing(model=name, proteins=tuple(proteins), gates=gates))
    task = bar.add_task("aligning sequences", total=None)
    matches = align_all(
        {name: sequence(one) for name, one in proteins.items()},
        threads=asked.threads,
        report=lambda done, total: bar.update(task, completed=done, total=total),
    )
    return expert_report(routings, likeness(list(proteins), matches, asked.rule), asked.table)


if __name__ == "__main__":
    sys.exit(main())
