"""A small protein made from a formula, for tests that need atoms, a surface and motion."""

from __future__ import annotations

import numpy as np
import torch

from moedsr_core.data.ensemble import Ensemble
from moedsr_core.models.base import ProteinInput
from moedsr_core.models.inputs import protein_input
from moedsr_core.structure import Structure, from_arrays

ATOMS = ("N", "CA", "C", "O", "CB", "CG")
"""Every residue is a leucine cut short, so that it has backbone and side chain."""
_AROUND, _RISE, _OUT = (-28.0, 0.0, 27.0, 35.0, 10.0, 12.0), (-0.9, 0, 1.1, 2.2, 0.2, 0.5), (
    1.6, 2.3, 1.7, 2.0, 3.4, 4.8,
)  # fmt: skip


def chain(n_residues: int = 20, seed: int = 0) -> Structure:
    """An α-helix, bent and jolted so that no symmetry is left."""
    rng = np.random.default_rng(seed)
    residue = np.repeat(np.arange(n_residues), len(ATOMS))
    angle = np.deg2rad(100.0 * residue + np.tile(_AROUND, n_residues))
    out, height = np.tile(_OUT, n_residues), 1.5 * residue + np.tile(_RISE, n_residues)
    coords = np.stack([out * np.cos(angle), out * np.sin(angle), height], axis=1)
    coords[:, 0] += 0.02 * (height - 10.0) ** 2
    coords += rng.normal(0.0, 0.15, coords.shape)
    return from_arrays(
        coords,
        atom_names=np.tile(ATOMS, n_residues),
        residue_names=rng.choice(["LEU", "LYS", "GLU"], n_residues)[residue],
        residue_ids=[str(k + 1) for k in residue],
        chain_ids=["A"] * len(coords),
    )


def posed_chain(n_residues: int = 20, n_points: int = 60) -> ProteinInput:
    """The chain as a model sees it, in its canonical pose."""
    return protein_input(chain(n_residues), n_points=n_points)[0]


def swelling(n_frames: int = 5, n_residues: int = 8, step_ps: float = 100.0) -> Ensemble:
    """A chain whose first frame is followed by ever the same, thicker one."""
    first = chain(n_residues)
    middle = first.coords.mean(axis=0)
    away = first.coords - middle
    away[:, 2] = 0.0
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    coords = np.stack([first.coords + (1.2 * away if k else 0.0) for k in range(n_frames)])
    return Ensemble("swelling", first, coords, step_ps * np.arange(n_frames))


def stir(model: torch.nn.Module, size: float = 0.3, seed: int = 0) -> torch.nn.Module:
    """Give every weight a random push, zero-initialised ones included."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += size * torch.randn(parameter.shape, generator=generator)
    return model
