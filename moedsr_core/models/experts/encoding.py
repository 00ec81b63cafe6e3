"""Ψ: how an expert sees a point of space."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moedsr_core.errors import InputError
from moedsr_core.models.equivariant import o3

DEGREES = {1: (0,), 3: (1,), 9: (0, 1, 2), 16: (0, 1, 2, 3)}
"""Degrees l behind each encoding size φ_SH (MoE-DSR, Table 2)."""


class Encoding(nn.Module, ABC):
    """A map of points, smooth everywhere, linear in |x| along each ray."""

    size: int
    """Numbers per point."""
    distance_columns: slice
    """Columns whose norm is |x|; the others may start without weight."""

    @abstractmethod
    def forward(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, "n size"]:
        """Encode points. Differentiable twice everywhere."""


class SphericalEncoding(Encoding):
    """Ψ(x) = |x|·Y(x/|x|), the irreps of a point (MoE-DSR, above Eq. 6).

    Written as ``S_l(x)·ρ^(1-l)`` with the solid harmonics S_l, which are polynomials, and
    ``ρ = √(|x|² + softening²)``, so that values and all derivatives are finite at x = 0. Harmonics
    are normalised to ``|Y_l(u)| = 1``: the norm of each degree's block is |x|, and l = 1 is x
    itself, so that ``size = 3`` is the plain coordinate.
    """

    def __init__(self, size: int, softening: float = 1e-3) -> None:
        super().__init__()
        if size not in DEGREES:
            raise InputError(f"the encoding's size must be one of {sorted(DEGREES)}, got {size}")
        self.size = size
        self.softening = softening
        self.degrees = DEGREES[size]
        first = 1 if 1 in self.degrees else 0
        start = sum(2 * degree + 1 for degree in self.degrees if degree < first)
        self.distance_columns = slice(start, start + 2 * first + 1)

    def forward(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, "n size"]:
        """Encode points."""
        radius = (x.square().sum(dim=-1, keepdim=True) + self.softening**2).sqrt()
        solid = o3.spherical_harmonics(list(self.degrees), x, normalize=False, normalization="norm")
        blocks = solid.split([2 * degree + 1 for degree in self.degrees], dim=-1)
        scaled = [
            block * radius ** (1 - degree)
            for block, degree in zip(blocks, self.degrees, strict=True)
        ]
        return torch.cat(scaled, dim=-1)


class CoordinateEncoding(Encoding):
    """The plain coordinate: the paper's "naive MLP" ablation."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 3
        self.distance_columns = slice(0, 3)

    def forward(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, "n size"]:
        """Return the points themselves."""
        return x
