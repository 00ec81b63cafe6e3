"""Which nodes of a regular grid lie inside a closed surface, and how two such solids overlap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from moedsr_core.errors import InputError
from moedsr_core.surface.mesh import Mesh

MAX_NODES = 400_000_000
"""Largest grid that is taken on: 400 MB of occupancy."""
_CHUNK = 1 << 18
"""Grid nodes whose signed distance is asked for at a time."""


@dataclass(frozen=True)
class Grid:
    """Regular grid of nodes; node (i, j, k) lies at ``origin + spacing · (i, j, k)``.

    Attributes:
        origin: Position of the first node, in the surface's units.
        spacing: Distance of neighbouring nodes, in the same units.
        shape: Nodes along each axis.
    """

    origin: Float[np.ndarray, " 3"]
    spacing: float
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        """Refuse grids without nodes, without size, or too large to hold."""
        if not (0 < self.spacing < np.inf and np.isfinite(self.origin).all()):
            raise InputError(
                f"a grid needs a finite origin and a positive spacing, got {self.spacing}"
            )
        if min(self.shape) < 1 or np.prod(np.array(self.shape, float)) > MAX_NODES:
            raise InputError(
                f"a grid must have 1 to {MAX_NODES:,} nodes, got {self.shape}; choose the spacing "
                "accordingly"
            )

    @classmethod
    def around(
        cls, low: Float[np.ndarray, " 3"], high: Float[np.ndarray, " 3"], spacing: float
    ) -> Grid:
        """Grid of the given spacing over the box from ``low`` to ``high`` and one node beyond."""
        if not 0 < spacing < np.inf:
            raise InputError(f"a grid's spacing must be a positive number, got {spacing}")
        low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        counts = np.ceil((high - low) / spacing).astype(int) + 3
        return cls(low - spacing, float(spacing), (int(counts[0]), int(counts[1]), int(counts[2])))

    @classmethod
    def cube(cls, nodes: int, half_width: float = 1.0) -> Grid:
        """``nodes``³ grid over the cube [-half_width, half_width]³, its faces included."""
        spacing = 2.0 * half_width / (nodes - 1)
        return cls(np.full(3, -half_width), spacing, (nodes, nodes, nodes))

    def axis(self, k: int) -> Float[np.ndarray, " nodes"]:
        """Positions of the nodes along axis ``k``."""
        return self.origin[k] + self.spacing * np.arange(self.shape[k])

    def nodes(self, flat: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        """Positions of nodes given by their index in the flattened grid."""
        return self.origin + self.spacing * np.stack(np.unravel_index(flat, self.shape), axis=1)


def field_occupancy(
    signed_distance: Callable[[np.ndarray], np.ndarray], grid: Grid
) -> Bool[np.ndarray, "i j k"]:
    """Nodes where a signed distance is negative: inside.

    Args:
        signed_distance: Takes positions (n, 3) and gives n signed distances, negative inside.
        grid: Where to ask.
    """
    inside = np.empty(int(np.prod(grid.shape)), bool)
    for start in range(0, len(inside), _CHUNK):
        part = np.arange(start, min(start + _CHUNK, len(inside)))
        inside[part] = np.asarray(signed_distance(grid.nodes(part))) < 0
    return inside.reshape(grid.shape)


def mesh_occupancy(mesh: Mesh, grid: Grid) -> Bool[np.ndarray, "i j k"]:
    """Nodes inside a mesh: rays along ±z cross it an odd number of times both ways.

    The test of the released DSR code (after Occupancy Networks, arXiv:1812.03828). Rays that meet
    an edge or a corner are decided as if they ran beside it, the same way for every triangle.
    """
    columns, heights = _crossings(mesh, grid)
    steps = np.ceil((heights - grid.origin[2]) / grid.spacing).astype(np.int64)
    steps = np.clip(steps, 0, grid.shape[2])
    n_columns = grid.shape[0] * grid.shape[1]
    stride = grid.shape[2] + 1
    counts = np.bincount(columns * stride + steps, minlength=n_columns * stride)
    below = np.cumsum(counts.reshape(n_columns, stride), axis=1)
    odd_below = below[:, :-1] % 2 == 1
    odd_above = (below[:, -1:] - below[:, :-1]) % 2 == 1
    return (odd_below & odd_above).reshape(grid.shape)


def intersection_over_union(a: Bool[np.ndarray, "*first"], b: Bool[np.ndarray, "*second"]) -> float:
    """Nodes in both over nodes in either (DSR, Eq. 5) of two sets of nodes.

    Raises:
        InputError: If the shapes differ or both sets are empty.
    """
    if a.shape != b.shape:
        raise InputError(f"both solids must lie on one grid, got {a.shape} and {b.shape}")
    union = np.count_nonzero(a | b)
    if union == 0:
        raise InputError("both solids are empty on this grid; choose a finer or larger one")
    return np.count_nonzero(a & b) / union


def _crossings(
    mesh: Mesh, grid: Grid
) -> tuple[Int[np.ndarray, " hits"], Float[np.ndarray, " hits"]]:
    """Grid columns along z that meet the mesh, and the height of each meeting."""
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    triangle, i, j = _column_pairs(corners[..., :2], grid)
    x, y = grid.axis(0)[i], grid.axis(1)[j]
    sides = _edge_sides(mesh, triangle, x, y)
    hit = np.abs(sides.sum(axis=1)) == 3
    triangle, i, j, x, y = triangle[hit], i[hit], j[hit], x[hit], y[hit]
    return i * grid.shape[1] + j, _height(corners[triangle], x, y)


def _column_pairs(
    flat: Float[np.ndarray, "faces 3 2"], grid: Grid
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Every triangle with every grid column in the box around its shadow."""
    limit = np.array(grid.shape[:2]) - 1
    first = np.ceil((flat.min(axis=1) - grid.origin[:2]) / grid.spacing).astype(np.int64)
    last = np.floor((flat.max(axis=1) - grid.origin[:2]) / grid.spacing).astype(np.int64)
    first, last = np.maximum(first, 0), np.minimum(last, limit)
    counts = np.maximum(last - first + 1, 0)
    total = counts.prod(axis=1)
    triangle = np.repeat(np.arange(len(flat)), total)
    rank = np.arange(len(triangle)) - np.repeat(np.cumsum(total) - total, total)
    width = counts[triangle, 1]
    return triangle, first[triangle, 0] + rank // width, first[triangle, 1] + rank % width


