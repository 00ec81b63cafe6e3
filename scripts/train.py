"""Train a model on trajectories: ``dsr``, ``moedsr`` or ``moedsr-anchored``, the default.

Stopped at any moment, the same command goes on from the last checkpoint::

    python scripts/train.py moedsr-anchored --data ../shared/data/protein_md --out runs/anchored
    torchrun --nproc-per-node 4 scripts/train.py moedsr --data ATLAS --out runs/moedsr
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import torch
import tyro
from rich.console import Console
from rich.progress import track as rich_track

from moedsr_core.data.splits import read_split
from moedsr_core.errors import InputError
from moedsr_core.terminal import exit_code, progress
from moedsr_core.training.presets import PRESETS, preset_from_json, preset_to_json
from moedsr_core.training.run import run_training
from moedsr_core.training.sources import Sources, chosen
from moedsr_core.training.world import World, join

SPLIT = Path(__file__).with_name("protein_md.json")
DEFAULT = "moedsr-anchored"
C = TypeVar("C")


@dataclass(frozen=True, kw_only=True)
class Arguments(Generic[C]):
    """Train one model."""

    train: Annotated[C, tyro.conf.arg(name="")]
    """Everything that decides the result."""
    data: tuple[Path, ...] = ()
    """Folders that hold one folder per protein: NAME.pdb with NAME_R1.xtc …, or top.pdb with
    traj.xtc; for dsr and moedsr also prepared surfaces NAME.h5 or NAME_R1.h5 …"""
    out: Path | None = None
    """Run folder: configuration, log, checkpoints, weights. By default runs/PRESET."""
    split: Path = SPLIT
    """Which proteins are for what; a protein's replicates stay together."""
    names: tuple[str, ...] = ()
    """Train on these proteins alone instead of the split."""
    config: Path | None = None
    """JSON file with the configuration; what is given here besides goes before it."""
    print_config: bool = False
    """Print the whole configuration as JSON and stop."""
    device: str = "auto"
    """auto, cpu, mps, cuda or cuda:N."""
    threads: int = 2
    """Processor threads of each process."""


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    stopped = "stopped; the same command goes on from the last checkpoint"
    return exit_code(lambda console: _run(argv, console), stopped)


def _run(argv: list[str], console: Console) -> None:
    preset, arguments = parse(argv)
    if arguments.print_config:
        print(preset_to_json(preset, arguments.train))
        return
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore", module="mdtraj")
    with join(arguments.device) as world:
        run(preset, arguments, world, console)


def parse(argv: list[str]) -> tuple[str, Arguments]:
    """Preset and arguments of a command line.

    Raises:
        InputError: If the configuration file cannot be used.
    """
    preset, rest = DEFAULT, argv
    if argv and argv[0] in PRESETS:
        preset, rest = argv[0], argv[1:]
    elif argv and not argv[0].startswith("-"):
        raise InputError(f"unknown preset {argv[0]!r}; choose from {', '.join(PRESETS)}")
    config: Any = PRESETS[preset].config
    file = _option(rest, "--config")
    default = preset_from_json(preset, Path(file)) if file else config()
    arguments = tyro.cli(
        Arguments[config],
        args=rest,
        prog=f"train.py {preset}",
        description=f"{__doc__}\n{config.__doc__}",
        default=Arguments(train=default),
    )
    return preset, arguments


def run(preset: str, arguments: Arguments, world: World, console: Console) -> None:
    """Train, and write the weights."""
    if not arguments.data:
        raise InputError("training needs a folder with trajectories; give --data")
    out = arguments.out or Path("runs") / preset
    quiet = console if world.writes else Console(quiet=True)
    sources = Sources(
        arguments.data, chosen(read_split(arguments.split), arguments.names), out / "samples",
        track=lambda items: rich_track(items, description="trajectories", console=quiet),
    )  # fmt: skip
    with progress(quiet) as bars:
        bar = bars.add_task("steps", total=None, visible=False)
        run_training(
            preset, arguments.train, sources, out,
            world=world,
            report=lambda row: bars.console.print(line(row)),
            tick=lambda done, steps: bars.update(bar, completed=done, total=steps, visible=True),
        )  # fmt: skip
    quiet.print(f"weights are in {out / 'weights'}")


def line(row: dict[str, Any]) -> str:
    """A line of the log for a human eye."""
    hidden = ("step", "seconds", "seconds_left", "epoch", "learning_rate")
    figures = "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k not in hidden)
    return f"step {row['step']}  {figures}  {row['seconds_left'] / 60:.0f} min left"


def _option(argv: list[str], name: str) -> str | None:
    """Value of an option, before the command line is parsed."""
    for k, word in enumerate(argv):
        if word == name and k + 1 < len(argv):
            return argv[k + 1]
        if word.startswith(f"{name}="):
            return word.split("=", 1)[1]
    return None


if __name__ == "__main__":
    sys.exit(main())
