"""PointCNN (Li, Bu, Sun, Wu, Di & Chen 2018, arXiv:1801.07791).

X-Conv (their Algorithm 1): neighbours in the frame of the representative point, positions lifted
to features, a learned K×K matrix that weighs and permutes the neighbours, then an ordinary
convolution over K places. The same operator leads down and up again (their Figure 4c).
"""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from moedsr_core.models.router.backbones.pyramid import BackboneSizes, Pyramid, doubling
from moedsr_core.models.router.surface_graph import nearest

DILATION = 2
"""Every D-th of the K·D nearest is a neighbour; the paper uses 1 to 6."""


class XConv(nn.Module):
    """``Conv(K, MLP(P') × [MLP_δ(P'), F])`` (Algorithm 1).

    The convolution is depth-wise, then point-wise, and the second layer of X works on rows, both
    as the paper does for its size. Neighbours come in order of distance, not of storage, and
    start again from the first where there are fewer than K.
    """

    def __init__(self, width_in: int, width_out: int, k: int) -> None:
        super().__init__()
        self.k = k
        lifted = max(1, width_out // 4)
        self.lift = nn.Sequential(
            nn.Linear(3, lifted), nn.ELU(), nn.Linear(lifted, lifted), nn.ELU()
        )
        self.transform = nn.Sequential(
            nn.Linear(3 * k, k * k), nn.ELU(), nn.Unflatten(1, (k * k, 1)),
            nn.Conv1d(k * k, k * k, 1, groups=k), nn.ELU(),
            nn.Conv1d(k * k, k * k, 1, groups=k), nn.Flatten(1),
        )  # fmt: skip
        multiplier = math.ceil(width_out / width_in)
        self.places = nn.Parameter(torch.randn(k, lifted + width_in, multiplier) / math.sqrt(k))
        self.mix = nn.Sequential(
            nn.Linear((lifted + width_in) * multiplier, width_out),
            nn.LayerNorm(width_out),
            nn.ELU(),
        )

    def forward(
        self,
        features: Float[Tensor, "points width"],
        x: Float[Tensor, "points 3"],
        queries: Float[Tensor, "queries 3"],
    ) -> Float[Tensor, "queries wide"]:
        """Features of the representative points ``queries``, from those of ``x``."""
        index = self._neighbours(queries, x)
        local = x[index] - queries[:, None]
        pair = torch.cat([self.lift(local), features[index]], dim=-1)
        matrix = self.transform(local.flatten(1)).unflatten(1, (self.k, self.k))
        convolved = torch.einsum("nkc,kcm->ncm", matrix @ pair, self.places)
        return self.mix(convolved.flatten(1))

    def _neighbours(
        self, queries: Float[Tensor, "queries 3"], x: Float[Tensor, "points 3"]
    ) -> Int[Tensor, "queries k"]:
        found = nearest(queries, x, DILATION * self.k)
        places = torch.arange(0, DILATION * self.k, DILATION, device=x.device)
        return found[:, places % found.shape[1]]


class _Enter(nn.Module):
    """X-Conv among all points."""

    def __init__(self, width: int, k: int) -> None:
        super().__init__()
        self.conv = XConv(width, width, k)

    def forward(self, features: Tensor, x: Tensor) -> Tensor:
        return self.conv(features, x, x)


class _Down(nn.Module):
    """X-Conv onto the points that are kept."""

    def __init__(self, width_in: int, width_out: int, k: int) -> None:
        super().__init__()
        self.conv = XConv(width_in, width_out, k)

    def forward(self, features: Tensor, x: Tensor, kept: Tensor) -> Tensor:
        return self.conv(features, x, x[kept])


class _Up(nn.Module):
    """X-Conv from fewer points, joined with what the finer level knew."""

    def __init__(self, coarse: int, fine: int, k: int) -> None:
        super().__init__()
        self.conv = XConv(coarse, fine, k)
        self.fuse = nn.Sequential(nn.Linear(2 * fine, fine), nn.LayerNorm(fine), nn.ELU())

    def forward(
        self, features: Tensor, skipped: Tensor, x_coarse: Tensor, x_fine: Tensor
    ) -> Tensor:
        finer = self.conv(features, x_coarse, x_fine)
        return self.fuse(torch.cat([finer, skipped], dim=1))


def pointcnn(sizes: BackboneSizes) -> Pyramid:
    """The network; every other point is kept at each level, K is half the most neighbours."""
    widths = doubling(sizes.inputs, sizes.layers)
    k = max(2, sizes.max_neighbours // DILATION)
    steps = list(itertools.pairwise(widths))
    downs = [_Down(a, b, k) for a, b in steps]
    ups = [_Up(b, a, k) for a, b in reversed(steps)]
    leave = nn.Linear(widths[0], sizes.outputs)
    return Pyramid(_Enter(widths[0], k), downs, ups, leave, ratio=2, reach=sizes.reach)
