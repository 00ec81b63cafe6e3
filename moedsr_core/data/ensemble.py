"""Molecular-dynamics ensembles: one molecule, many frames, superposed.

Unaligned tumbling is not motion, so every frame is superposed on the first by its Cα atoms
before anything is compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mdtraj
import numpy as np
from jaxtyping import Float

from moedsr_core.errors import InputError
from moedsr_core.structure import Structure, polymer_heavy_atoms
from moedsr_core.structure_io import read_structure, reading


@dataclass(frozen=True)
class Ensemble:
    """Frames of one trajectory.

    Attributes:
        name: What to call it.
        structure: The first frame, heavy atoms of the polymer.
        coords: Every frame, superposed on the first by Cα [Å].
        lags_ps: Time of every frame after the first [ps].
    """

    name: str
    structure: Structure
    coords: Float[np.ndarray, "frames atoms 3"]
    lags_ps: Float[np.ndarray, " frames"]

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.coords)

    def frame(self, k: int) -> Structure:
        """One frame as a structure."""
        return self.structure.with_coords(self.coords[k])


def load_ensemble(
    topology: str | Path,
    trajectory: str | Path,
    *,
    name: str | None = None,
    spacing_ps: float | None = None,
    max_frames: int | None = None,
) -> Ensemble:
    """Read one trajectory of one molecule.

    Args:
        topology: Structure file that names the atoms.
        trajectory: Frames, in any format mdtraj reads.
        name: Defaults to the name of the trajectory's folder.
        spacing_ps: Time between frames [ps]; by default the file's own time stamps.
        max_frames: Keep at most this many, evenly spaced.

    Raises:
        InputError: If the files cannot be read, do not belong together, hold fewer than two
            frames or coordinates that are not finite, or their time stamps do not increase and
            no spacing is given.
    """
    first = read_structure(trajectory, topology=topology)
    kept = polymer_heavy_atoms(first)
    with reading(Path(trajectory), len(first)):
        frames = mdtraj.load(str(trajectory), top=str(topology))
    if len(frames) < 2:
        raise InputError(f"{trajectory} holds {len(frames)} frame; motion needs at least two")
    lags = (
        np.arange(len(frames)) * spacing_ps if spacing_ps else frames.time - float(frames.time[0])
    )
    if not (np.diff(lags) > 0).all():
        raise InputError(
            f"the time stamps of {trajectory} do not increase; give the spacing of its frames"
        )
    chosen = np.arange(len(frames))
    if max_frames is not None and len(frames) > max_frames:
        chosen = np.linspace(0, len(frames) - 1, max_frames).round().astype(int)
    coords = 10.0 * frames.xyz[chosen][:, _polymer_indices(first)].astype(np.float64)
    if not np.isfinite(coords).all():
        raise InputError(f"coordinates must be finite numbers; {trajectory} holds NaN or infinity")
    anchors = np.flatnonzero(kept.atom_names == "CA")
    return Ensemble(
        name=name or Path(trajectory).parent.name,
        structure=kept.with_coords(coords[0]),
        coords=superpose(coords, coords[0], anchors),
        lags_ps=np.asarray(lags, np.float64)[chosen],
    )


def superpose(
    coords: Float[np.ndarray, "frames atoms 3"],
    reference: Float[np.ndarray, "atoms 3"],
    anchors: np.ndarray,
) -> Float[np.ndarray, "frames atoms 3"]:
    """Least-squares rigid fit of every frame to a reference (Kabsch 1976, by SVD).

    Args:
        coords: Frames [Å].
        reference: Conformation to lie on [Å].
        anchors: Indices of the atoms that are fitted; all atoms where fewer than three.
    """
    if len(anchors) < 3:
        anchors = np.arange(coords.shape[1])
    target = reference[anchors] - reference[anchors].mean(axis=0)
    middle = coords[:, anchors].mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(np.einsum("fai,aj->fij", coords[:, anchors] - middle, target))
    flip = np.ones((len(coords), 3))
    flip[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = np.einsum("fik,fk,fkj->fij", u, flip, vt)
    return np.einsum("fai,fij->faj", coords - middle, rotation) + reference[anchors].mean(axis=0)


def _polymer_indices(structure: Structure) -> np.ndarray:
    """Where the atoms that :func:`polymer_heavy_atoms` keeps stand in a structure."""
    numbers = np.zeros((len(structure), 3))
    numbers[:, 0] = np.arange(len(structure))
    return polymer_heavy_atoms(structure.with_coords(numbers)).coords[:, 0].astype(int)
