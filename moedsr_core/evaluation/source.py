"""Where the files of an ensemble lie."""

from __future__ import annotations

from pathlib import Path

from moedsr_core.data.trajectory_files import layouts
from moedsr_core.errors import InputError


def ensemble_files(
    folder: Path | None,
    topology: Path | None = None,
    trajectory: Path | None = None,
    replicate: int = 1,
    option: str = "--replicate",
) -> tuple[Path, Path]:
    """Topology and trajectory of an ensemble.

    Args:
        folder: NAME with NAME.pdb and NAME_R1.xtc, NAME_R2.xtc … as ATLAS lays them out, or with
            top.pdb and traj.xtc.
        topology: A file in place of the folder's topology.
        trajectory: A file in place of the folder's trajectory.
        replicate: Which of several runs, each of which starts anew.
        option: What chose it.

    Raises:
        InputError: If a file is missing, or neither folder nor files are given.
    """
    if topology is not None and trajectory is not None:
        return _present(topology), _present(trajectory)
    if folder is None:
        raise InputError("give --ensemble DIR, or both --topology and --trajectory")
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; --ensemble takes a folder")
    known = layouts(folder)
    for files in known:
        top, run = topology or files.topology, trajectory or files.trajectory
        if not (top.is_file() and run.is_file()):
            continue
        if files.replicate is None and replicate != 1:
            raise InputError(
                f"{folder} holds one trajectory, not R{replicate}; leave {option} away"
            )
        if files.replicate in (None, f"R{replicate}"):
            return top, run
    name = known[0].name
    found = sorted(path.name for path in folder.glob("*.xtc"))
    raise InputError(
        f"{folder} holds neither {name}.pdb with {name}_R{replicate}.xtc nor top.pdb with traj.xtc "
        f"(trajectories there: {', '.join(found) or 'none'}); name the files with --topology and "
        "--trajectory"
    )


def _present(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"there is no file {path}; check the path")
    return path
