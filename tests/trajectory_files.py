"""Small trajectory files of a formula protein, written by mdtraj."""

from __future__ import annotations

from pathlib import Path

import mdtraj
import numpy as np
from scipy.spatial.transform import Rotation
from synthetic_chain import chain

WATER = 2


def bent(n_frames: int) -> np.ndarray:
    """The chain swinging, as (frames, atoms, 3) [Å]."""
    x = chain(10).coords
    swing = 0.05 * (x[:, 2] - x[:, 2].mean())[:, None] ** 2 * [1.0, 0.5, 0.0]
    return x + np.sin(np.arange(n_frames))[:, None, None] * 0.1 * swing


def tumbling(x: np.ndarray, seed: int = 0) -> np.ndarray:
    """Each frame but the first in another pose."""
    turns = Rotation.random(len(x), random_state=seed)
    shifts = np.random.default_rng(seed).normal(0, 20, (len(x), 3))
    moved = np.stack([r.apply(f) + s for r, f, s in zip(turns, x, shifts, strict=True)])
    return np.concatenate([x[:1], moved[1:]])


def topology() -> mdtraj.Topology:
    """The chain of ten residues with a hydrogen on each Cα's place in line, and two waters."""
    structure, top = chain(10), mdtraj.Topology()
    part = top.add_chain()
    for k in range(structure.n_residues):
        here = np.flatnonzero(structure.residue_index == k)
        residue = top.add_residue(str(structure.residue_names[here[0]]), part)
        for i in here:
            symbol = str(structure.elements[i])
            top.add_atom(
                str(structure.atom_names[i]), mdtraj.element.get_by_symbol(symbol), residue
            )
    for _ in range(WATER):
        residue = top.add_residue("HOH", part)
        top.add_atom("O", mdtraj.element.oxygen, residue)
    return top


def write(
    folder: Path,
    frames: np.ndarray,
    times: np.ndarray | None = None,
    name: str = "traj.xtc",
    *,
    box: np.ndarray | None = None,
    top_name: str = "top.pdb",
) -> tuple[Path, Path]:
    """Files of a trajectory whose waters stand on top of the first atom; the box is in Å."""
    water = np.repeat(frames[:, :1], WATER, axis=1)
    xyz = np.concatenate([frames, water], axis=1) / 10.0
    trajectory = mdtraj.Trajectory(xyz.astype(np.float32), topology(), time=times)
    folder.mkdir(exist_ok=True, parents=True)
    trajectory[0].save_pdb(str(folder / top_name))
    if box is not None:
        edges = np.repeat(np.asarray(box)[None] / 10.0, len(frames), axis=0)
        trajectory.unitcell_vectors = edges.astype(np.float32)
    trajectory.save(str(folder / name))
    return folder / top_name, folder / name
