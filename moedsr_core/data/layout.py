"""Where a protein's trajectories lie, and its replicates: kept apart, or joined on request.

Two layouts are known. ATLAS (Vander Meersche et al. 2024, doi:10.1093/nar/gkad1084)::

    NAME/NAME.pdb    NAME/NAME_R1.xtc    NAME/NAME_R2.xtc    NAME/NAME_R3.xtc

and the plain one, of one trajectory::

    NAME/top.pdb     NAME/traj.xtc
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from moedsr_core.data.ensemble import Ensemble, anchors_of, load_ensemble, superpose
from moedsr_core.errors import InputError

_REPLICATE = re.compile(r"_(?:prod_)?R(\d+)(?:_fit)?\.xtc$")
"""Replicates as ATLAS names them, today's archives and earlier ones."""


@dataclass(frozen=True)
class TrajectoryFiles:
    """Files of one protein.

    Attributes:
        name: Of the protein: its folder's.
        topology: Structure that names the atoms.
        trajectories: Files of the replicates by their names, such as ``R1``; a single trajectory
            has the empty name.
    """

    name: str
    topology: Path
    trajectories: dict[str, Path]


def find_trajectories(folder: str | Path) -> TrajectoryFiles:
    """Topology and trajectories in a protein's folder, in either layout.

    Raises:
        InputError: If the folder is missing or of neither layout.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; check the path")
    name = folder.resolve().name
    plain = folder / "top.pdb", folder / "traj.xtc"
    if all(path.is_file() for path in plain):
        return TrajectoryFiles(name, plain[0], {"": plain[1]})
    replicates = {
        f"R{found[1]}": path
        for path in folder.glob(f"{name}_*R*.xtc")
        if (found := _REPLICATE.fullmatch(path.name, len(name)))
    }
    topology = folder / f"{name}.pdb"
    if not replicates or not topology.is_file():
        raise InputError(
            f"{folder} holds neither {name}.pdb with {name}_R1.xtc … (the layout of ATLAS) nor "
            "top.pdb with traj.xtc; name its files so"
        )
    ordered = sorted(replicates, key=lambda label: int(label[1:]))
    return TrajectoryFiles(name, topology, {label: replicates[label] for label in ordered})


def load_replicates(
    folder: str | Path,
    *,
    name: str | None = None,
    spacing_ps: float | None = None,
    stride: int = 1,
    max_frames: int | None = None,
) -> list[Ensemble]:
    """Every replicate of a protein as an ensemble of its own.

    Three runs of 100 ns are three answers to one question, not one run of 300 ns; who wants them
    in a row asks :func:`concatenate`.

    Args:
        folder: The protein's folder, in either layout.
        name: What to call it, by default as its folder; replicates are NAME_R1, NAME_R2 ….
        spacing_ps: Time between frames [ps]; by default the files' own time stamps.
        stride: Keep every how-many-th frame of each replicate.
        max_frames: Of those, keep at most this many of each replicate, evenly spaced.

    Raises:
        InputError: As :func:`find_trajectories` and :func:`ensemble.load_ensemble`.
    """
    files = find_trajectories(folder)
    return [
        load_ensemble(
            files.topology,
            path,
            name="_".join(filter(None, (name or files.name, label))),
            spacing_ps=spacing_ps,
            stride=stride,
            max_frames=max_frames,
        )
        for label, path in files.trajectories.items()
    ]


def concatenate(replicates: Sequence[Ensemble], *, name: str) -> Ensemble:
    """Replicates in a row, laid on the first frame of the first; the seams are remembered.

    MoE-DSR counts "30,000 timesteps" in ATLAS, whose runs have 10,000 each, and so must have done
    this. Times run on by one usual spacing at a seam, though nothing passes across it.

    Raises:
        InputError: If there is none, or they are not of the same atoms.
    """
    if not replicates:
        raise InputError("there are no replicates to concatenate; give at least one")
    first, parts, lags = replicates[0], [], []
    end = 0.0
    for one in replicates:
        _refuse_other_atoms(first, one)
        parts.append(superpose(one.coords, first.coords[0], anchors_of(first.structure)))
        lags.append(end + one.lags_ps)
        end = float(lags[-1][-1]) + one.spacing_ps
    seams = tuple(np.cumsum([len(one) for one in replicates])[:-1].tolist())
    said = [f"{one.name}: {note}" for one in replicates for note in one.notes]
    if seams:
        said.append(
            f"{len(replicates)} independent replicates stand in a row; new ones begin at frames "
            f"{', '.join(map(str, seams))}, where time does not pass on"
        )
    return replace(
        first,
        name=name,
        coords=np.concatenate(parts),
        lags_ps=np.concatenate(lags),
        notes=tuple(said),
        seams=seams,
    )


def _refuse_other_atoms(first: Ensemble, other: Ensemble) -> None:
    ours, theirs = first.structure, other.structure
    same = len(ours) == len(theirs) and all(
        np.array_equal(getattr(ours, column), getattr(theirs, column))
        for column in ("atom_names", "residue_index", "residue_names")
    )
    if not same:
        raise InputError(
            f"{other.name} has other atoms than {first.name}; only replicates of one molecule can "
            "be concatenated"
        )
