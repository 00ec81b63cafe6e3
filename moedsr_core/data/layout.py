"""A protein's replicates as ensembles: kept apart, or joined on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from moedsr_core.data.ensemble import Ensemble, anchors_of, load_ensemble, superpose
from moedsr_core.data.trajectory_files import find_trajectories
from moedsr_core.errors import InputError


def load_replicates(
    folder: str | Path,
    *,
    spacing_ps: float | None = None,
    stride: int = 1,
    max_frames: int | None = None,
) -> list[Ensemble]:
    """Every replicate of a protein as an ensemble of its own.

    Three runs of 100 ns are three answers to one question, not one run of 300 ns; who wants them
    in a row asks :func:`concatenate`.

    Args:
        folder: The protein's folder NAME, in a layout of :mod:`moedsr_core.data.trajectory_files`;
            replicates are called NAME_R1, NAME_R2 ….
        spacing_ps: Time between frames [ps]; by default the files' own time stamps.
        stride: Keep every how-many-th frame of each replicate.
        max_frames: Of those, keep at most this many of each replicate, evenly spaced.

    Raises:
        InputError: As :func:`trajectory_files.find_trajectories` and
            :func:`ensemble.load_ensemble`.
    """
    return [
        load_ensemble(
            files.topology,
            files.trajectory,
            name=files.label,
            spacing_ps=spacing_ps,
            stride=stride,
            max_frames=max_frames,
        )
        for files in find_trajectories(folder)
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
        refuse_other_atoms(first, one)
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


def refuse_other_atoms(first: Ensemble, other: Ensemble) -> None:
    """Raise InputError where two ensembles are not of the same atoms in the same order."""
    ours, theirs = first.structure, other.structure
    same = len(ours) == len(theirs) and all(
        np.array_equal(getattr(ours, column), getattr(theirs, column))
        for column in ("atom_names", "residue_index", "residue_names")
    )
    if not same:
        raise InputError(
            f"{other.name} has other atoms than {first.name}; give replicates of one molecule"
        )
