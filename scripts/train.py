"""Train `moedsr-anchored` on molecular-dynamics trajectories.

Measures the surfaces of the trajectories once, trains, and writes the weights with the best
validation score. Stopped at any moment, the same command goes on from the last checkpoint::

    python scripts/train.py --data ../shared/data/protein_md --out runs/anchored
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.progress import track

from moedsr_core.data.samples import MotionSample, SampleConfig, prepare_samples
from moedsr_core.data.splits import read_split
from moedsr_core.errors import MoedsrError
from moedsr_core.models.registry import save_model
from moedsr_core.training.loop import TrainConfig, TrainingProtein, train, training_protein

SPLIT = Path(__file__).with_name("protein_md.json")
SUMMARY = "input surface plus a mixture of experts for its motion, trained on molecular dynamics"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train moedsr-anchored."""

    data: Path
    """Folder that holds one folder per trajectory, each with top.pdb and traj.xtc."""
    out: Path = Path("runs/anchored")
    """Run folder: configuration, log, checkpoints, weights."""
    split: Path = SPLIT
    """Which trajectories are for what."""
    threads: int = 2
    """Processor threads."""
    samples: SampleConfig = field(default_factory=SampleConfig)
    """How trajectories are turned into samples."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """How the model is trained."""


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    arguments = tyro.cli(Arguments, args=argv, description=__doc__)
    console = Console(stderr=True)
    torch.set_num_threads(arguments.threads)
    try:
        split = read_split(arguments.split)
        parts = {
            part: _proteins(split[part], arguments, console) for part in ("train", "validation")
        }
        model = train(
            arguments.train,
            parts["train"],
            parts["validation"],
            arguments.out,
            report=lambda row: console.print(_line(row)),
        )
    except MoedsrError as error:
        console.print(f"[red]{error}[/red]")
        return error.exit_code
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from the last checkpoint")
        return 130
    save_model(
        arguments.out / "weights",
        model,
        architecture="moedsr-anchored",
        summary=SUMMARY,
        time=arguments.train.time,
    )
    console.print(f"weights are in {arguments.out / 'weights'}")
    return 0


def _proteins(entries: list[dict], arguments: Arguments, console: Console) -> list[TrainingProtein]:
    """Samples of one part of the split, measured where that has not been done."""
    proteins = []
    for entry in track(entries, description="surfaces", console=console):
        folder = arguments.data / entry["name"]
        paths = prepare_samples(
            folder / "top.pdb", folder / "traj.xtc", arguments.out / "samples",
            arguments.samples, name=entry["name"], spacing_ps=entry.get("spacing_ps"),
        )  # fmt: skip
        proteins += [
            training_protein(MotionSample.load(path), arguments.train.time) for path in paths
        ]
    return proteins


def _line(row: dict[str, Any]) -> str:
    return (
        f"step {row['step']:6d}  skill {row['skill']:.3f}  validation {row['val_skill']:.3f}  "
        f"of the mean {row['val_mean_skill']:.3f}  {row['seconds_left'] / 60:.0f} min left"
    )


if __name__ == "__main__":
    sys.exit(main())
