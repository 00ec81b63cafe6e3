"""Simulate proteins with OpenMM (amber14, implicit water GBn2), as trajectories to train on.

Each structure becomes a folder in ATLAS's layout, which the other scripts read. Stopped or killed
at any moment, the same command goes on where it was::

    python scripts/simulate.py --structures 1ubq.pdb --out data/simulated --length-ns 1
    python scripts/simulate.py --structures ../shared/data/structures --out data/simulated \
        --heavy-atoms --jobs 4
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from moedsr_core.choices import check_number
from moedsr_core.files import writing
from moedsr_core.simulation.options import LimitConfig, SimulationConfig
from moedsr_core.simulation.places import Place, places
from moedsr_core.simulation.run import Result, simulate
from moedsr_core.simulation.sources import proteins
from moedsr_core.simulation.summary import SUMMARY, write_summary
from moedsr_core.terminal import exit_code, outcome
from moedsr_core.wording import counted


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Simulate proteins."""

    structures: tuple[Path, ...]
    """PDB or mmCIF files, or folders that hold them."""
    out: Path = Path("data/simulated")
    """Folder for the proteins' folders and summary.csv."""
    run: Annotated[SimulationConfig, tyro.conf.arg(name="")] = field(
        default_factory=SimulationConfig
    )
    """How long and how."""
    limits: LimitConfig = field(default_factory=LimitConfig)
    """From where on a run is said to unfold; it is kept all the same."""
    platform: Literal["auto", "CUDA", "HIP", "OpenCL", "CPU", "Reference"] = "auto"
    """OpenMM's platform; by default a GPU where there is one."""
    devices: tuple[int, ...] = ()
    """GPUs to use, by number; all by default."""
    jobs: int | None = None
    """Processes side by side; by default one for each GPU, or for each processor core. A small
    protein leaves much of a GPU idle: two to four processes share one well."""
    together: int = 1
    """Replicates that each process moves at once, in one system, where they are not aware of each
    other. For GPUs, which are quicker with many atoms."""


class Board:
    """Shows what is done and what is left; a line for each protein, also where nobody watches."""

    def __init__(self, console: Console, count: int, config: SimulationConfig) -> None:
        self._console, self._count, self._config = console, count, config
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"),
            console=console, transient=True,
        )  # fmt: skip
        self._bar = self._bars.add_task("simulating", total=count * self._per_protein, state="")
        self._frames: dict[str, int] = {}
        self._settled: set[str] = set()
        self._start, self._made_ns = time.monotonic(), 0.0

    def __enter__(self) -> Board:
        """Begin to show."""
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the lines."""
        self._bars.stop()

    def planned(self, label: str, frames: int) -> None:
        """A replicate is to be run."""
        self._show()

    def advanced(self, label: str, frames: int, pace: float) -> None:
        """A replicate has so many frames, the last of which was just made."""
        self._frames[label] = frames
        self._made_ns += self._config.spacing_ps / 1000 if pace else 0.0
        self._show()

    def finished(self, name: str, record: dict, was_there: bool) -> None:
        """A protein's folder is whole."""
        self._settled.add(name)
        news = "was there" if was_there else _news(record)
        done = f"{len(self._settled)} of {self._count} done"
        self._line(f"{escape(name)}: {news}; {done}, {self._state()}")

    def failed(self, name: str, reason: str) -> None:
        """A protein was given up."""
        self._settled.add(name)
        self._line(f"[red]{escape(name)}: {escape(reason)}[/red]")

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)
        self._show()

    @property
    def _per_protein(self) -> float:
        return self._config.replicates * self._config.length_ns

    def _done_ns(self) -> float:
        """What is made, with all that was made before; what was given up counts as done."""
        frames = sum(
            count - 1
            for label, count in self._frames.items()
            if label.rpartition("_R")[0] not in self._settled
        )
        return len(self._settled) * self._per_protein + frames * self._config.spacing_ps / 1000

    def _state(self) -> str:
        pace = self._made_ns * 86400 / max(1e-9, time.monotonic() - self._start)
        if not pace:
            return "time left not known yet"
        hours = max(0.0, self._count * self._per_protein - self._done_ns()) / pace * 24
        left = f"{hours:.1f} h" if hours >= 2 else f"{60 * hours:.0f} min"
        return f"{pace:.1f} ns/day, about {left} left"

    def _show(self) -> None:
        done = self._done_ns()
        self._bars.update(self._bar, completed=done, state=f"{done:.3g} ns, {self._state()}")


def _news(record: dict) -> str:
    """What is to be known of a protein that was just made."""
    runs = record["replicates"]
    far = max(run["rmsd_largest"] for run in runs)
    said = [f"{run['replicate']}: {note}" for run in runs for note in run["notes"]]
    text = f"{counted(len(runs), 'replicate')}, Cα RMSD up to {far:.1f} Å"
    return escape("; ".join([text, *record["notes"], *said]))


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    return exit_code(partial(_run, argv), "stopped; the same command goes on from here")


def _run(argv: list[str] | None, console: Console) -> int:
    arguments = tyro.cli(Arguments, args=argv, description=__doc__)
    config, limits, out = arguments.run, arguments.limits, arguments.out
    these = proteins(arguments.structures, out, config)
    check_number("together", arguments.together, 1, 10**6, whole=True)
    where = places(arguments.platform, arguments.devices, arguments.jobs)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    console.print(_plan(len(these), config, where), soft_wrap=True, highlight=False)
    with Board(console, len(these), config) as board:
        result = simulate(these, limits, where, board, arguments.together)
    write_summary(result, limits, out)
    print(_summary(result, out))
    return 1 if result.failures else 0


def _plan(count: int, config: SimulationConfig, where: list[Place]) -> str:
    return (
        f"{counted(count, 'structure')}, {counted(config.replicates, 'replicate')} of "
        f"{config.length_ns:g} ns each, {counted(len(where), 'process', 'processes')} on "
        f"{where[0].platform}"
    )


def _summary(result: Result, out: Path) -> str:
    files = [path for name in result.records for path in (out / name).iterdir()]
    size = sum(path.stat().st_size for path in files) / 1e6
    made = f"{counted(len(result.records), 'protein')}, {size:.1f} MB; see {out / SUMMARY}"
    return outcome(made, result.failures)


if __name__ == "__main__":
    sys.exit(main())
