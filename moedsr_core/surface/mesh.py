"""Triangle meshes of closed surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Mesh:
    """A closed triangle mesh; faces wind counter-clockwise seen from outside.

    Attributes:
        vertices: Positions [Å], float32.
        faces: Vertex indices of each triangle, int32.
        normals: Outward unit normal at every vertex, float32.
    """

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    normals: Float[np.ndarray, "vertices 3"]

    @property
    def face_vectors(self) -> Float[np.ndarray, "faces 3"]:
        """Outward vector of each triangle, as long as its area [Å²]."""
        a, b, c = (self.vertices[self.faces[:, k]].astype(np.float64) for k in range(3))
        return 0.5 * np.cross(b - a, c - a)

    @property
    def area(self) -> float:
        """Surface area [Å²]."""
        return float(np.linalg.norm(self.face_vectors, axis=1).sum())

    @property
    def volume(self) -> float:
        """Enclosed volume [Å³], by the divergence theorem; holes count negative."""
        centroids = self.vertices[self.faces].astype(np.float64).mean(axis=1)
        return float((centroids * self.face_vectors).sum() / 3.0)

    @property
    def is_watertight(self) -> bool:
        """Whether every edge is shared by two triangles that run along it in opposite ways."""
        if len(self.faces) == 0:
            return False
        edges = self.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
        n = len(self.vertices)
        forward, counts = np.unique(edges[:, 0] * n + edges[:, 1], return_counts=True)
        backward = np.unique(edges[:, 1] * n + edges[:, 0])
        return bool((counts == 1).all() and np.array_equal(forward, backward))


def vertex_normals(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
) -> Float[np.ndarray, "vertices 3"]:
    """Area-weighted unit normals of a triangle mesh, float32."""
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    total = mean_around(np.cross(b - a, c - a), faces, len(vertices))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return (total / np.maximum(length, 1e-12)).astype(np.float32)


def mean_around(
    values: Float[np.ndarray, "faces k"], faces: Int[np.ndarray, "faces 3"], n_vertices: int
) -> Float[np.ndarray, "vertices k"]:
    """Mean over the triangles around each vertex; zero for vertices of no triangle."""
    corners = faces.ravel()
    counts = np.bincount(corners, minlength=n_vertices)
    sums = [np.bincount(corners, np.repeat(c, 3), minlength=n_vertices) for c in values.T]
    return np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
