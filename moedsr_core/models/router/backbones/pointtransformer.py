"""Point Transformer (Zhao, Jiang, Jia, Torr & Koltun 2021, arXiv:2012.09164).

Vector self-attention among nearest neighbours, with a learned position encoding that joins both
the attention and the values (their Eq. 3 and 4); transition down by sampling, a point-wise layer
and local maxima; transition up by interpolation and a sum with the finer level (their 3.4).
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from moedsr_core.models.router.backbones.pyramid import (
    BackboneSizes,
    PositionEmbedding,
    Pyramid,
    doubling,
    pointwise,
)
from moedsr_core.models.router.surface_graph import interpolate, nearest


class VectorAttention(nn.Module):
    """``Σ_j softmax_j γ(φ(x_i) − ψ(x_j) + δ) ⊙ (α(x_j) + δ)``, ``δ = θ(p_i − p_j)`` (Eq. 3, 4).

    Between two linear maps, with a residual link (their Figure 4a). The last layer of γ has no
    bias, for the softmax over neighbours would cancel it.
    """

    def __init__(self, width: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.before, self.after = nn.Linear(width, width), nn.Linear(width, width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.place = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width))
        self.relate = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width, bias=False)
        )

    def forward(
        self, features: Float[Tensor, "points width"], x: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points width"]:
        """Features after attention among the nearest points, oneself included."""
        index = nearest(x, x, self.k)
        hidden = self.before(features)
        place = self.place(x[:, None] - x[index])
        relation = self.query(hidden)[:, None] - self.key(hidden)[index] + place
        share = torch.softmax(self.relate(relation), dim=1)
        gathered = (share * (self.value(hidden)[index] + place)).sum(dim=1)
        return features + self.after(gathered)


class _Enter(nn.Module):
    def __init__(self, inputs: int, width: int, k: int) -> None:
        super().__init__()
        self.embedding = PositionEmbedding(inputs, width)
        self.attention = VectorAttention(width, k)

    def forward(self, features: Tensor, x: Tensor) -> Tensor:
        return self.attention(self.embedding(features, x), x)


class TransitionDown(nn.Module):
    """Largest features among the neighbours of each point that is kept, then attention."""

    def __init__(self, width_in: int, width_out: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.mlp = pointwise(width_in, width_out)
        self.attention = VectorAttention(width_out, k)

    def forward(
        self,
        features: Float[Tensor, "points width"],
        x: Float[Tensor, "points 3"],
        kept: Int[Tensor, " kept"],
    ) -> Float[Tensor, "kept wider"]:
        """Features of the kept points."""
        pooled = self.mlp(features)[nearest(x[kept], x, self.k)].amax(dim=1)
        return self.attention(pooled, x[kept])


class TransitionUp(nn.Module):
    """Interpolated features plus those of the finer level, then attention."""

    def __init__(self, coarse: int, fine: int, k: int) -> None:
        super().__init__()
        self.mlp, self.skip = pointwise(coarse, fine), pointwise(fine, fine)
        self.attention = VectorAttention(fine, k)

    def forward(
        self,
        features: Float[Tensor, "coarse wide"],
        skipped: Float[Tensor, "fine narrow"],
        x_coarse: Float[Tensor, "coarse 3"],
        x_fine: Float[Tensor, "fine 3"],
    ) -> Float[Tensor, "fine narrow"]:
        """Features of the finer level."""
        finer = interpolate(self.mlp(features), x_coarse, x_fine) + self.skip(skipped)
        return self.attention(finer, x_fine)


def pointtransformer(sizes: BackboneSizes) -> Pyramid:
    """The network; a quarter of the points is kept, and half the most neighbours attended to."""
    widths = doubling(sizes.inputs, sizes.layers)
    k = max(2, sizes.max_neighbours // 2)
    steps = list(itertools.pairwise(widths))
    downs = [TransitionDown(a, b, k) for a, b in steps]
    ups = [TransitionUp(b, a, k) for a, b in reversed(steps)]
    enter, leave = _Enter(sizes.inputs, widths[0], k), nn.Linear(widths[0], sizes.outputs)
    return Pyramid(enter, downs, ups, leave, ratio=4, reach=sizes.reach)
