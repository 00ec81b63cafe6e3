"""Which nodes of a grid lie inside a closed mesh, and which lines from the others run into it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

LINES = 7
"""Lines through each node: along the axes, and along the four diagonals of a cube."""
_ASIDE = 1e-3 * np.sqrt([2.0, 3.0, 5.0])
"""Nodes stand this far beside round numbers [Å], so that none lies on a vertex or an edge."""


@dataclass(frozen=True)
class Grid:
    """Nodes at even distances.

    Attributes:
        origin: The first node [Å], (3,).
        spacing: Between neighbours [Å].
        shape: Nodes along each axis.
    """

    origin: np.ndarray
    spacing: float
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, low: np.ndarray, high: np.ndarray, spacing: float) -> Grid:
        """Nodes over a box."""
        counts = np.ceil((high - low) / spacing).astype(int) + 1
        shape = (int(counts[0]), int(counts[1]), int(counts[2]))
        return cls(np.asarray(low, np.float64) + _ASIDE, spacing, shape)

    def near(self, points: np.ndarray, radius: float) -> np.ndarray:
        """Nodes within a distance of any of some points, bool of the grid's shape."""
        found = np.zeros(self.shape, bool)
        for point in points:
            first = np.maximum(np.ceil((point - radius - self.origin) / self.spacing), 0)
            last = np.minimum((point + radius - self.origin) // self.spacing + 1, self.shape)
            part = tuple(slice(int(a), max(int(b), int(a))) for a, b in zip(first, last))  # noqa: B905
            x, y, z = (
                self.origin[k] + self.spacing * np.arange(part[k].start, part[k].stop) - point[k]
                for k in range(3)
            )
            found[part] |= (
                np.square(x)[:, None, None] + np.square(y)[:, None] + np.square(z) <= radius**2
            )
        return found

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which points lie in the box, and the index of the node nearest to each of those.

        Args:
            points: Positions [Å], (n, 3).

        Returns:
            Bool (n,), and indices into the flattened grid.
        """
        index = np.rint((points - self.origin) / self.spacing).astype(np.int64)
        within = ((index >= 0) & (index < self.shape)).all(axis=1)
        return within, np.ravel_multi_index(tuple(index[within].T), self.shape)


def inside_mesh(vertices: np.ndarray, faces: np.ndarray, grid: Grid) -> np.ndarray:
    """Nodes inside a closed mesh.

    A line upward from a node inside leaves the mesh once more often than it enters it; that is
    counted for whole columns of nodes at a time, and holds for meshes that run through themselves.

    Args:
        vertices: Positions [Å], (n, 3).
        faces: Vertices of each triangle, counter-clockwise from outside, (m, 3).
        grid: The nodes.

    Returns:
        Bool of the grid's shape.
    """
    a, b, c = ((vertices - grid.origin) / grid.spacing)[faces.T]
    triangle, i, j = _columns(a, b, c, grid.shape)
    a = a[triangle]
    u, v = b[triangle] - a, c[triangle] - a
    x, y = i - a[:, 0], j - a[:, 1]
    turn = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    safe = np.where(turn == 0.0, np.inf, turn)
    along_u = (x * v[:, 1] - y * v[:, 0]) / safe
    along_v = (y * u[:, 0] - x * u[:, 1]) / safe
    hit = (turn != 0.0) & (along_u >= 0) & (along_v >= 0) & (along_u + along_v <= 1)
    height = a[hit, 2] + along_u[hit] * u[hit, 2] + along_v[hit] * v[hit, 2]
    steps = np.clip(np.ceil(height), 0, grid.shape[2]).astype(np.int64)
    stride = grid.shape[2] + 1
    column = i[hit] * grid.shape[1] + j[hit]
    size = grid.shape[0] * grid.shape[1] * stride
    signs = np.bincount(column * stride + steps, np.sign(turn[hit]), minlength=size)
    above = np.cumsum(signs.reshape(*grid.shape[:2], stride)[..., ::-1], axis=2)[..., ::-1]
    return above[..., 1:] > 0.5


def _columns(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles with the columns of nodes that stand in the box around the shadow of each.

    Args:
        a: First corner of each triangle, in steps of the grid, (faces, 3).
        b: Second corner.
        c: Third corner.
        shape: Nodes along each axis.

    Returns:
        Triangle, and the column's place along both axes, (pairs,) each.
    """
    low, high = (pick(pick(a, b), c) for pick in (np.minimum, np.maximum))
    first = np.maximum(np.ceil(low[:, :2]), 0).astype(np.int64)
    last = np.minimum(np.floor(high[:, :2]), np.array(shape[:2]) - 1).astype(np.int64)
    last[high[:, 2] < 0] = -1  # below all nodes
    counts = np.maximum(last - first + 1, 0)
    total = counts[:, 0] * counts[:, 1]
    triangle = np.repeat(np.arange(len(a)), total)
    rank = np.arange(len(triangle)) - np.repeat(np.cumsum(total) - total, total)
    width = counts[triangle, 1]
    return triangle, first[triangle, 0] + rank // width, first[triangle, 1] + rank % width


def enclosed_lines(inside: np.ndarray) -> np.ndarray:
    """How many of the seven lines through each node meet the inside on both sides, within the box.

    Args:
        inside: Which nodes lie inside, bool (i, j, k).

    Returns:
        Count of each node, from 0 to :data:`LINES`, int8 (i, j, k).
    """
    count = np.zeros(inside.shape, np.int8)
    for axis in range(3):
        ahead = np.flip(np.logical_or.accumulate(np.flip(inside, axis), axis), axis)
        count += ahead & np.logical_or.accumulate(inside, axis)
    for dy, dz in product((1, -1), repeat=2):
        count += _swept(inside, dy, dz) & _swept(inside[::-1], -dy, -dz)[::-1]
    return count


def _swept(inside: np.ndarray, dy: int, dz: int) -> np.ndarray:
    """Whether the inside lies on the line from each node in direction (-1, -dy, -dz)."""
    seen = inside.copy()
    to, back = _shift(dy)
    to_z, back_z = _shift(dz)
    for i in range(1, len(seen)):
        seen[i, to, to_z] |= seen[i - 1, back, back_z]
    return seen


def _shift(step: int) -> tuple[slice, slice]:
    """Where rows go that are moved by one, and where they come from."""
    there, back = slice(1, None), slice(None, -1)
    return (there, back) if step > 0 else (back, there)
