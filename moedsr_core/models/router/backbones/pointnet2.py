"""PointNet++ (Qi, Yi, Su & Guibas 2017, arXiv:1706.02413).

Set abstraction (their 3.2): farthest-point sampling, ball query, a small PointNet on each ball
(Eq. 1: shared perceptron, then the maximum), at several radii at once whose results are joined
(3.3, multi-scale grouping). Feature propagation (3.4, Eq. 2) leads back to every point.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from moedsr_core.models.router.backbones.pyramid import (
    BackboneSizes,
    Propagation,
    Pyramid,
    ball,
    doubling,
    pointwise,
)

SCALES = (0.25, 0.5, 1.0)
"""Radii, and neighbours, as shares of the largest; radii double as in the paper's appendix B."""


class SetAbstraction(nn.Module):
    """Multi-scale grouping around the points that are kept."""

    def __init__(self, width_in: int, width_out: int, radius: float, k: int) -> None:
        super().__init__()
        self.radii = [radius * scale for scale in SCALES]
        self.counts = [max(1, round(k * scale)) for scale in SCALES]
        share = max(1, width_out // 4)
        widths = [share, share, max(1, width_out - 2 * share)]
        self.mlps = nn.ModuleList(pointwise(width_in + 3, w, w, w) for w in widths)
        self.width = sum(widths)

    def forward(
        self,
        features: Float[Tensor, "points width"],
        x: Float[Tensor, "points 3"],
        kept: Int[Tensor, " kept"],
    ) -> Float[Tensor, "kept wider"]:
        """Features of the kept points, from the balls around them at every radius."""
        found = []
        for radius, k, mlp in zip(self.radii, self.counts, self.mlps, strict=True):
            index = ball(x[kept], x, radius, k)
            local = (x[index] - x[kept][:, None]) / radius
            found.append(mlp(torch.cat([features[index], local], dim=-1)).amax(dim=1))
        return torch.cat(found, dim=1)


class _FeaturesAlone(nn.Module):
    """Positions enter only relative to the centre of a ball."""

    def forward(self, features: Tensor, x: Tensor) -> Tensor:
        return features


def pointnet2(sizes: BackboneSizes) -> Pyramid:
    """The network; a quarter of the points is kept at each level, and radii double."""
    widths = doubling(sizes.inputs, sizes.layers)
    downs = [
        SetAbstraction(a, b, 2.0**level, sizes.max_neighbours)
        for level, (a, b) in enumerate(itertools.pairwise(widths))
    ]
    ups = [Propagation(b, a) for a, b in reversed(list(itertools.pairwise(widths)))]
    leave = nn.Linear(widths[0], sizes.outputs)
    return Pyramid(_FeaturesAlone(), downs, ups, leave, ratio=4, reach=sizes.reach)
