"""PointMLP (Ma, Qin, You, Ran & Fu 2022, arXiv:2202.07123).

A stage is ``Φ_pos(max_j Φ_pre(f_ij))`` over the nearest neighbours j of a point that is kept
(their Eq. 1 and 2), Φ being residual perceptrons, after a geometric affine module (Eq. 3) has
brought every neighbourhood to one scale. The way back is PointNet++'s, as in their part
segmentation.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from moedsr_core.models.router.backbones.pyramid import (
    BackboneSizes,
    PositionEmbedding,
    Propagation,
    Pyramid,
    doubling,
    pointwise,
)
from moedsr_core.models.router.surface_graph import nearest

EPSILON = 1e-5
"""Added to σ (Eq. 3)."""


class GeometricAffine(nn.Module):
    """``α ⊙ (f_ij − f_i) / (σ + ε) + β``, σ one number for the whole cloud (Eq. 3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(
        self, grouped: Float[Tensor, "kept k width"], centres: Float[Tensor, "kept width"]
    ) -> Float[Tensor, "kept k width"]:
        """Normalised differences; smooth also where all features agree and σ is zero."""
        difference = grouped - centres[:, None]
        sigma = (difference.square().mean() + EPSILON**2).sqrt()
        return self.alpha * difference / (sigma + EPSILON) + self.beta


class ResidualBlock(nn.Module):
    """``ReLU(x + MLP(x))``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            pointwise(width, width), nn.Linear(width, width), nn.LayerNorm(width)
        )

    def forward(self, x: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        """Features of the same size."""
        return torch.relu(x + self.mlp(x))


class Stage(nn.Module):
    """Grouping, affine module, Φ_pre, maximum, Φ_pos (Eq. 1); two residual blocks in each Φ.

    Neighbours are joined with the features of their centre, as in the released code.
    """

    def __init__(self, width_in: int, width_out: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.affine = GeometricAffine(width_in)
        self.before = nn.Sequential(
            pointwise(2 * width_in, width_out), ResidualBlock(width_out), ResidualBlock(width_out)
        )
        self.behind = nn.Sequential(ResidualBlock(width_out), ResidualBlock(width_out))

    def forward(
        self,
        features: Float[Tensor, "points width"],
        x: Float[Tensor, "points 3"],
        kept: Int[Tensor, " kept"],
    ) -> Float[Tensor, "kept wider"]:
        """Features of the kept points."""
        grouped, centres = features[nearest(x[kept], x, self.k)], features[kept]
        joined = torch.cat(
            [self.affine(grouped, centres), centres[:, None].expand_as(grouped)], dim=-1
        )
        return self.behind(self.before(joined).amax(dim=1))


def pointmlp(sizes: BackboneSizes) -> Pyramid:
    """The network; every other point is kept at each level."""
    widths = doubling(sizes.inputs, sizes.layers)
    steps = list(itertools.pairwise(widths))
    downs = [Stage(a, b, sizes.max_neighbours) for a, b in steps]
    ups = [Propagation(b, a) for a, b in reversed(steps)]
    enter = PositionEmbedding(sizes.inputs, widths[0])
    leave = nn.Linear(widths[0], sizes.outputs)
    return Pyramid(enter, downs, ups, leave, ratio=2, reach=sizes.reach)
