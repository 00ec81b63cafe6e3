"""Turn trajectories into stores of surfaces, downloading them from ATLAS where they are not there.

By name, from a list, or all that a folder holds. Stopped or killed at any moment, the same command
goes on where it was::

    python scripts/prepare_atlas.py --names 1k5n_A 6irx_A --data data/atlas --out data/surfaces
    python scripts/prepare_atlas.py --list atlas.csv --discard --data data/atlas --out data/surfaces
    python scripts/prepare_atlas.py --data ../shared/data/protein_md --out data/surfaces --jobs 8
    python scripts/prepare_atlas.py --list atlas.csv --out data/surfaces --ray
"""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from moedsr_core.data.atlas import AtlasConfig, download, read_names, release
from moedsr_core.data.frame_surface import SurfaceConfig
from moedsr_core.data.plan import FrameConfig, Plan
from moedsr_core.data.pools import RayPool, local_pool
from moedsr_core.data.prepare import Result, prepare
from moedsr_core.data.trajectory_files import find_trajectories, once_each, proteins_in
from moedsr_core.errors import InputError
from moedsr_core.terminal import exit_code, outcome
from moedsr_core.wording import counted


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Prepare surfaces for training."""

    names: tuple[str, ...] = ()
    """Proteins; with --list, in addition to it. Without either, all in --data."""
    list: Path | None = None
    """List of proteins: a name a line, a table with a column `name`, or a split in JSON, which
    may give spacing_ps."""
    data: Path = Path("data/atlas")
    """Folder with one folder a protein: NAME.pdb with NAME_R1.xtc …, or top.pdb with traj.xtc.
    Proteins that are not there are downloaded into it."""
    out: Path = Path("data/surfaces")
    """Folder for the stores: NAME_R1.h5 …"""
    offline: bool = False
    """Never download; a protein that is not in --data is a failure."""
    discard: bool = False
    """Remove downloaded trajectories of a protein once its stores are whole."""
    jobs: int = os.cpu_count() or 1
    """Processes that measure frames on this machine."""
    ray: str | None = None
    """Use an existing Ray cluster instead: its address, or none for the one this machine is in."""
    spacing_ps: float | None = None
    """Time between frames [ps], for trajectories without usable time stamps."""
    frames: Annotated[FrameConfig, tyro.conf.arg(name="")] = field(default_factory=FrameConfig)
    """Which frames."""
    surfaces: Annotated[SurfaceConfig, tyro.conf.arg(name="")] = field(
        default_factory=SurfaceConfig
    )
    """How surfaces are made."""
    atlas: AtlasConfig = field(default_factory=AtlasConfig)
    """The web service."""


class Board:
    """Shows what is done and what is left; one line for each store, also where nobody watches.

    Args:
        console: Where to.
        stores: How many there will be, as far as that is known.
    """

    def __init__(self, console: Console, stores: int) -> None:
        self._console, self._stores = console, stores
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._frames = self._bars.add_task("frames", total=None, state="")
        self._load = self._bars.add_task("download", visible=False, state="")
        self._start, self._settled, self._done = time.monotonic(), 0, 0
        self._planned: dict[str, int] = {}

    def __enter__(self) -> Board:
        """Begin to show."""
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the lines."""
        self._bars.stop()

    def downloading(self, name: str, here: int, whole: int | None) -> None:
        """Bytes of a zip file that have arrived."""
        state = f"{here / 1e6:.1f} of {whole / 1e6:.1f} MB" if whole else f"{here / 1e6:.1f} MB"
        self._bars.update(
            self._load, description=name, completed=here, total=whole, state=state,
            visible=here != whole,
        )  # fmt: skip

    def planned(self, label: str, frames: int) -> None:
        """A trajectory was read."""
        self._planned[label] = frames
        self._show()

    def measured(self, label: str) -> None:
        """A frame is done."""
        self._done += 1
        self._show()

    def finished(self, path: Path, frames: int, seconds: float) -> None:
        """A store is whole."""
        self._settled += 1
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        news = f"{counted(frames, 'frame')} in {seconds:.0f} s" if frames else "was there"
        self._line(f"{path.name}: {news}, {size}; {self._left()}")
        self._show()

    def failed(self, label: str, reason: str) -> None:
        """A trajectory or protein was given up."""
        self._settled += 1
        self._line(f"[red]{escape(label)}: {escape(reason)}[/red]")

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)

    def _expected(self) -> int:
        """Frames to measure in all: the plans known, and their mean for the others."""
        known = sum(self._planned.values())
        others = max(0, self._stores - max(self._settled, len(self._planned)))
        return known + round(others * known / max(1, len(self._planned)))

    def _left(self) -> str:
        pace = (time.monotonic() - self._start) / max(1, self._done)
        minutes = (self._expected() - self._done) * pace / 60
        return f"{self._settled} of {self._stores} done, about {minutes:.0f} min left"

    def _show(self) -> None:
        expected = self._expected()
        state = f"{self._done} of {expected}"
        self._bars.update(self._frames, completed=self._done, total=expected, state=state)


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    given = with_address(sys.argv[1:] if argv is None else argv)
    arguments = tyro.cli(Arguments, args=given, description=__doc__)
    return exit_code(partial(_run, arguments), "stopped; the same command goes on from here")


