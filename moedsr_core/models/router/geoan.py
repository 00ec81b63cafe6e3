"""Chemical features of surface points from the residues beneath them."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from moedsr_core.chemistry import RESIDUE_KINDS
from moedsr_core.errors import InputError
from moedsr_core.models.router.surface_graph import nearest

CLOSEST = 0.5
"""Distance below which 1/d grows no further [Å]; no point of a solvent-excluded surface comes
so near to a Cα."""


class GeoAN(nn.Module):
    """Geometric aggregation network (MoE-DSR, "Geometric Surface Cloud Network").

    Each point takes its ζ nearest Cα atoms, embeds their residue kinds beside 1/d, passes both
    through an MLP, averages, and passes the mean through a second MLP.
    """

    def __init__(self, phi_s: int, phi_r: int, zeta: int) -> None:
        super().__init__()
        self.zeta = zeta
        self.embedding = nn.Embedding(len(RESIDUE_KINDS), phi_r)
        self.residue_mlp = nn.Sequential(
            nn.Linear(phi_r + 1, phi_s), nn.SiLU(), nn.Linear(phi_s, phi_s)
        )
        self.point_mlp = nn.Sequential(nn.Linear(phi_s, phi_s), nn.SiLU(), nn.Linear(phi_s, phi_s))

    def forward(
        self,
        points: Float[Tensor, "points 3"],
        residue_positions: Float[Tensor, "residues 3"],
        residue_kinds: Int[Tensor, " residues"],
    ) -> Float[Tensor, "points phi_s"]:
        """Invariant features of every surface point.

        Args:
            points: Surface points [Å].
            residue_positions: Cα positions [Å].
            residue_kinds: Index into :data:`chemistry.RESIDUE_KINDS`.

        Raises:
            InputError: If there is no residue.
        """
        if len(residue_positions) == 0:
            raise InputError("the router needs at least one residue, got none; give it a polymer")
        index = nearest(points, residue_positions, self.zeta)
        offsets = points[:, None] - residue_positions[index]
        distance = torch.linalg.norm(offsets, dim=-1, keepdim=True).clamp_min(CLOSEST)
        features = torch.cat([self.embedding(residue_kinds[index]), 1.0 / distance], dim=-1)
        return self.point_mlp(self.residue_mlp(features).mean(dim=1))
