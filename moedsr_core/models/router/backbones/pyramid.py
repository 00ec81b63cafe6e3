"""What the networks for common point clouds share: sizes, point-wise layers, the pyramid."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from moedsr_core.models.router.surface_graph import farthest_points, interpolate, nearest


@dataclass(frozen=True, kw_only=True)
class BackboneSizes:
    """What the router tells every backbone."""

    inputs: int
    """Chemical features of a point; also the narrowest hidden layer."""
    outputs: int
    """Features to give for each point."""
    layers: int
    """Rounds of convolution, or levels of the pyramid above the first."""
    reach: float
    """How far a point of the first level looks [Å]."""
    max_neighbours: int
    """Most neighbours of a point."""


def pointwise(*widths: int) -> nn.Sequential:
    """Shared perceptron on every point: linear, normalisation, ReLU for each layer.

    The papers normalise over a batch; the router sees one protein at a time, in training and
    after, so each point is normalised over its own channels instead (Ba et al. 2016).
    """
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.LayerNorm(b), nn.ReLU()]
    return nn.Sequential(*layers)


def ball(
    centres: Float[Tensor, "centres 3"], x: Float[Tensor, "points 3"], radius: float, k: int
) -> Int[Tensor, "centres k"]:
    """Up to ``k`` points within ``radius`` of each centre, the nearest ones.

    Places left over repeat the nearest, which a maximum does not notice. PointNet++'s own code
    takes the first ones it finds, which depends on the order of the points.
    """
    index = nearest(centres, x, k)
    distance = torch.linalg.norm(centres[:, None] - x[index], dim=-1)
    return torch.where(distance > radius, index[:, :1], index)


class Propagation(nn.Module):
    """From few points back to many: interpolation, skip link, unit PointNet (Qi et al., 3.4)."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.mlp = pointwise(coarse + fine, fine, fine)

    def forward(
        self,
        features: Float[Tensor, "coarse wide"],
        skipped: Float[Tensor, "fine narrow"],
        x_coarse: Float[Tensor, "coarse 3"],
        x_fine: Float[Tensor, "fine 3"],
    ) -> Float[Tensor, "fine narrow"]:
        """Features of the finer level."""
        return self.mlp(torch.cat([interpolate(features, x_coarse, x_fine), skipped], dim=1))


class Pyramid(nn.Module):
    """Down to ever fewer points and up again, with a link across at every level.

    Each level keeps a share of the points of the one below, chosen by farthest-point sampling.
    Positions are taken from the centroid in units of the reach, so that translation makes no
    difference; they turn with the molecule, and with them what the networks make of them.

    Args:
        enter: ``(features, x) -> features`` on the first level.
        downs: ``(features, x, kept) -> features`` of the kept points, level by level.
        ups: ``(features, skipped, x_coarse, x_fine) -> features``, from the top down.
        leave: Last map, point by point.
        ratio: How many points of a level one of the next stands for.
        reach: Unit of length [Å].
    """

    def __init__(
        self, enter: nn.Module, downs: Sequence[nn.Module], ups: Sequence[nn.Module],
        leave: nn.Module, *, ratio: int, reach: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.enter, self.leave = enter, leave
        self.downs, self.ups = nn.ModuleList(downs), nn.ModuleList(ups)
        self.ratio, self.reach = ratio, reach

    def forward(
        self,
        features: Float[Tensor, "points inputs"],
        points: Float[Tensor, "points 3"],
        normals: Float[Tensor, "points 3"],
    ) -> Float[Tensor, "points outputs"]:
        """Features of every point; the normals are not looked at, as in the papers."""
        x = (points - points.mean(dim=0)) / self.reach
        positions, hidden = [x], [self.enter(features, x)]
        for down in self.downs:
            x = positions[-1]
            kept = farthest_points(x, max(1, len(x) // self.ratio))
            hidden.append(down(hidden[-1], x, kept))
            positions.append(x[kept])
        result, x_coarse = hidden.pop(), positions.pop()
        for up in self.ups:
            x_fine = positions.pop()
            result = up(result, hidden.pop(), x_coarse, x_fine)
            x_coarse = x_fine
        return self.leave(result)


class PositionEmbedding(nn.Module):
    """First level of networks that read a point's position beside its features."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.mlp = pointwise(inputs + 3, width)

    def forward(
        self, features: Float[Tensor, "points inputs"], x: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points width"]:
        """Hidden features."""
        return self.mlp(torch.cat([features, x], dim=1))


def doubling(width: int, levels: int) -> list[int]:
    """Channels of each level, twice as many as in the one below."""
    return [width * 2**level for level in range(levels + 1)]
