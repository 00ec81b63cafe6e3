"""Random search over the hyper-parameters of MoE-DSR (its Table 2), then three runs of the best.

Stopped at any moment, the same command goes on where it was::

    python scripts/search.py --data ATLAS --out runs/search --search.trials 20 --run.steps 20000
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console

from moedsr_core.data.splits import read_split
from moedsr_core.devices import choose_device
from moedsr_core.models.moedsr import MoEDSRConfig
from moedsr_core.terminal import exit_code
from moedsr_core.training.presets import MoEDSRTraining
from moedsr_core.training.run import run_training
from moedsr_core.training.search import SearchConfig, search, write_tables
from moedsr_core.training.sources import Sources, chosen
from moedsr_core.training.world import World

SPLIT = Path(__file__).with_name("protein_md.json")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Search for the best configuration of `moedsr`."""

    data: tuple[Path, ...]
    """Folders that hold one folder per protein, or prepared surfaces NAME.h5."""
    out: Path = Path("runs/search")
    """Folder of the study, its run folders and its tables."""
    split: Path = SPLIT
    """Which proteins are for what; the validation part decides."""
    names: tuple[str, ...] = ()
    """Train on these proteins alone instead of the split."""
    device: str = "auto"
    """auto, cpu, mps, cuda or cuda:N."""
    threads: int = 2
    """Processor threads."""
    search: SearchConfig = field(default_factory=SearchConfig)
    """How many trials and repeats."""
    train: Annotated[MoEDSRTraining, tyro.conf.arg(name="")] = field(default_factory=MoEDSRTraining)
    """What is not searched for."""


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    arguments = tyro.cli(Arguments, args=argv, description=__doc__)
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore", module="mdtraj")
    return exit_code(partial(_run, arguments), "stopped; the same command goes on")


def _run(arguments: Arguments, console: Console) -> None:
    result = search(
        arguments.train.model, arguments.search, arguments.out,
        partial(score, arguments, console),
        report=lambda k, values, value: console.print(f"trial {k}: {value:.4f} with {values}"),
    )  # fmt: skip
    write_tables(result, arguments.out)
    console.print(f"best, trial {result.best}: {result.mean:.4f} ± {result.deviation:.4f}")
    console.print(f"tables are in {arguments.out}")


def score(
    arguments: Arguments, console: Console, model: MoEDSRConfig, seed: int, folder: Path
) -> float:
    """Best validation score of one training."""
    config = replace(arguments.train, model=model, run=replace(arguments.train.run, seed=seed))
    split = chosen(read_split(arguments.split), arguments.names)
    sources = Sources(arguments.data, split, folder / "samples")
    with console.status(folder.name) as status:
        scores = run_training(
            "moedsr", config, sources, folder,
            world=World(device=choose_device(arguments.device)),
            tick=lambda done, steps: status.update(f"{folder.name}: step {done} of {steps}"),
        )  # fmt: skip
    return scores["iou"]


if __name__ == "__main__":
    sys.exit(main())
