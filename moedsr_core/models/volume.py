"""A level that keeps a protein's volume while its surface moves.

Random displacements whose size changes from place to place wear protrusions away, so the region
f < 0 shrinks, the more so the thinner and looser the protein. A folded protein in water keeps its
volume within a per cent or two. So the surface that is shown is not f = 0 but f = c(t), the level
that encloses as much as the input's surface, and c(t) is taken off f.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from moedsr_core.surface.lattice import DistanceLattice

TIMES = (-0.9, -0.5, 0.0, 0.5, 1.0)
"""Model times at which the level is measured where no movie says which count."""
_BAND = 4.0
"""Beyond this distance from the input's surface nothing changes sides [Å]."""


@dataclass(frozen=True)
class VolumeLevel:
    """What is taken off f at any time, as a share of how far the surface has risen.

    Attributes:
        times: Where it was measured.
        levels: Level over w(t) there [Å].
    """

    times: Float[Tensor, " times"]
    levels: Float[Tensor, " times"]

    def at(
        self, t: Float[Tensor, "*shape"], rise: Float[Tensor, "*shape"]
    ) -> Float[Tensor, "*shape"]:
        """Level at times t [Å], in straight lines between those measured; ``rise`` is w(t)."""
        if len(self.times) == 1:
            return rise * self.levels[0]
        late = torch.searchsorted(self.times, t.contiguous()).clamp(1, len(self.times) - 1)
        before, after = self.times[late - 1], self.times[late]
        share = ((t - before) / (after - before).clamp_min(1e-6)).clamp(0.0, 1.0)
        return rise * torch.lerp(self.levels[late - 1], self.levels[late], share)


def nodes_near(
    lattice: DistanceLattice, count: int
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, " n"]]:
    """Every so many of the nodes in the band around the surface [Å], and s₀ there.

    Args:
        lattice: Of the input's surface.
        count: How many, at most.
    """
    near = torch.nonzero(lattice.values.abs() < _BAND)
    rows = near[:: -(-len(near) // count)]
    return lattice.origin + lattice.spacing * rows, lattice.values[tuple(rows.T)]


def measure_level(
    times: Float[Tensor, " times"],
    rise: Float[Tensor, " times"],
    values: Iterable[Float[Tensor, "motions n"]],
    start: Float[Tensor, " n"],
) -> VolumeLevel:
    """Find the levels that enclose as many nodes as the input's surface, in the mean over motions.

    Args:
        times: When, in order.
        rise: w(t) then, above zero.
        values: f at the nodes then, in one or several motions [Å].
        start: s₀ at the nodes [Å].
    """
    inside = int((start < 0).sum())
    levels = [_level_around(f.flatten(), len(f) * inside) for f in values]
    return VolumeLevel(times, torch.stack(levels) / rise)


def _level_around(values: Float[Tensor, " n"], inside: int) -> Float[Tensor, ""]:
    """The level nearest to zero below which there are so many values."""
    if not 0 < inside < len(values):
        return values.new_zeros(())
    ordered = values.sort().values
    return values.new_zeros(()).clamp(ordered[inside - 1], ordered[inside])
