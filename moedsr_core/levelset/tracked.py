"""A mesh whose vertices follow a moving level set, so that its topology stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from moedsr_core.levelset.band import BandValues, Located, spread
from moedsr_core.surface.mesh import Mesh, vertex_normals

_STEPS = 8
"""Most Newton steps per time."""
_TOLERANCE = 0.005
"""Residual at which a vertex rests, in spacings."""
_SETTLING = 10
"""Smoothing rounds for a new mesh; marching cubes leaves slivers."""
_SETTLING_SHARE = 0.5
"""Share of the way to the mean of its neighbours that a vertex of a new mesh slides per round."""
_FOLLOWING_SHARE = 0.1
"""The same for the one round per time, so that vertices stay with their part of the surface."""
_LEAST_SLOPE = 0.5
"""Steps are no longer than with a field this steep."""
_STRAY = 1.0
"""Largest residual of a vertex, in spacings, before the mesh is given up."""
_COVER = 2
"""Cells within which every crossing cell must have a vertex."""
_SLIVER = 0.1
"""Quality below which a triangle counts as spoilt; 1 is equilateral, 0 flat or turned over."""
_SPOILT = 0.01
"""Share of all triangles that may spoil before the mesh is given up."""
_SPOILT_OF_PIECE = 0.25
"""The same for each connected piece: one that vanished folds up and is lost in the whole."""


class Tracker:
    """Moves one mesh along with a level set.

    Args:
        mesh: A mesh of that level set.
        now: Where the level set is now.
    """

    def __init__(self, mesh: Mesh, now: Located) -> None:
        self._faces = mesh.faces
        self._neighbours = _neighbour_mean(mesh.faces, len(mesh.vertices))
        self._piece = connected_components(self._neighbours, directed=False)[1][mesh.faces[:, 0]]
        self._spacing = now.field.grid.spacing
        rest = self._project(mesh.vertices.astype(np.float64), now.field)
        for _ in range(_SETTLING):
            rest = self._slide(rest, now.field, _SETTLING_SHARE)
        self._settle(rest.positions)
        self._spoilt_at_first = self._spoilt(rest)
        self._allowed = np.where(np.arange(len(self._spoilt_at_first)), _SPOILT_OF_PIECE, _SPOILT)

    def follow(self, now: Located) -> bool:
        """Move to where the level set is now; False, and unmoved, if that spoils the mesh."""
        rest = self._project(self.mesh.vertices.astype(np.float64), now.field)
        rest = self._slide(rest, now.field, _FOLLOWING_SHARE)
        if rest.stray(self._spacing) or not _covers(rest.positions, now):
            return False
        if (self._spoilt(rest) > self._spoilt_at_first + self._allowed).any():
            return False
        self._settle(rest.positions)
        return True

    def _settle(self, x: Float[np.ndarray, "v 3"]) -> None:
        vertices = x.astype(np.float32)
        self.mesh = Mesh(vertices, self._faces, vertex_normals(vertices, self._faces))

    def _project(self, x: Float[np.ndarray, "v 3"], field: BandValues) -> _Landed:
        """Newton steps along ∇f/|∇f|², none longer than a spacing."""
        x = x.copy()
        residual, gradient = field.sample(x)
        moving = np.arange(len(x))
        for _ in range(_STEPS):
            moving = moving[np.abs(residual[moving]) > _TOLERANCE * self._spacing]
            if len(moving) == 0:
                break
            slope = np.maximum(np.square(gradient[moving]).sum(axis=1), _LEAST_SLOPE**2)
            length = residual[moving] / slope
            reach = np.abs(length) * np.sqrt(slope)
            length *= np.minimum(1.0, self._spacing / np.maximum(reach, 1e-9))
            x[moving] -= length[:, None] * gradient[moving]
            residual[moving], gradient[moving] = field.sample(x[moving])
        return _Landed(x, residual, gradient)

    def _slide(self, rest: _Landed, field: BandValues, share: float) -> _Landed:
        """One round of Laplacian smoothing within the surface, then back onto it."""
        x, normals = rest.positions, rest.normals
        pull = self._neighbours @ x - x
        pull -= (pull * normals).sum(axis=1, keepdims=True) * normals
        return self._project(x + share * pull, field)

    def _spoilt(self, rest: _Landed) -> Float[np.ndarray, " pieces"]:
        """Share of triangles that are slivers or face inwards: of all, then of each piece."""
        x = rest.positions.astype(np.float32)
        a, b, c = (x[self._faces[:, k]] for k in range(3))
        area = _cross(b - a, c - a)
        outward = rest.gradient[self._faces].sum(axis=1)
        facing = (area * outward).sum(axis=1) > 0
        edges = sum(np.square(u - v).sum(axis=1) for u, v in ((a, b), (b, c), (c, a)))
        size = np.sqrt(np.square(area).sum(axis=1))
        bad = ~(facing & (2 * np.sqrt(3) * size > _SLIVER * edges))
        shares = np.bincount(self._piece, bad) / np.bincount(self._piece)
        return np.concatenate([[bad.mean()], shares])


@dataclass(frozen=True)
class _Landed:
    """Where vertices came to rest, with what is left of the field there and its gradient."""

    positions: Float[np.ndarray, "v 3"]
    residual: Float[np.ndarray, " v"]
    gradient: Float[np.ndarray, "v 3"]

    @property
    def normals(self) -> Float[np.ndarray, "v 3"]:
        length = np.sqrt(np.square(self.gradient).sum(axis=1, keepdims=True))
        return self.gradient / np.maximum(length, 1e-9)

    def stray(self, spacing: float) -> bool:
        """Whether a vertex stayed too far from the surface."""
        return bool(np.abs(self.residual).max() > _STRAY * spacing)


def _cross(u: Float[np.ndarray, "n 3"], v: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Cross products; faster than numpy's own for many short vectors."""
    (a, b, c), (x, y, z) = u.T, v.T
    return np.stack([b * z - c * y, c * x - a * z, a * y - b * x], axis=1)


def _covers(x: Float[np.ndarray, "v 3"], now: Located) -> bool:
    """Whether every crossing cell has a vertex within :data:`_COVER` cells."""
    grid, shape = now.field.grid, np.array(now.crossing.shape)
    cell = np.clip(np.floor((x - grid.origin) / grid.spacing).astype(int), 0, shape - 1)
    near: Bool[np.ndarray, "cx cy cz"] = np.zeros(now.crossing.shape, bool)
    near[tuple(cell.T)] = True
    for _ in range(_COVER):
        near = spread(spread(near))[1:-1, 1:-1, 1:-1]
    return not (now.crossing & ~near).any()


def _neighbour_mean(faces: Int[np.ndarray, "f 3"], n: int) -> csr_matrix:
    """Matrix that takes each vertex to the mean of its neighbours."""
    start, end = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).T
    links = csr_matrix((np.ones(len(start)), (start, end)), shape=(n, n))
    links = ((links + links.T) > 0).astype(np.float64)
    counts = np.asarray(links.sum(axis=1)).ravel()
    return csr_matrix(links.multiply(1.0 / np.maximum(counts, 1.0)[:, None]))
