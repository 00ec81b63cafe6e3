"""Values of a moving field where its level set can be, at one time after another.

A node c with |f(c)| > L·|x - c| fixes the sign of f at x when |∇f| ≤ L. Nodes are therefore
evaluated coarse to fine, and a node whose sign follows from its coarser neighbours is not
evaluated at all. Every cell whose corners differ in sign then has its corners evaluated, which
may turn neighbouring cells into crossing ones, until nothing changes: this flood fill mends
any sign that a steeper field made wrong next to a surface that was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int

from moedsr_core.errors import InputError
from moedsr_core.levelset.grid import Grid, LevelSetConfig
from moedsr_core.levelset.store import NodeStore
from moedsr_core.surface.parts import remove_small_parts

_NUDGE = 1e-5
"""Values nearer to zero than this share of the spacing count as that far outside: a zero exactly
on a node leaves holes in Lewiner's marching cubes (measured with scikit-image 0.26)."""
_SLOPE_SAFETY = 1.25
_HALVINGS = [[o for o in product((0, 1), repeat=3) if sum(o) == k] for k in (1, 2, 3)]
"""Nodes between those of a lattice, in half strides: on its edges, its faces, in its cells."""


class BandValues:
    """A field minus its level on a grid at one time: exact where evaluated, else a signed bound.

    Attributes:
        values: Value [Å] of every node, float32; where ``known`` is false only the sign holds,
            and the magnitude is a lower bound.
        known: Which nodes were evaluated at this time.
        t: The time.
    """

    def __init__(self, store: NodeStore, level: float, t: float) -> None:
        self.grid: Grid = store.grid
        self.values = np.zeros(self.grid.shape, np.float32)
        self.known = np.zeros(self.grid.shape, bool)
        self._wanted = np.zeros(self.grid.size, bool)
        self._store, self._level, self.t = store, level, t

    def ensure(self, nodes: Int[np.ndarray, " n"]) -> None:
        """Evaluate those of the distinct nodes that are not known."""
        known, values = self.known.reshape(-1), self.values.reshape(-1)
        missing = nodes[~known[nodes]]
        if len(missing) == 0:
            return
        new = self._store.values(missing, self.t) - np.float32(self._level)
        nudge = np.float32(_NUDGE * self.grid.spacing)
        values[missing] = np.where(np.abs(new) < nudge, nudge, new)
        known[missing] = True

    def sample(
        self, points: Float[np.ndarray, "n 3"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
        """Trilinear interpolation at points [Å]: value [Å] and gradient, float32.

        Corners that are not known are evaluated. Points outside the grid take its edge cells.
        """
        x = (points - self.grid.origin) / self.grid.spacing
        cell = np.clip(np.floor(x), 0, np.array(self.grid.shape) - 2).astype(np.int64)
        f = (x - cell).astype(np.float32)
        _, ny, nz = self.grid.shape
        first = (cell[:, 0] * ny + cell[:, 1]) * nz + cell[:, 2]
        corners = (
            first
            + np.array([(a * ny + b) * nz + c for a, b, c in product((0, 1), repeat=3)])[:, None]
        )
        missing = corners[~self.known.reshape(-1)[corners]]
        if len(missing):
            self._wanted[missing] = True
            self.ensure(np.flatnonzero(self._wanted))
            self._wanted[missing] = False
        v = self.values.reshape(-1)[corners].reshape(2, 2, 2, -1)
        return _trilinear(v, f, self.grid.spacing)


def _trilinear(
    v: Float[np.ndarray, "2 2 2 n"], f: Float[np.ndarray, "n 3"], spacing: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
    x, y, z = f.T
    along_x, dx = v[0] + x * (v[1] - v[0]), v[1] - v[0]
    along_y, dy = along_x[0] + y * (along_x[1] - along_x[0]), along_x[1] - along_x[0]
    dx = dx[0] + y * (dx[1] - dx[0])
    gradient = np.stack(
        [dx[0] + z * (dx[1] - dx[0]), dy[0] + z * (dy[1] - dy[0]), along_y[1] - along_y[0]], axis=1
    )
    return along_y[0] + z * (along_y[1] - along_y[0]), gradient / np.float32(spacing)


@dataclass(frozen=True)
class Located:
    """Where the level set is at one time.

    Attributes:
        field: Values of the nodes then.
        crossing: Cells that it crosses.
    """

    field: BandValues
    crossing: Bool[np.ndarray, "cx cy cz"]

    @property
    def corners(self) -> Bool[np.ndarray, "x y z"]:
        """Nodes of the cells that it crosses."""
        return spread(self.crossing)


class NarrowBand:
    """The cells that a moving level set crosses, found anew at every time from the last ones.

    Args:
        store: Prepared nodes, shared by everything that asks for the same field.
        level: Value of the level set [Å].
        config: How to search.
    """

    def __init__(self, store: NodeStore, level: float, config: LevelSetConfig) -> None:
        self.grid = store.grid
        self._store, self._level, self._config = store, level, config
        lattice = np.zeros(self.grid.shape, bool)
        lattice[:: config.stride, :: config.stride, :: config.stride] = True
        self._coarse = np.flatnonzero(lattice)
        self._last = self._coarse

    def go_on(self, store: NodeStore) -> None:
        """Take the values at later times from another store of the same grid."""
        self._store = store

    def locate(self, t: float) -> Located:
        """Evaluate every node that the level set at time t needs.

        Raises:
            InputError: If there is no level set in the box or it leaves the box.
        """
        field = BandValues(self._store, self._level, t)
        field.ensure(self._last)
        self._refine(field)
        located = self._flood(field)
        _check(located)
        corners = located.corners
        corners.reshape(-1)[self._coarse] = True
        self._last = np.flatnonzero(corners)
        if self._config.smallest_part > 0:
            remove_small_parts(field.values, self.grid.spacing, self._config.smallest_part)
            located = Located(field, crossing_cells(field.values))
        return located

    def _refine(self, field: BandValues) -> None:
        """Fix the sign of every node, from the coarse lattice down to the finest.

        Of each halving, nodes on edges come first, then those on faces, then those in the
        middle of cells, so that each has closer neighbours than the ones before.
        """
        stride, slope = self._config.stride, self._slope(field)
        while stride > 1:
            for offsets in _HALVINGS:
                uncertain = [self._infer(field, offset, stride, slope) for offset in offsets]
                field.ensure(np.concatenate(uncertain))
            stride //= 2

    def _slope(self, field: BandValues) -> float:
        """Bound on |∇f|: the assumed one, or more where the coarse lattice shows more."""
        s = self._config.stride
        coarse = field.values[::s, ::s, ::s]
        steepest = max(float(np.abs(np.diff(coarse, axis=k)).max()) for k in range(3))
        return max(self._config.lipschitz, _SLOPE_SAFETY * steepest / (s * self.grid.spacing))

    def _infer(
        self, field: BandValues, offset: tuple[int, ...], stride: int, slope: float
    ) -> Int[np.ndarray, " uncertain"]:
        """Bound the nodes half a stride along ``offset`` by their neighbours.

        Returns:
            Nodes whose sign no neighbour fixes, or whose neighbours contradict each other.
        """
        change = slope * self.grid.spacing * stride / 2
        low, high = _bounds(field.values, offset, stride, change)
        positive, negative = high > 0, low < 0
        target = _lattice(offset, stride)
        unknown = ~field.known[target]
        np.copyto(field.values[target], np.where(positive, high, low), where=unknown)
        found = np.nonzero(unknown & (positive == negative))
        steps = [f * stride + o * stride // 2 for f, o in zip(found, offset, strict=True)]
        return np.ravel_multi_index(tuple(steps), self.grid.shape)

    def _flood(self, field: BandValues) -> Located:
        """Evaluate the corners of crossing cells until no further cell crosses."""
        while True:
            located = Located(field, crossing_cells(field.values))
            missing = np.flatnonzero(located.corners & ~field.known)
            if len(missing) == 0:
                return located
            field.ensure(missing)


def _bounds(
    values: Float[np.ndarray, "nx ny nz"], offset: tuple[int, ...], stride: int, change: float
) -> tuple[Float[np.ndarray, "x y z"], Float[np.ndarray, "x y z"]]:
    """Least upper and greatest lower bound of f [Å] that the neighbours give.

    These are the lattice nodes around and, off the edges, the nodes half a stride away.

    Args:
        values: f of the nodes, known or bounded [Å].
        offset: Which nodes, in half strides from the lattice.
        stride: Spacing of the lattice in nodes.
        change: Most that f can change over half a stride [Å].
    """
    axes = [int(axis) for axis in np.flatnonzero(offset)]
    low = high = values[_lattice((0, 0, 0), stride)]
    for axis in axes:
        low, high = _pairs(np.minimum, low, axis), _pairs(np.maximum, high, axis)
    far = np.float32(change * np.sqrt(len(axes)))
    low, high = low + far, high - far
    for axis in axes if len(axes) > 1 else ():
        beside = [o if k != axis else 0 for k, o in enumerate(offset)]
        near = values[_lattice(beside, stride)]
        low = np.minimum(low, _pairs(np.minimum, near, axis) + np.float32(change))
        high = np.maximum(high, _pairs(np.maximum, near, axis) - np.float32(change))
    return low, high


def _check(located: Located) -> None:
    t, inside = located.field.t, located.field.values <= 0
    if any(inside.take((0, -1), axis=k).any() for k in range(3)):
        raise InputError(
            f"the surface at t = {t:g} leaves the box it is searched in; "
            "use a larger box or another level"
        )
    if not located.crossing.any():
        raise InputError(
            f"there is no surface at t = {t:g}: the field never crosses the level in this "
            "box; use a finer spacing, another level or another model"
        )


def _lattice(offset: Sequence[int], stride: int) -> tuple[slice, ...]:
    """Every ``stride``-th node along each axis, from half a stride on where ``offset`` is 1."""
    return tuple(slice(o * stride // 2, None, stride) for o in offset)


def crossing_cells(values: Float[np.ndarray, "x y z"]) -> Bool[np.ndarray, "cx cy cz"]:
    """Cells with corners on both sides of zero."""
    every = some = values > 0
    for axis in range(3):
        every = _pairs(np.logical_and, every, axis)
        some = _pairs(np.logical_or, some, axis)
    return some & ~every


def spread(cells: Bool[np.ndarray, "cx cy cz"]) -> Bool[np.ndarray, "x y z"]:
    """Corners of cells."""
    for axis in range(3):
        widths = [(1, 1) if k == axis else (0, 0) for k in range(3)]
        cells = _pairs(np.logical_or, np.pad(cells, widths), axis)
    return cells


def _pairs(combine: np.ufunc, values: np.ndarray, axis: int) -> np.ndarray:
    """Combine neighbours along an axis."""
    ahead, behind = [slice(None)] * 3, [slice(None)] * 3
    ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
    return combine(values[tuple(behind)], values[tuple(ahead)])