def _edge_sides(
    mesh: Mesh,
    triangle: Int[np.ndarray, " pairs"],
    x: Float[np.ndarray, " pairs"],
    y: Float[np.ndarray, " pairs"],
) -> Int[np.ndarray, "pairs 3"]:
    """On which side (+1, -1) of each edge of its triangle a column passes; 0 for no edge.

    The edge is taken from its lower to its higher vertex, so that both its triangles get the same
    number; ties are broken as if the column stood at (x + ε, y + ε²).
    """
    sides = np.empty((len(triangle), 3), np.int8)
    for k in range(3):
        tail, head = mesh.faces[triangle, k], mesh.faces[triangle, (k + 1) % 3]
        turn = np.where(tail < head, 1, -1)
        a = mesh.vertices[np.minimum(tail, head)].astype(np.float64)
        b = mesh.vertices[np.maximum(tail, head)].astype(np.float64)
        dx, dy = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1]
        side = np.sign(dx * (y - a[:, 1]) - dy * (x - a[:, 0]))
        side = np.where(side == 0, np.where(dy == 0, np.sign(dx), -np.sign(dy)), side)
        sides[:, k] = turn * side
    return sides


def _height(
    corners: Float[np.ndarray, "hits 3 3"],
    x: Float[np.ndarray, " hits"],
    y: Float[np.ndarray, " hits"],
) -> Float[np.ndarray, " hits"]:
    """Height z at which the vertical line through (x, y) meets each triangle."""
    a, u, v = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(u, v)
    slope = (normal[:, 0] * (x - a[:, 0]) + normal[:, 1] * (y - a[:, 1])) / normal[:, 2]
    return np.clip(a[:, 2] - slope, corners[..., 2].min(axis=1), corners[..., 2].max(axis=1))
