"""Exact distance from points to a triangle mesh."""

from __future__ import annotations

from itertools import chain

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from moedsr_core.errors import InputError
from moedsr_core.surface.mesh import Mesh

_NEIGHBOURS = 4
"""Triangles measured first, for an upper bound of the distance."""
_PAIRS = 1 << 20
"""Pairs of point and triangle that are held at a time."""


def closest_points(
    points: Float[np.ndarray, "n 3"], mesh: Mesh
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Distance from each point to the nearest place on a mesh, and the triangle it lies in.

    The triangles of the nearest centroids give an upper bound; then every triangle is measured
    whose centroid is no farther than that and the mesh's largest triangle reaches.

    Returns:
        Unsigned distance, in the mesh's units, and index of the triangle.

    Raises:
        InputError: If the mesh has no triangle or the points are not finite.
    """
    if len(mesh.faces) == 0:
        raise InputError("a distance to a mesh needs at least one triangle, got none")
    if not np.isfinite(points).all():
        raise InputError("points must be finite numbers; some are NaN or infinite")
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    centroids = corners.mean(axis=1)
    reach = float(np.linalg.norm(corners - centroids[:, None], axis=2).max())
    tree = cKDTree(centroids)
    _, near = tree.query(points, k=[*range(1, min(_NEIGHBOURS, len(corners)) + 1)])
    rows = np.repeat(np.arange(len(points)), near.shape[1])
    bound, _ = _nearest(points, corners, rows, near.ravel())
    radius = (bound + reach) * (1 + 1e-9)
    counts = tree.query_ball_point(points, radius, return_length=True)
    distance, face = np.empty(len(points)), np.empty(len(points), np.int64)
    for part in _portions(counts):
        found = tree.query_ball_point(points[part], radius[part])
        rows = np.repeat(np.arange(len(counts[part])), counts[part])
        candidates = np.fromiter(chain.from_iterable(found), np.int64, len(rows))
        distance[part], face[part] = _nearest(points[part], corners, rows, candidates)
    return distance, face


def _portions(counts: Int[np.ndarray, " n"]) -> list[slice]:
    """Runs of points that have about :data:`_PAIRS` candidates together."""
    portion = np.cumsum(counts) // _PAIRS
    starts = np.flatnonzero(np.diff(portion, prepend=-1))
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], len(counts)], strict=True)]


def _nearest(
    points: Float[np.ndarray, "n 3"],
    corners: Float[np.ndarray, "faces 3 3"],
    rows: Int[np.ndarray, " pairs"],
    candidates: Int[np.ndarray, " pairs"],
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Smallest distance of each point to its candidates; ``rows`` ascend and miss no point."""
    distance = triangle_distance(points[rows], corners[candidates])
    order = np.lexsort((distance, rows))
    first = order[np.flatnonzero(np.diff(rows[order], prepend=-1))]
    return distance[first], candidates[first]


def triangle_distance(
    points: Float[np.ndarray, "n 3"], triangles: Float[np.ndarray, "n 3 3"]
) -> Float[np.ndarray, " n"]:
    """Distance of each point to its own triangle; triangles without area count as segments."""
    edges = np.roll(triangles, -1, axis=1) - triangles
    offsets = points[:, None] - triangles
    along = np.einsum("nkd,nkd->nk", offsets, edges)
    length = np.einsum("nkd,nkd->nk", edges, edges)
    share = np.clip(along / np.where(length > 0, length, 1.0), 0.0, 1.0)
    gaps = np.linalg.norm(offsets - share[..., None] * edges, axis=2)
    normal = np.cross(edges[:, 0], edges[:, 1])
    area = np.linalg.norm(normal, axis=1)
    inward = np.einsum("nkd,nkd->nk", np.cross(normal[:, None], edges), offsets)
    above = (inward >= 0).all(axis=1) & (area > 0)
    height = np.abs(np.einsum("nd,nd->n", normal, offsets[:, 0])) / np.where(area > 0, area, 1.0)
    return np.where(above, height, gaps.min(axis=1))
