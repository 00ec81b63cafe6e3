"""The tables and pictures of the DSR paper, for a `dsr` that scripts/train.py has trained.

Each command writes CSV, Markdown and a plot into a folder, whole or not at all::

    python scripts/dsr_tables.py tables --run runs/dims --data DATA --out runs/dims/tables
    python scripts/dsr_tables.py rmsd --tables runs/dims/tables --out runs/dims/rmsd
    python scripts/dsr_tables.py levelsets --run runs/dims --data DATA --out runs/dims/levelsets
    python scripts/dsr_tables.py resolutions --run runs/dims --data DATA --out runs/dims/resolutions
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from moedsr_core.devices import choose_device
from moedsr_core.errors import CancelledError, InputError, MoedsrError
from moedsr_core.reports.dsr_report import read_frames, rmsd_report, tables_report
from moedsr_core.reports.dsr_tables import TableOptions, measure
from moedsr_core.reports.pictures import GRIDS, LEVELS, levelsets, resolutions
from moedsr_core.reports.report import Report, figure
from moedsr_core.reports.trained_path import TrainedPath, open_run

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Where the model and its trajectory are."""

    run: Path
    """Run folder of a trained dsr, or the folder weights in it."""
    data: Path
    """Folder that holds one folder per trajectory, each with top.pdb and traj.xtc."""
    out: Path
    """Folder for the tables and the plot."""
    device: str = "auto"
    """Where the network runs: auto, cpu, mps, cuda or cuda:N."""
    threads: int = 2
    """Processor threads."""

    def open(self, names: tuple[str, ...]) -> list[TrainedPath]:
        """The trajectories with their model."""
        torch.set_num_threads(self.threads)
        return open_run(self.run, self.data, names, choose_device(self.device))


@dataclass(frozen=True, kw_only=True)
class Tables(Trained):
    """Tables 1, 2, 4 and 5: reconstruction, future, interpolation, linear interpolation."""

    names: tuple[str, ...] = ()
    """Only these trajectories; all that were trained on by default."""
    options: tyro.conf.OmitArgPrefixes[TableOptions] = field(default_factory=TableOptions)
    """What is measured, and how finely."""

    def report(self, tell: Tell) -> Report:
        """Measure every frame."""
        paths = self.open(self.names)
        rows = [row for path in paths for row in measure(path, self.options, tell)]
        return tables_report(paths, rows, self.options)


@dataclass(frozen=True, kw_only=True)
class Rmsd:
    """Fig. 5: metrics against RMSD, from tables of one run or of several."""

    tables: tuple[Path, ...]
    """Folders that the tables were written to."""
    out: Path
    """Folder for the correlations and the plot."""
    against: str = "nearest"
    """Cα RMSD to the nearest training frame, or with previous to the frame before, as the paper."""
    contender: str = "dsr"
    """Whose scores: dsr, linear, nearest, first, last or exact."""

    def report(self, tell: Tell) -> Report:
        """Read the tables."""
        return rmsd_report(read_frames(self.tables), self.against, self.contender)


@dataclass(frozen=True, kw_only=True)
class OneFrame(Trained):
    """One frame of one trajectory."""

    name: str = ""
    """The trajectory; may be left out where the model was trained on one."""
    frame: int = 0
    """Its number."""

    def path(self) -> TrainedPath:
        """The trajectory with its model."""
        paths = self.open((self.name,) if self.name else ())
        if len(paths) > 1:
            names = ", ".join(path.ensemble.name for path in paths)
            raise InputError(f"this model was trained on {names}; choose one of them with --name")
        return paths[0]


@dataclass(frozen=True, kw_only=True)
class Levelsets(OneFrame):
    """Fig. 4a: several level sets of one frame."""

    levels: tuple[float, ...] = LEVELS
    """In units of Ω."""
    grid: int = 64
    """Grid nodes along each edge of Ω."""

    def report(self, tell: Tell) -> Report:
        """Mesh and draw every level."""
        return levelsets(self.path(), self.frame, self.levels, self.grid, tell)


@dataclass(frozen=True, kw_only=True)
class Resolutions(OneFrame):
    """Fig. 4b: one frame at several resolutions, measured alike."""

    grids: tuple[int, ...] = GRIDS
    """Grid nodes along each edge of Ω."""
    options: tyro.conf.OmitArgPrefixes[TableOptions] = field(default_factory=TableOptions)
    """How to measure; grid is that of the metrics."""

    def report(self, tell: Tell) -> Report:
        """Mesh, measure and draw every grid."""
        return resolutions(self.path(), self.frame, self.grids, self.options, tell)


COMMANDS = {"tables": Tables, "rmsd": Rmsd, "levelsets": Levelsets, "resolutions": Resolutions}


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    console = Console(stderr=True)
    try:
        arguments = tyro.extras.subcommand_cli_from_dict(
            COMMANDS, args=argv, description=__doc__, prog="dsr_tables.py"
        )
        figure(1, 1)
        report = _watched(arguments, console)
        report.write(arguments.out)
    except MoedsrError as error:
        console.print(f"[red]{error}[/red]")
        return error.exit_code
    except KeyboardInterrupt:
        console.print("stopped; nothing was kept")
        return CancelledError.exit_code
    print(report.markdown)
    return 0


def _watched(arguments: Tables | Rmsd | Levelsets | Resolutions, console: Console) -> Report:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("reading", total=None)
        return arguments.report(
            lambda what, done, total: bar.update(
                task, description=what, completed=done, total=total
            )
        )


if __name__ == "__main__":
    sys.exit(main())
