"""Pointwise CNN (Hua, Tran & Yeung 2018, CVPR), which MoE-DSR cites for "PointCNN".

A kernel of 3 × 3 × 3 cells is laid around every point; features are averaged within each cell,
so that crowded cells count no more than sparse ones, and each cell has its own weights (Eq. 1).
All layers work on all points; their results are joined before the last map (their Figure 2).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from moedsr_core.models.router.backbones.pyramid import BackboneSizes

CELLS = 27
"""Cells of the kernel."""

Pairs = tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"], Float[Tensor, " pairs"]]


@torch.no_grad()
def kernel_pairs(x: Float[Tensor, "points 3"], cell: float) -> Pairs:
    """Cell of the kernel at i, as ``27 i + cell``, the point j in it, and one over its company.

    Args:
        x: Positions.
        cell: Edge of a cell, in the same unit.
    """
    i, j = (torch.cdist(x, x, p=torch.inf) < 1.5 * cell).nonzero().T
    place = ((x[j] - x[i]) / cell).round().long().clamp(-1, 1) + 1
    slot = CELLS * i + place @ torch.tensor([9, 3, 1], device=x.device)
    crowd = torch.bincount(slot, minlength=CELLS * len(x))
    return slot, j, 1.0 / crowd[slot].to(x.dtype)


class PointwiseConvolution(nn.Module):
    """``x_i ← Σ_k W_k · mean of x_j in cell k`` (Eq. 1), then SELU."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        spread = 1.0 / math.sqrt(CELLS * width_in)
        self.weight = nn.Parameter(spread * torch.randn(CELLS, width_in, width_out))
        self.bias = nn.Parameter(torch.zeros(width_out))

    def forward(
        self, features: Float[Tensor, "points inputs"], pairs: Pairs
    ) -> Float[Tensor, "points outputs"]:
        """Features after one convolution."""
        slot, source, share = pairs
        n, width = features.shape
        means = features.new_zeros(CELLS * n, width)
        means = means.index_add(0, slot, share[:, None] * features[source])
        convolved = means.reshape(n, -1) @ self.weight.flatten(0, 1)
        return nn.functional.selu(convolved + self.bias)


class PointwiseCNN(nn.Module):
    """Convolutions one after the other, all of whose results are read."""

    def __init__(self, sizes: BackboneSizes) -> None:
        super().__init__()
        self.cell = 2.0 * sizes.reach / 3.0
        self.convolutions = nn.ModuleList(
            PointwiseConvolution(sizes.inputs, sizes.inputs) for _ in range(sizes.layers)
        )
        self.leave = nn.Linear(sizes.layers * sizes.inputs, sizes.outputs)

    def forward(
        self,
        features: Float[Tensor, "points inputs"],
        points: Float[Tensor, "points 3"],
        normals: Float[Tensor, "points 3"],
    ) -> Float[Tensor, "points outputs"]:
        """Features of every point; the kernel spans twice the reach, normals are not looked at."""
        pairs, found = kernel_pairs(points, self.cell), []
        for convolution in self.convolutions:
            features = convolution(features, pairs)
            found.append(features)
        return self.leave(torch.cat(found, dim=1))
