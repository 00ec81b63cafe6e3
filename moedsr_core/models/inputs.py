"""From a structure to the tensors a model takes."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from moedsr_core.frame import CanonicalFrame, canonical_frame
from moedsr_core.models.base import ProteinInput
from moedsr_core.structure import Structure
from moedsr_core.surface.sampling import sample_surface
from moedsr_core.surface.ses import SolventExcludedSurface

SAMPLING_SPACING = 1.0
"""Grid spacing of the mesh that surface points are drawn from [Å]."""


def protein_input(
    structure: Structure,
    *,
    scale: float | None = None,
    n_points: int = 2000,
    seed: int = 0,
    frame: CanonicalFrame | None = None,
) -> tuple[ProteinInput, CanonicalFrame]:
    """Bring a structure into its canonical pose and describe it to a model.

    Args:
        structure: The atoms to enclose, heavy atoms of a polymer [Å].
        scale: Length of one unit of Ω [Å]; by default fitted to the structure.
        n_points: Surface points for the router.
        seed: Seed of the surface points.
        frame: A pose to use instead of the structure's own.

    Returns:
        The model's input, on the CPU, and the pose it is in.

    Raises:
        InputError: If the structure is empty, not finite, or too large for ``scale``.
    """
    frame = frame or canonical_frame(structure.coords, scale)
    posed = structure.with_coords(frame.to_canonical(structure.coords))
    surface = SolventExcludedSurface(posed.coords, structure.radii)
    points, normals = sample_surface(
        surface.mesh(SAMPLING_SPACING), n_points, np.random.default_rng(seed)
    )
    return describe(posed, points, normals, scale=frame.scale, surface=surface), frame


def describe(
    structure: Structure,
    points: Float[np.ndarray, "points 3"],
    normals: Float[np.ndarray, "points 3"],
    *,
    scale: float,
    surface: SolventExcludedSurface | None,
) -> ProteinInput:
    """Tensors of a structure that is in its canonical pose already, with surface points given.

    Args:
        structure: The atoms, canonical pose [Å].
        points: Surface points [Å].
        normals: Outward unit normals there.
        scale: Length of one unit of Ω [Å].
        surface: Needed where the model measures distances to the input's surface itself.
    """

    def floats(array: np.ndarray) -> torch.Tensor:
        return torch.tensor(np.ascontiguousarray(array), dtype=torch.float32)

    return ProteinInput(
        points=floats(points),
        normals=floats(normals),
        residue_positions=floats(structure.residue_positions),
        residue_kinds=torch.tensor(structure.residue_kinds),
        atom_positions=floats(structure.coords),
        atom_radii=floats(structure.radii),
        atom_depths=torch.tensor(structure.depths),
        atom_residues=torch.tensor(structure.residue_index),
        surface=surface,
        scale=scale,
    )
