"""Measure a model on held-out trajectories, beside *static*, *mean shape* and an elastic network.

Writes one JSON file with every number and prints the tables of a model card; ``--tables`` adds CSV,
Markdown and a picture::

    python scripts/evaluate.py --data ../shared/data/protein_md --json scores.json --tables scores
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import Progress, TaskID

from moedsr_core.data.ensemble import Ensemble
from moedsr_core.data.splits import load_part, protein_of, read_split
from moedsr_core.errors import InputError
from moedsr_core.evaluation.local_trees import load_trees
from moedsr_core.evaluation.options import EvaluateOptions
from moedsr_core.evaluation.plot import picture
from moedsr_core.evaluation.result import Evaluation
from moedsr_core.evaluation.summary import Summary
from moedsr_core.files import refuse_unwritable, refuse_unwritable_folder, whole_file
from moedsr_core.report import Report
from moedsr_core.terminal import exit_code, progress

SPLIT = Path(__file__).with_name("protein_md.json")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure a model on held-out trajectories."""

    data: tuple[Path, ...]
    """Folders that hold one folder per protein: NAME.pdb with NAME_R1.xtc …, or top.pdb with
    traj.xtc."""
    json: Path = Path("scores.json")
    """Where every number is written."""
    tables: Path | None = None
    """Folder for summary.csv, proteins.csv, per_frame.csv, summary.md and summary.png."""
    model: str = "default"
    """Name of a model, or a folder with weights."""
    split: Path = SPLIT
    """Which proteins are for what."""
    part: str = "test"
    """train, validation or test."""
    threads: int = 2
    """Processor threads of the network."""
    jobs: int = 0
    """Processes that measure frames side by side; 0 means one for each processor."""
    trees: Path | None = None
    """Folder that scripts/local_trees.py wrote; its trees are measured as one more contender."""
    beside: bool = False
    """Also measure another run of each protein that has one, as ``replicate``: how well one
    simulation tells another, which is about as much as can be asked of a model."""
    options: tyro.conf.OmitArgPrefixes[EvaluateOptions] = field(
        default_factory=lambda: EvaluateOptions(frames=20)
    )
    """How to measure."""


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    return exit_code(lambda console: _run(argv, console), "stopped; nothing was kept")


def _run(argv: list[str] | None, console: Console) -> None:
    arguments = tyro.cli(Arguments, args=argv, description=__doc__)
    import torch  # not above, for processes that measure frames read this file and need no network

    torch.set_num_threads(arguments.threads)
    refuse_unwritable(arguments.json)
    if arguments.tables is not None:
        refuse_unwritable_folder(arguments.tables)
    summary = Summary(tuple(_measure(arguments, console)))
    write(summary, arguments)
    print(summary.markdown())


def _measure(arguments: Arguments, console: Console) -> Iterator[Evaluation]:
    from moedsr_core.devices import choose_device
    from moedsr_core.evaluation.evaluate import evaluate
    from moedsr_core.models.registry import load_model

    loaded = load_model(arguments.model, choose_device(arguments.options.device))
    trees = None if arguments.trees is None else load_trees(arguments.trees)
    split = read_split(arguments.split)
    ensembles = load_part(split, arguments.part, arguments.data)
    if not ensembles:
        raise InputError(f"{arguments.split} lists nothing under {arguments.part}")
    with progress(console) as bar:
        for done, ensemble in enumerate(ensembles.values()):
            title = f"{ensemble.name} ({done + 1} of {len(ensembles)})"
            task = bar.add_task(title, total=None)
            tell = _teller(bar, task, title)
            other = _another(ensemble, ensembles) if arguments.beside else None
            yield evaluate(ensemble, loaded, arguments.options, tell, arguments.jobs, trees, other)


def _another(ensemble: Ensemble, ensembles: dict[str, Ensemble]) -> Ensemble | None:
    """The next run of the same protein, the first one after the last; None where it has but one."""
    runs = [name for name in ensembles if protein_of(name) == protein_of(ensemble.name)]
    following = runs[(runs.index(ensemble.name) + 1) % len(runs)]
    return None if following == ensemble.name else ensembles[following]


def _teller(bar: Progress, task: TaskID, title: str) -> Callable[[str, int, int], None]:
    def tell(stage: str, step: int, total: int) -> None:
        bar.update(task, description=f"{title}: {stage}", completed=step, total=total)

    return tell


def write(summary: Summary, arguments: Arguments) -> None:
    """Write every number, and the tables where they are asked for."""
    scores = {e.name: e.to_dict() for e in summary.evaluations}
    with whole_file(arguments.json) as file:
        file.write(json.dumps(scores, indent=1, allow_nan=False).encode())
    if arguments.tables is not None:
        Report(
            name="summary",
            tables={
                "summary": summary.rows(),
                "proteins": summary.protein_rows(),
                "per_frame": [row for e in summary.evaluations for row in e.frame_rows()],
            },
            markdown=summary.markdown(),
            pictures={"summary": picture(summary)},
        ).write(arguments.tables)


if __name__ == "__main__":
    sys.exit(main())