def _run(arguments: Arguments, console: Console) -> int:
    plan = plan_of(arguments)
    with pool_of(arguments) as pool:
        result = _prepare(arguments, plan, pool, console)
    print(summary(result))
    return 1 if result.failures else 0


def with_address(argv: list[str]) -> list[str]:
    """Let ``--ray`` stand without an address, which then is the cluster this machine is in."""
    completed = []
    for word, following in zip(argv, [*argv[1:], "--"], strict=True):
        completed.append(word)
        if word == "--ray" and following.startswith("--"):
            completed.append("auto")
    return completed


def plan_of(arguments: Arguments) -> Plan:
    """Which proteins, and what with them.

    Raises:
        InputError: If none is named, a list cannot be read, or options contradict each other.
    """
    listed = read_names(arguments.list) if arguments.list else {}
    names = once_each([*arguments.names, *listed]) or proteins_in(arguments.data)
    odd = [name for name in names if Path(name).name != name or name in ("", ".", "..")]
    if odd:
        raise InputError(f"names must be names of folders, got {odd[0]!r}")
    spacings = {name: listed.get(name) or arguments.spacing_ps for name in names}
    return Plan(
        names=names,
        data=arguments.data,
        out=arguments.out,
        spacing_ps={name: spacing for name, spacing in spacings.items() if spacing},
        frames=arguments.frames,
        surfaces=arguments.surfaces,
    )


def pool_of(arguments: Arguments) -> Executor:
    """Where frames are measured."""
    return RayPool(arguments.ray) if arguments.ray else local_pool(arguments.jobs)


def _prepare(arguments: Arguments, plan: Plan, pool: Executor, console: Console) -> Result:
    jobs = pool.jobs if isinstance(pool, RayPool) else arguments.jobs
    with Board(console, _stores(plan)) as board:

        def fetch(name: str, stop: threading.Event) -> None:
            download(name, plan.data, arguments.atlas, board.downloading, stop)

        return prepare(
            plan,
            pool,
            jobs,
            board,
            fetch=None if arguments.offline else fetch,
            release=(lambda name: release(name, plan.data)) if arguments.discard else None,
        )


def _stores(plan: Plan) -> int:
    """How many stores there will be, as far as that is known: ATLAS has three replicates."""
    per_protein = len(plan.frames.replicates or "123")
    count = 0
    for name in plan.names:
        try:
            count += len(find_trajectories(plan.data / name, plan.frames.replicates))
        except InputError:
            count += per_protein
    return count


def summary(result: Result) -> str:
    """What was made, how large it is, and what failed and why."""
    size = sum(path.stat().st_size for path in result.stores) / 1e6
    return outcome(f"{counted(len(result.stores), 'store')}, {size:.1f} MB", result.failures)


if __name__ == "__main__":
    sys.exit(main())
