"""Where the trajectories of a protein lie in its folder.

Known layouts: ``NAME/NAME.pdb`` with ``NAME_R1.xtc``, ``NAME_R2.xtc`` … (ATLAS), the same with
``NAME_prod_R1_fit.xtc`` … (ATLAS before 2024), and ``NAME/top.pdb`` with ``traj.xtc``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from moedsr_core.errors import InputError

_REPLICATE = re.compile(r"_(?:prod_)?(R\d+)(?:_fit)?\.xtc$")


@dataclass(frozen=True)
class TrajectoryFiles:
    """One trajectory of one protein.

    Attributes:
        name: Protein.
        replicate: ``R1``, ``R2`` …; None where the layout knows no replicates.
        topology: Structure file that names the atoms.
        trajectory: Frames.
    """

    name: str
    replicate: str | None
    topology: Path
    trajectory: Path

    @property
    def label(self) -> str:
        """Name for files and messages: ``1k5n_A_R1``."""
        return f"{self.name}_{self.replicate}" if self.replicate else self.name


def find_trajectories(
    folder: Path, name: str, replicates: Sequence[str] | None = None
) -> list[TrajectoryFiles]:
    """All trajectories of a protein, each for itself.

    Args:
        folder: Holds the protein's own folder.
        name: Protein, and its folder.
        replicates: Which to take; all by default.

    Raises:
        InputError: If the folder is of no known layout, or lacks a replicate that was asked for.
    """
    home = folder / name
    plain = TrajectoryFiles(name, None, home / "top.pdb", home / "traj.xtc")
    if plain.topology.is_file() and plain.trajectory.is_file():
        return [plain]
    topology = home / f"{name}.pdb"
    found = _replicates(home, name) if topology.is_file() else {}
    if not found:
        raise InputError(
            f"{home} holds neither {name}.pdb with {name}_R*.xtc nor top.pdb with traj.xtc; "
            "give the folder that holds the proteins' folders"
        )
    missing = sorted(set(replicates or ()) - set(found))
    if missing:
        raise InputError(
            f"{home} holds replicates {', '.join(sorted(found))}, not {', '.join(missing)}"
        )
    return [
        TrajectoryFiles(name, replicate, topology, found[replicate])
        for replicate in sorted(replicates or found)
    ]


def _replicates(home: Path, name: str) -> dict[str, Path]:
    """Trajectory of each replicate; where a file is there under both names, the newer name's."""
    paths = sorted(home.glob("*.xtc"))
    named = [(replicate_of(path.name, name), path) for path in paths]
    return {replicate: path for replicate, path in named if replicate}


def replicate_of(file_name: str, name: str) -> str | None:
    """``R1`` for ``NAME_R1.xtc`` and ``NAME_prod_R1_fit.xtc``; None for other files."""
    if not file_name.startswith(name):
        return None
    matched = _REPLICATE.fullmatch(file_name.removeprefix(name))
    return matched[1] if matched else None


def proteins_in(folder: Path) -> list[str]:
    """Names of all folders that hold trajectories of a known layout, sorted.

    Raises:
        InputError: If there is no such folder, or none in it.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give the one that holds the proteins")
    names = [path.name for path in sorted(folder.iterdir()) if _has_trajectories(path)]
    if not names:
        raise InputError(f"no folder in {folder} holds NAME.pdb with NAME_R*.xtc or top.pdb")
    return names


def _has_trajectories(home: Path) -> bool:
    if (home / "top.pdb").is_file() and (home / "traj.xtc").is_file():
        return True
    return (home / f"{home.name}.pdb").is_file() and bool(_replicates(home, home.name))


def once_each(names: Iterable[str]) -> list[str]:
    """Names in their order, without repeats."""
    return list(dict.fromkeys(names))
