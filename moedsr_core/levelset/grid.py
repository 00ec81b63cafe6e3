"""The regular grid that a level set is searched on, and how the search is set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from moedsr_core.errors import InputError

Box = tuple[Any, Any]
"""Lower and upper corner [Å], each three numbers."""
MAX_NODES = 2**27
"""Largest grid searched, 512³ nodes: a few bytes of scratch memory are kept per node."""


@runtime_checkable
class Field(Protocol):
    """A scalar field that moves in time; negative inside."""

    evaluations: int

    def prepare(self, points: Float[np.ndarray, "n 3"]) -> dict[str, Any]:
        """Time-independent part at points [Å]: tensors of n rows each."""

    def values(self, rows: dict[str, Any], t: float) -> Float[np.ndarray, " n"]:
        """Field [Å] at prepared points and time t."""


@dataclass(frozen=True, kw_only=True)
class LevelSetConfig:
    """How a level set is searched."""

    lipschitz: float = 1.25
    """Assumed bound on |∇f|. A distance has 1 and a network can exceed it, hence the quarter more;
    where the coarse nodes themselves show a steeper field, the bound is 1.25 times that."""
    stride: int = 8
    """Spacing of the nodes evaluated everywhere, in fine spacings; a power of two."""
    store_mb: float = 1024.0
    """Memory for prepared nodes [MiB]; beyond it nodes are prepared anew when they are needed."""
    smallest_part: float = 0.0
    """Solid pieces and closed voids below this volume [Å³] are left out; 0 keeps everything."""

    def __post_init__(self) -> None:
        """Refuse searches that cannot work."""
        if self.lipschitz <= 0 or self.store_mb <= 0:
            raise InputError(
                f"lipschitz and store_mb must be positive, got {self.lipschitz} and {self.store_mb}"
            )
        if not 0 <= self.smallest_part < np.inf:
            raise InputError(f"smallest_part must be a volume in Å³, got {self.smallest_part}")
        if self.stride < 1 or self.stride & (self.stride - 1):
            raise InputError(f"stride must be a power of two (1, 2, 4, 8 …), got {self.stride}")


@dataclass(frozen=True)
class Grid:
    """Nodes ``origin + spacing · (i, j, k)``, numbered in C order.

    Attributes:
        origin: First node [Å].
        spacing: Distance between neighbouring nodes [Å].
        shape: Nodes along each axis; one more than a multiple of the stride it was built for.
    """

    origin: Float[np.ndarray, " 3"]
    spacing: float
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, box: Box, spacing: float, stride: int = 1) -> Grid:
        """Smallest grid that covers a box, centred on it, with cells in whole strides.

        Raises:
            InputError: If the box is empty or the grid would exceed :data:`MAX_NODES`.
        """
        lower, upper = (np.asarray(corner, np.float64) for corner in box)
        if not spacing > 0 or not np.isfinite([lower, upper]).all() or not (upper > lower).all():
            raise InputError(
                "a level set needs a positive spacing and a box whose upper corner lies above its "
                f"lower one, got {spacing} Å and {lower.tolist()} to {upper.tolist()}"
            )
        cells = np.ceil((upper - lower) / spacing / stride - 1e-9).astype(int) * stride
        if np.prod(cells + 1.0) > MAX_NODES:
            needed = spacing * (np.prod(cells + 1.0) / MAX_NODES) ** (1 / 3)
            raise InputError(
                f"a spacing of {spacing:g} Å asks for {np.prod(cells + 1.0):.1e} grid nodes, more "
                f"than {MAX_NODES:.1e}; choose {np.ceil(needed * 100) / 100:g} Å or more"
            )
        nx, ny, nz = (int(n) + 1 for n in cells)
        return cls((lower + upper - cells * spacing) / 2, float(spacing), (nx, ny, nz))

    @property
    def size(self) -> int:
        """Number of nodes."""
        return int(np.prod(self.shape))

    def points(self, nodes: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        """Positions of nodes [Å], float64."""
        return self.origin + self.spacing * np.stack(np.unravel_index(nodes, self.shape), axis=1)
