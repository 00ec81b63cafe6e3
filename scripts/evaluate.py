"""Measure a model on held-out trajectories, beside *static*, *mean shape* and an elastic network.

Writes one JSON file with every number and prints the tables of a model card; ``--tables`` adds CSV,
Markdown and a picture::

    python scripts/evaluate.py --data ../shared/data/protein_md --json scores.json --tables scores
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from moedsr_core.data.ensemble import Ensemble
from moedsr_core.data.splits import load_part, read_split
from moedsr_core.devices import choose_device
from moedsr_core.errors import CancelledError, InputError, MoedsrError
from moedsr_core.evaluation import EvaluateOptions, Evaluation, evaluate
from moedsr_core.evaluation.plot import picture
from moedsr_core.evaluation.summary import Summary
from moedsr_core.files import refuse_unwritable, whole_file, whole_folder
from moedsr_core.models.registry import load_model

SPLIT = Path(__file__).with_name("protein_md.json")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure a model on held-out trajectories."""

    data: Path
    """Folder that holds one folder per trajectory, each with top.pdb and traj.xtc."""
    json: Path = Path("scores.json")
    """Where every number is written."""
    tables: Path | None = None
    """Folder for summary.csv, proteins.csv, per_frame.csv, summary.md and summary.png."""
    model: str = "default"
    """Name of a model, or a folder with weights."""
    split: Path = SPLIT
    """Which trajectories are for what."""
    part: str = "test"
    """train, validation or test."""
    threads: int = 2
    """Processor threads."""
    options: tyro.conf.OmitArgPrefixes[EvaluateOptions] = field(
        default_factory=lambda: EvaluateOptions(frames=20)
    )
    """How to measure."""


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    console = Console(stderr=True)
    try:
        arguments = tyro.cli(Arguments, args=argv, description=__doc__)
        torch.set_num_threads(arguments.threads)
        refuse_unwritable(arguments.json)
        summary = Summary(tuple(_measure(arguments, console)))
        write(summary, arguments)
    except MoedsrError as error:
        console.print(f"[red]{error}[/red]")
        return error.exit_code
    except KeyboardInterrupt:
        console.print("stopped; nothing was kept")
        return CancelledError.exit_code
    print(summary.markdown())
    return 0


def _measure(arguments: Arguments, console: Console) -> Iterator[Evaluation]:
    loaded = load_model(arguments.model, choose_device(arguments.options.device))
    split = read_split(arguments.split)
    ensembles = load_part(split, arguments.part, arguments.data)
    if not ensembles:
        raise InputError(f"{arguments.split} lists nothing under {arguments.part}")
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        for done, ensemble in enumerate(ensembles.values()):
            title = f"{ensemble.name} ({done + 1} of {len(ensembles)})"
            task = bar.add_task(title, total=None)
            yield _one(ensemble, loaded, arguments.options, bar, task, title)


def _one(ensemble: Ensemble, loaded, options, bar, task, title) -> Evaluation:
    def tell(stage: str, step: int, total: int) -> None:
        bar.update(task, description=f"{title}: {stage}", completed=step, total=total)

    return evaluate(ensemble, loaded, options, tell)


def write(summary: Summary, arguments: Arguments) -> None:
    """Write every number, and the tables where they are asked for."""
    scores = {e.name: e.to_dict() for e in summary.evaluations}
    if arguments.tables is not None:
        with whole_folder(arguments.tables) as folder:
            texts = {
                "summary.csv": summary.csv(),
                "proteins.csv": summary.proteins_csv(),
                "per_frame.csv": per_frame(summary),
                "summary.md": summary.markdown() + "\n",
            }
            for name, text in texts.items():
                (folder / name).write_text(text, encoding="utf-8", newline="\n")
            (folder / "summary.png").write_bytes(picture(summary))
    with whole_file(arguments.json) as file:
        file.write(json.dumps(scores, indent=1, allow_nan=False).encode())


def per_frame(summary: Summary) -> str:
    """The frames of all proteins under one header."""
    header, *_ = summary.evaluations[0].per_frame_csv().splitlines()
    rows = [line for e in summary.evaluations for line in e.per_frame_csv().splitlines()[1:]]
    return "\n".join([header, *rows, ""])


if __name__ == "__main__":
    sys.exit(main())
