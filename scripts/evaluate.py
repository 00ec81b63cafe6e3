"""Measure a model on held-out trajectories, beside *static* and *mean shape*.

Writes one JSON file with every number and prints the tables of a model card::

    python scripts/evaluate.py --data ../shared/data/protein_md --json scores.json
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console

from moedsr_core.data.splits import load_part, read_split
from moedsr_core.errors import InputError, MoedsrError
from moedsr_core.evaluation import evaluate
from moedsr_core.files import whole_file
from moedsr_core.models.registry import load_model

SPLIT = Path(__file__).with_name("protein_md.json")
CONTENDERS = ("static", "mean_shape", "typical", "drawn")
SHAPE = ("iou", "chamfer_A", "nc_signed", "chamfer_paper", "nc_abs", "hausdorff_A")
MOTION = ("frame0_iou", "gap_closed", "displacement_r", "rmsf_r", "rmsf_ratio")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure a model on held-out trajectories."""

    data: Path
    """Folder that holds one folder per trajectory, each with top.pdb and traj.xtc."""
    json: Path = Path("scores.json")
    """Where every number is written."""
    model: str = "default"
    """Name of a model, or a folder with weights."""
    split: Path = SPLIT
    """Which trajectories are for what."""
    part: str = "test"
    """train, validation or test."""
    frames: int = 8
    """Frames of each trajectory compared with."""
    spacing: float = 1.0
    """Grid on which volumes and meshes are compared [Å]."""
    threads: int = 2
    """Processor threads."""


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    arguments = tyro.cli(Arguments, args=argv, description=__doc__)
    console = Console(stderr=True)
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore", module="mdtraj")
    scores: dict[str, dict[str, dict[str, float]]] = {}
    try:
        loaded = load_model(arguments.model)
        ensembles = load_part(read_split(arguments.split), arguments.part, arguments.data)
        if not ensembles:
            raise InputError(f"{arguments.split} lists nothing under {arguments.part}")
        for done, (name, ensemble) in enumerate(ensembles.items()):
            console.print(f"{name} ({done + 1} of {len(ensembles)})")
            scores[name] = evaluate(
                ensemble, loaded, n_frames=arguments.frames, spacing=arguments.spacing
            )
        with whole_file(arguments.json) as file:
            file.write(json.dumps(scores, indent=1).encode())
    except MoedsrError as error:
        console.print(f"[red]{error}[/red]")
        return error.exit_code
    print(tables(scores))
    return 0


def tables(scores: dict[str, dict[str, dict[str, float]]]) -> str:
    """Markdown tables of shapes and of motion, a row a protein."""
    blocks = [
        _table(
            metric,
            CONTENDERS,
            {name: [row[who][metric] for who in CONTENDERS] for name, row in scores.items()},
        )
        for metric in SHAPE
    ]
    motion = {name: [row["motion"][m] for m in MOTION] for name, row in scores.items()}
    return "\n\n".join([*blocks, _table("motion", MOTION, motion)])


def _table(title: str, columns: tuple[str, ...], rows: dict[str, list[float]]) -> str:
    mean = [sum(column) / len(rows) for column in zip(*rows.values(), strict=True)]
    lines = [f"| {title} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, values in {**rows, "mean": mean}.items():
        lines.append(f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
