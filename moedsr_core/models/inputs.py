"""From a structure to the tensors a model takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from moedsr_core.frame import CanonicalFrame, canonical_frame
from moedsr_core.models.base import ProteinInput
from moedsr_core.structure import Structure
from moedsr_core.surface.mesh import Mesh
from moedsr_core.surface.sampling import sample_surface
from moedsr_core.surface.ses import SolventExcludedSurface

SAMPLING_SPACING = 1.0
"""Grid spacing of the mesh that surface points are drawn from [Å]."""


@dataclass(frozen=True)
class PosedStructure:
    """A structure in its canonical pose, with the surface of its atoms.

    Attributes:
        structure: The atoms, canonical pose [Å].
        surface: Their solvent-excluded surface.
        frame: The pose.
    """

    structure: Structure
    surface: SolventExcludedSurface
    frame: CanonicalFrame

    @classmethod
    def of(
        cls, structure: Structure, scale: float | None = None, frame: CanonicalFrame | None = None
    ) -> PosedStructure:
        """Bring a structure into its canonical pose.

        Args:
            structure: The atoms to enclose, heavy atoms of a polymer [Å].
            scale: Length of one unit of Ω [Å]; by default fitted to the structure.
            frame: A pose to use instead of the structure's own.

        Raises:
            InputError: If the structure is empty, not finite, or too large for ``scale``.
        """
        frame = frame or canonical_frame(structure.coords, scale)
        posed = structure.with_coords(frame.to_canonical(structure.coords))
        return cls(posed, SolventExcludedSurface(posed.coords, structure.radii), frame)

    def described(
        self, n_points: int = 2000, seed: int = 0, mesh: Mesh | None = None
    ) -> ProteinInput:
        """A model's input, on the CPU.

        Args:
            n_points: Surface points for the router.
            seed: Seed of the surface points.
            mesh: What they are drawn from; by default the structure's own surface.
        """
        mesh = mesh or self.surface.mesh(SAMPLING_SPACING)
        points, normals = sample_surface(mesh, n_points, np.random.default_rng(seed))
        scale, surface = self.frame.scale, self.surface
        return describe(self.structure, points, normals, scale=scale, surface=surface)


def protein_input(
    structure: Structure,
    *,
    scale: float | None = None,
    n_points: int = 2000,
    seed: int = 0,
    frame: CanonicalFrame | None = None,
) -> tuple[ProteinInput, CanonicalFrame]:
    """Bring a structure into its canonical pose and describe it to a model.

    Arguments and errors are those of :class:`PosedStructure`.

    Returns:
        The model's input, on the CPU, and the pose it is in.
    """
    posed = PosedStructure.of(structure, scale, frame)
    return posed.described(n_points, seed), posed.frame


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
