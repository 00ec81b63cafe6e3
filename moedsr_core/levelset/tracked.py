"""A mesh whose vertices follow a moving level set, so that its topology stays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

from moedsr_core.levelset.band import NarrowBand, spread
from moedsr_core.surface.mesh import Mesh, vertex_normals

_STEPS = 8
"""Most Newton steps per time."""
_TOLERANCE = 0.005
"""Residual at which a vertex rests, in spacings."""
_SETTLING = 5
"""Smoothing rounds for a new mesh; marching cubes leaves slivers."""
_SMOOTHING = 0.3
"""Share of the way to the mean of its neighbours that a vertex slides per round."""
_STRAY = 1.0
"""Largest residual of a vertex, in spacings, before the mesh is given up."""
_COVER = 2
"""Cells within which every crossing cell must have a vertex."""
_SLIVER = 0.1
"""Quality below which a triangle counts as spoilt; 1 is equilateral, 0 flat or turned over."""
_SPOILT = 0.01
"""Share of triangles that may spoil before the mesh is given up."""


class Tracker:
    """Moves one mesh along with a band.

    Args:
        mesh: A mesh of the level set that the band holds now.
        band: Where the level set is now.
    """

    def __init__(self, mesh: Mesh, band: NarrowBand) -> None:
        self._faces = mesh.faces
        self._neighbours = _neighbour_mean(mesh.faces, len(mesh.vertices))
        self._spacing = band.grid.spacing
        x = mesh.vertices.astype(np.float64)
        for _ in range(_SETTLING):
            x, _ = self._slide(x, band)
        self._settle(x)
        self._spoilt_at_first = self._spoilt(x, self.mesh.normals)

    def follow(self, band: NarrowBand) -> bool:
        """Move to the level set the band holds now; False, and unmoved, if that spoils the mesh."""
        x, residual = self._project(self.mesh.vertices.astype(np.float64), band)
        if np.abs(residual).max() > _STRAY * self._spacing:
            return False
        x, residual = self._slide(x, band)
        if np.abs(residual).max() > _STRAY * self._spacing or not _covers(x, band):
            return False
        _, gradient = band.field.sample(x)
        if self._spoilt(x, gradient) > self._spoilt_at_first + _SPOILT:
            return False
        self._settle(x)
        return True

    def _settle(self, x: Float[np.ndarray, "v 3"]) -> None:
        vertices = x.astype(np.float32)
        self.mesh = Mesh(vertices, self._faces, vertex_normals(vertices, self._faces))

    def _project(
        self, x: Float[np.ndarray, "v 3"], band: NarrowBand
    ) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, " v"]]:
        """Newton steps along ∇f/|∇f|², none longer than a spacing, and the residual [Å]."""
        x = x.copy()
        residual = np.zeros(len(x), np.float32)
        moving = np.arange(len(x))
        for step in range(_STEPS + 1):
            residual[moving], gradient = band.field.sample(x[moving])
            rest = np.abs(residual[moving]) <= _TOLERANCE * self._spacing
            moving, gradient = moving[~rest], gradient[~rest]
            if step == _STEPS or len(moving) == 0:
                break
            slope = np.maximum(np.square(gradient).sum(axis=1), 0.25)
            length = residual[moving] / slope
            reach = np.abs(length) * np.sqrt(slope)
            length *= np.minimum(1.0, self._spacing / np.maximum(reach, 1e-9))
            x[moving] -= length[:, None] * gradient
        return x, residual

    def _slide(
        self, x: Float[np.ndarray, "v 3"], band: NarrowBand
    ) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, " v"]]:
        """One round of Laplacian smoothing within the surface, then back onto it."""
        normals = vertex_normals(x, self._faces)
        pull = self._neighbours @ x - x
        pull -= (pull * normals).sum(axis=1, keepdims=True) * normals
        return self._project(x + _SMOOTHING * pull, band)

    def _spoilt(self, x: Float[np.ndarray, "v 3"], outward: Float[np.ndarray, "v 3"]) -> float:
        """Share of triangles that are slivers or face inwards."""
        a, b, c = (x[self._faces[:, k]] for k in range(3))
        area = np.cross(b - a, c - a)
        facing = (area * outward[self._faces].sum(axis=1)).sum(axis=1) > 0
        edges = sum(np.square(u - v).sum(axis=1) for u, v in ((a, b), (b, c), (c, a)))
        quality = 2 * np.sqrt(3) * np.linalg.norm(area, axis=1) / np.maximum(edges, 1e-12)
        return float(1 - (facing & (quality > _SLIVER)).mean())


def _covers(x: Float[np.ndarray, "v 3"], band: NarrowBand) -> bool:
    """Whether every crossing cell has a vertex within :data:`_COVER` cells."""
    shape = np.array(band.crossing.shape)
    cell = np.clip(np.floor((x - band.grid.origin) / band.grid.spacing).astype(int), 0, shape - 1)
    near: Bool[np.ndarray, "cx cy cz"] = np.zeros(band.crossing.shape, bool)
    near[tuple(cell.T)] = True
    for _ in range(_COVER):
        near = spread(spread(near))[1:-1, 1:-1, 1:-1]
    return not (band.crossing & ~near).any()


def _neighbour_mean(faces: Int[np.ndarray, "f 3"], n: int) -> csr_matrix:
    """Matrix that takes each vertex to the mean of its neighbours."""
    start, end = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).T
    links = csr_matrix((np.ones(len(start)), (start, end)), shape=(n, n))
    links = ((links + links.T) > 0).astype(np.float64)
    counts = np.asarray(links.sum(axis=1)).ravel()
    return csr_matrix(links.multiply(1.0 / np.maximum(counts, 1.0)[:, None]))
