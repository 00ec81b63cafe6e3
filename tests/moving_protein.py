"""A short peptide and a model whose surface grows evenly, for tests of prediction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moedsr_core.frame import TimeMap
from moedsr_core.models.anchored import surface_distance
from moedsr_core.models.base import Prepared, ProteinCode, ProteinInput, SurfaceModel
from moedsr_core.models.registry import LoadedModel, ModelInfo
from moedsr_core.structure import Structure, from_arrays

GROWTH = 1.0
"""Distance that the growing surface moves outwards from the first to the last frame [Å]."""
_HELIX = {
    "N": ("N", 1.55, -27.7, -0.88),
    "CA": ("C", 2.28, 0.0, 0.0),
    "C": ("C", 1.68, 26.1, 1.10),
    "O": ("O", 2.02, 22.5, 2.32),
    "CB": ("C", 3.29, -18.6, -0.86),
}
"""Element, radius [Å], angle [°] and height [Å] of the atoms of an alpha-helical residue."""


def helix(residues: int = 8) -> Structure:
    """An alpha helix of alanines, 100° and 1.5 Å per residue."""
    coords, names, elements, numbers = [], [], [], []
    for k in range(residues):
        for name, (element, radius, angle, height) in _HELIX.items():
            turn = np.radians(100.0 * k + angle)
            coords.append((radius * np.cos(turn), radius * np.sin(turn), 1.5 * k + height))
            names.append(name)
            elements.append(element)
            numbers.append(str(k + 1))
    return from_arrays(
        np.array(coords),
        elements=elements,
        atom_names=names,
        residue_names=["ALA"] * len(coords),
        residue_ids=numbers,
        chain_ids=["A"] * len(coords),
    )


def pdb_text(structure: Structure) -> str:
    """The structure as a PDB file."""
    lines = [
        f"ATOM  {i + 1:5d}  {name:<3s} {residue} A{number:>4s}    "
        f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element:>2s}"
        for i, (name, residue, number, (x, y, z), element) in enumerate(
            zip(
                structure.atom_names,
                structure.residue_names,
                structure.residue_ids,
                structure.coords,
                structure.elements,
                strict=True,
            )
        )
    ]
    return "\n".join([*lines, "END", ""])


@dataclass(frozen=True)
class GrowingConfig:
    """Nothing to choose."""


class GrowingModel(SurfaceModel):
    """f(x, t) = s₀(x) − (1 + z₀) · growth · (1 + t)/2."""

    def __init__(self) -> None:
        super().__init__()
        self.config = GrowingConfig()
        self.latent_size = 1

    def encode(self, protein: ProteinInput) -> ProteinCode:
        gate = torch.tensor([0.25, 0.75], device=protein.points.device)
        return ProteinCode(protein, gate.new_empty(0), gate, gate.new_empty(len(protein.points), 0))

    def prepare(self, code: ProteinCode, x: Tensor) -> Prepared:
        return {"start": surface_distance(code.protein, x)}

    def evaluate(self, code: ProteinCode, prepared: Prepared, t: Tensor, z: Tensor) -> Tensor:
        grown = GROWTH * (1 + z[..., 0]) * (1 + t) / 2
        return (prepared["start"] - grown) / code.protein.scale


def growing(model: SurfaceModel | None = None, span_ps: float = 100.0) -> LoadedModel:
    """The growing model as the registry would load it."""
    info = ModelInfo("growing", "moedsr", "grows", Path("."), 2, 0.0, TimeMap(span_ps=span_ps))
    return LoadedModel(model or GrowingModel(), info, None)
