"""Grow the trees of the dull baseline ``local_trees`` on the training part of a split.

They go beside a model by ``--trees`` of ``moedsr evaluate`` and ``scripts/evaluate.py``::

    python scripts/local_trees.py --data ../shared/data/protein_md --out runs/trees
    python scripts/evaluate.py --data ../shared/data/protein_md --trees runs/trees
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from rich.console import Console

from moedsr_core.data.splits import read_split
from moedsr_core.errors import InputError
from moedsr_core.evaluation.local_trees import RECORD
from moedsr_core.terminal import exit_code, progress
from moedsr_core.training.local_trees import TreeConfig, grow_from_split

SPLIT = Path(__file__).with_name("protein_md.json")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Grow boosted trees on local features."""

    data: tuple[Path, ...]
    """Folders that hold one folder per protein: NAME.pdb with NAME_R1.xtc …, or top.pdb with
    traj.xtc."""
    out: Path
    """Folder for the trees."""
    samples: Path | None = None
    """Folder of what is measured, where it is not to be in --out. That of a training of
    moedsr-anchored, RUN/samples, serves with its --references 3 and --points 4000."""
    split: Path = SPLIT
    """Which proteins are for what."""
    config: tyro.conf.OmitArgPrefixes[TreeConfig] = field(default_factory=TreeConfig)
    """How."""


def main(argv: list[str] | None = None) -> int:
    """Run; returns the exit code."""
    return exit_code(lambda console: _run(argv, console), "stopped; what was measured is kept")


def _run(argv: list[str] | None, console: Console) -> None:
    arguments = tyro.cli(Arguments, args=argv, description=__doc__)
    if (arguments.out / RECORD).exists():
        raise InputError(f"{arguments.out} holds trees already; give another folder as --out")
    tasks: dict[str, int] = {}
    with progress(console) as bar:

        def tell(what: str, done: int, total: int) -> None:
            stage = what.split()[0] if what.startswith("measuring") else what
            if stage not in tasks:
                tasks[stage] = bar.add_task(what, total=total)
            bar.update(tasks[stage], description=what, completed=done, total=total)

        split, kept = read_split(arguments.split), arguments.samples or arguments.out / "samples"
        grow_from_split(split, arguments.data, arguments.out, kept, arguments.config, tell)
    print(arguments.out)


if __name__ == "__main__":
    sys.exit(main())
