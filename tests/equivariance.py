"""Rigid motions of proteins, and the checks that hold under them.

`tests/test_qmpnn.py` shows that these checks fail on a module that breaks the symmetry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from e3nn import o3
from torch import Tensor

from moedsr_core.models.base import ProteinInput
from moedsr_core.models.router import surface_graph as graphs


def synthetic_protein(n_points: int = 120, n_residues: int = 30, seed: int = 0) -> ProteinInput:
    """A bumpy, lopsided blob of about 12 Å with residues inside, in torch's default precision."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.nn.functional.normalize(torch.randn(n_points, 3, generator=generator), dim=1)
    radius = 11.0 + 2.0 * u[:, :1] + 1.5 * torch.sin(3.0 * u[:, 1:2]) + u[:, 2:] ** 2
    normals = u + 0.2 * torch.randn(n_points, 3, generator=generator)
    residues = 4.0 * torch.randn(n_residues, 3, generator=generator)
    kinds = torch.randint(0, 20, (n_residues,), generator=generator)
    return ProteinInput(
        points=u * radius,
        normals=torch.nn.functional.normalize(normals, dim=1),
        residue_positions=residues,
        residue_kinds=kinds,
        atom_positions=residues,
        atom_radii=torch.full((n_residues,), 1.7),
        atom_depths=torch.ones(n_residues, dtype=torch.int64),
        atom_residues=torch.arange(n_residues),
        surface=None,
        scale=20.0,
    )


def make_graph(protein: ProteinInput, window: float = 9.0, k: int = 12) -> graphs.SurfaceGraph:
    """Graph of the surface points, normals smoothed."""
    normals = graphs.smoothed_normals(protein.points, protein.normals, 9.0)
    return graphs.surface_graph(protein.points, normals, window, k)


def moved(protein: ProteinInput, rotation: Tensor, shift: Tensor) -> ProteinInput:
    """The same protein after ``x -> rotation @ x + shift`` [Å]."""
    return replace(
        protein,
        points=protein.points @ rotation.T + shift,
        normals=protein.normals @ rotation.T,
        residue_positions=protein.residue_positions @ rotation.T + shift,
        atom_positions=protein.atom_positions @ rotation.T + shift,
    )


def random_rotation(generator: torch.Generator, dtype: torch.dtype | None = None) -> Tensor:
    """A proper rotation, uniformly drawn (QR of a Gaussian matrix)."""
    q, r = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=dtype))
    q = q * r.diagonal().sign()
    return q * torch.linalg.det(q)


def motions(seed: int = 1) -> dict[str, tuple[Tensor, Tensor]]:
    """A translation, a rotation and a reflection, by name."""
    generator = torch.Generator().manual_seed(seed)
    still, stay = torch.eye(3), torch.zeros(3)
    turn = random_rotation(generator)
    return {
        "translation": (still, 30.0 * torch.randn(3, generator=generator)),
        "rotation": (turn, stay),
        "reflection": (-turn, stay),
    }


def assert_invariant(
    function: Callable[[ProteinInput], Tensor], protein: ProteinInput, tolerance: float
) -> None:
    """Fail unless ``function`` ignores translation, rotation and reflection of the protein."""
    expected = function(protein)
    for name, motion in motions().items():
        got = function(moved(protein, *motion))
        error = float((got - expected).abs().max().detach())
        assert error <= tolerance, f"{name} changes the result by {error:.2g}"


def assert_equivariant(
    function: Callable[[ProteinInput], Tensor],
    irreps: o3.Irreps,
    protein: ProteinInput,
    tolerance: float,
) -> None:
    """Fail unless the rows that ``function`` gives turn as ``irreps`` with the protein."""
    expected = function(protein)
    for name, (rotation, shift) in motions().items():
        turned = expected @ irreps.D_from_matrix(rotation).T
        got = function(moved(protein, rotation, shift))
        error = float((got - turned).abs().max().detach())
        assert error <= tolerance, f"{name} leaves a difference of {error:.2g}"
