"""Where the trajectories of a protein lie in its folder.

Three layouts are known. ATLAS (Vander Meersche et al. 2024, doi:10.1093/nar/gkad1084)::

    NAME/NAME.pdb    NAME/NAME_R1.xtc    NAME/NAME_R2.xtc    NAME/NAME_R3.xtc

the same with ``NAME_prod_R1_fit.xtc`` … (its earlier archives), and the plain one, of one
trajectory::

    NAME/top.pdb     NAME/traj.xtc
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from moedsr_core.errors import InputError

_REPLICATE = re.compile(r"_(?:prod_)?(R\d+)(?:_fit)?\.xtc")


@dataclass(frozen=True)
class TrajectoryFiles:
    """One trajectory of one protein.

    Attributes:
        name: Protein: its folder's name.
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

    @property
    def are_there(self) -> bool:
        """Whether both files exist."""
        return self.topology.is_file() and self.trajectory.is_file()


Folders = str | Path | Sequence[str | Path]
"""One folder that holds one folder per protein, or several."""


def home_of(folders: Folders, name: str) -> Path:
    """Folder of a protein, in the one of several folders that holds it.

    Raises:
        InputError: If several hold a protein of that name, or none does; whether one folder alone
            holds it is for its reader to say.
    """
    places = [Path(one) for one in ([folders] if isinstance(folders, str | Path) else folders)]
    homes = [one / name for one in places if (one / name).exists() or stores_of(one / name)]
    if len(homes) > 1:
        raise InputError(f"{homes[0]} and {homes[1]} have the same name; rename one of them")
    if homes or len(places) == 1:
        return (homes or [places[0] / name])[0]
    raise InputError(f"none of {', '.join(map(str, places))} holds {name}; check the paths")


def stores_of(home: Path) -> list[Path]:
    """Prepared surfaces beside a protein's folder: NAME.h5 or NAME_R1.h5 …."""
    pattern = re.compile(re.escape(home.name) + r"(_R\d+)?")
    return [path for path in sorted(home.parent.glob("*.h5")) if pattern.fullmatch(path.stem)]


def find_trajectories(
    home: str | Path, replicates: Sequence[str] | None = None
) -> list[TrajectoryFiles]:
    """All trajectories of a protein, each for itself.

    Args:
        home: The protein's own folder.
        replicates: Which to take, where the layout has any; all by default.

    Raises:
        InputError: If there is no folder, it is of no known layout, or it lacks a replicate that
            was asked for.
    """
    home = Path(home)
    if not home.is_dir():
        raise InputError(f"there is no folder {home}; check the path")
    plain, *runs = layouts(home)
    if plain.are_there:
        return [plain]
    found = {str(files.replicate): files for files in runs if files.are_there}
    if not found:
        raise InputError(
            f"{home} holds neither {plain.name}.pdb with {plain.name}_R1.xtc … (the layout of "
            "ATLAS) nor top.pdb with traj.xtc; name its files so"
        )
    missing = [replicate for replicate in replicates or () if replicate not in found]
    if missing:
        raise InputError(f"{home} holds replicates {', '.join(found)}, not {', '.join(missing)}")
    return [files for replicate, files in found.items() if replicate in (replicates or found)]


def layouts(home: Path) -> list[TrajectoryFiles]:
    """What the files of a folder are called in the plain layout, then replicates in that of ATLAS.

    Not all of them need be there; of the replicates, the first is named even where there is none.
    """
    name = Path(os.path.abspath(home)).name
    runs = _replicates(home, name) or {"R1": home / f"{name}_R1.xtc"}
    topology = home / f"{name}.pdb"
    plain = TrajectoryFiles(name, None, home / "top.pdb", home / "traj.xtc")
    return [plain, *(TrajectoryFiles(name, k, topology, path) for k, path in runs.items())]


def _replicates(home: Path, name: str) -> dict[str, Path]:
    """Trajectory of each replicate; where a file is there under both names, the newer name's."""
    paths = sorted(home.glob("*.xtc"), key=lambda path: len(path.name), reverse=True)
    named = [(replicate_of(path.name, name), path) for path in paths]
    found = {replicate: path for replicate, path in named if replicate}
    return {label: found[label] for label in sorted(found, key=lambda label: int(label[1:]))}


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
    homes = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    names = [home.name for home in homes if any(files.are_there for files in layouts(home))]
    if not names:
        raise InputError(f"no folder in {folder} holds NAME.pdb with NAME_R*.xtc or top.pdb")
    return names


def once_each(names: Iterable[str]) -> list[str]:
    """Names in their order, without repeats."""
    return list(dict.fromkeys(names))
