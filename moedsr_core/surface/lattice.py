"""A surface's signed distance on a regular lattice, for fields that move the surface about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from moedsr_core.surface.ses import SolventExcludedSurface

_COARSENING = 4
_MAX_NODES = 5e7
"""Most nodes of a lattice; a larger molecule gets a coarser one."""


@dataclass(frozen=True, eq=False)
class DistanceLattice:
    """Signed distances at nodes ``origin + spacing · (i, j, k)``.

    Attributes:
        values: Distances [Å]; exact in the band asked for, interpolated from a lattice four times
            as coarse elsewhere.
        origin: First node [Å].
        spacing: Distance between neighbouring nodes [Å].
    """

    values: Float[Tensor, "x y z"]
    origin: Float[Tensor, " 3"]
    spacing: float

    @classmethod
    def around(
        cls, surface: SolventExcludedSurface, *, spacing: float, band: float, margin: float
    ) -> DistanceLattice:
        """Measure a surface.

        Args:
            surface: What to measure.
            spacing: Distance between nodes [Å]; more where the molecule is too large for it.
            band: Distance from the surface within which values are exact [Å].
            margin: Free space between the surface and the border [Å].
        """
        lower, upper = surface.bounds
        lower, upper = lower - margin, upper + margin
        spacing = max(spacing, float((np.prod(upper - lower) / _MAX_NODES) ** (1 / 3)))
        cells = np.ceil((upper - lower) / (_COARSENING * spacing)).astype(int)
        stride = _COARSENING * spacing
        rough = surface.signed_distance(lower + stride * _indices(cells + 1))
        coarse = torch.from_numpy(rough.reshape((cells + 1).tolist()).astype(np.float32))
        shape = (_COARSENING * cells + 1).tolist()
        values = nn.functional.interpolate(
            coarse[None, None], size=shape, mode="trilinear", align_corners=True
        )[0, 0]
        near = values.abs() < band + np.sqrt(3) * stride / 2
        exact = surface.signed_distance(lower + spacing * np.argwhere(near.numpy()))
        values[near] = torch.from_numpy(exact.astype(np.float32))
        return cls(values, torch.tensor(lower, dtype=torch.float32), spacing)

    def to(self, like: Tensor) -> DistanceLattice:
        """The same lattice on another tensor's device, in its precision."""
        return DistanceLattice(self.values.to(like), self.origin.to(like), self.spacing)

    def sample(self, x: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape"]:
        """Trilinear interpolation [Å] at points [Å]; outside the lattice, its border's value."""
        last = torch.tensor(self.values.shape, device=x.device) - 1
        unit = 2.0 * (x - self.origin) / (self.spacing * last) - 1.0
        found = nn.functional.grid_sample(
            self.values[None, None],
            unit.flip(-1).reshape(1, -1, 1, 1, 3),
            mode="bilinear",
            padding_mode="border",
            align_corners=True,
        )
        return found.reshape(x.shape[:-1])


def _indices(shape: np.ndarray) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
