"""The surface points as a graph: smoothed normals, quasi-geodesic neighbours, subsampling.

Every pairwise search runs in blocks of rows, so that memory grows with the points and not with
their square. Lengths are Å.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from moedsr_core.threads import search_threads

_BLOCK = 4_000_000
"""Pairs held at once; 16 MB of float32 per pairwise quantity."""


@dataclass(frozen=True)
class SurfaceGraph:
    """Neighbourhoods of surface points.

    Attributes:
        neighbours: Index of each point's neighbours, nearest first.
        distances: Quasi-geodesic distances to them [Å].
        envelope: Smooth weight of each neighbour: 1 beside the point, 0 with vanishing first and
            second derivative where the neighbourhood ends.
        offsets: ``x_i - x_j`` [Å].
    """

    neighbours: Int[Tensor, "points k"]
    distances: Float[Tensor, "points k"]
    envelope: Float[Tensor, "points k"]
    offsets: Float[Tensor, "points k 3"]


def smoothed_normals(
    points: Float[Tensor, "points 3"], normals: Float[Tensor, "points 3"], sigma: float
) -> Float[Tensor, "points 3"]:
    """Unit normals averaged with a Gaussian of width ``sigma`` [Å] (MoE-DSR, before Eq. 2)."""
    blocks = []
    for rows in _blocks(len(points), len(points)):
        squared = (points[rows, None] - points).square().sum(dim=-1)
        blocks.append(torch.exp(-squared / (2.0 * sigma**2)) @ normals)
    total = torch.cat(blocks)
    return total / torch.linalg.norm(total, dim=1, keepdim=True).clamp_min(1e-12)


def quasi_geodesic(
    euclidean: Float[Tensor, "*shape"], cosine: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Approximate distance along the surface, ``|x_i - x_j| (2 - <n_i, n_j>)``.

    Between one and three times the straight distance (MoE-DSR Eq. 2).
    """
    return euclidean * (2.0 - cosine)


def cutoff_envelope(ratio: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Fade ``(1 - u²)³`` of a distance u in units of the cutoff; twice differentiable at 1.

    The paper cuts its window off sharply. With the fade, features stay smooth when a point
    enters or leaves a neighbourhood.
    """
    return (1.0 - ratio.clamp(max=1.0).square()) ** 3


def surface_graph(
    points: Float[Tensor, "points 3"],
    normals: Float[Tensor, "points 3"],
    window: float,
    max_neighbours: int,
) -> SurfaceGraph:
    """Join each point with those within a quasi-geodesic window, the nearest ones first.

    Where more than ``max_neighbours`` lie within the window, the neighbourhood ends at the
    first one left out, so that the envelope vanishes there too.

    Args:
        points: Surface points [Å].
        normals: Smoothed unit normals.
        window: Reach of the neighbourhood σ_d [Å].
        max_neighbours: Most neighbours of one point.
    """
    k = min(max_neighbours, len(points) - 1)
    index = _nearest_along_surface(points, normals, min(k + 1, len(points) - 1))
    offsets = points[:, None] - points[index]
    cosine = (normals[:, None] * normals[index]).sum(dim=-1)
    length = (offsets.square().sum(dim=-1) + 1e-12).sqrt()
    distances = quasi_geodesic(length, cosine)
    reach = torch.full_like(distances[:, :1], window)
    if distances.shape[1] > k:
        reach = torch.minimum(reach, distances[:, k:])
    envelope = cutoff_envelope(distances[:, :k] / reach)
    return SurfaceGraph(index[:, :k], distances[:, :k], envelope, offsets[:, :k])


@torch.no_grad()
def _nearest_along_surface(
    points: Float[Tensor, "points 3"], normals: Float[Tensor, "points 3"], k: int
) -> Int[Tensor, "points k"]:
    found = []
    for rows in _blocks(len(points), len(points)):
        distances = quasi_geodesic(_distance(points[rows], points), normals[rows] @ normals.T)
        itself = torch.arange(len(points), device=points.device)[rows]
        distances.scatter_(1, itself[:, None], torch.inf)
        found.append(distances.topk(k, dim=1, largest=False).indices)
    return torch.cat(found)


def nearest_by_tree(
    queries: Float[Tensor, "q 3"], targets: Float[Tensor, "t 3"], k: int
) -> Int[Tensor, "q k"]:
    """Index of the ``k`` targets nearest to each query, nearest first, by a k-d tree."""
    tree = cKDTree(targets.detach().cpu().numpy())
    points, threads = queries.detach().cpu().numpy(), search_threads(len(queries))
    _, index = tree.query(points, k=[*range(1, k + 1)], workers=threads)
    return torch.as_tensor(index, device=queries.device)


@torch.no_grad()
def nearest(
    queries: Float[Tensor, "queries 3"], targets: Float[Tensor, "targets 3"], k: int
) -> Int[Tensor, "queries k"]:
    """Index of the ``k`` targets nearest to each query (all of them, if fewer), nearest first."""
    k = min(k, len(targets))
    if queries.device.type == "cpu":
        return nearest_by_tree(queries, targets, k)
    found = [
        _distance(queries[rows], targets).topk(k, dim=1, largest=False).indices
        for rows in _blocks(len(queries), len(targets))
    ]
    return torch.cat(found)


@torch.no_grad()
def farthest_points(points: Float[Tensor, "points 3"], count: int) -> Int[Tensor, " count"]:
    """Index of ``count`` well-spread points, the one farthest from the centroid first.

    Each next point is the one farthest from all chosen before (Gonzalez 1985). Unlike a voxel
    grid this choice turns with the molecule and ignores the order of the points.
    """
    chosen = torch.empty(count, dtype=torch.int64, device=points.device)
    gap = torch.full_like(points[:, 0], torch.inf)
    current = (points - points.mean(dim=0)).square().sum(dim=1).argmax()
    for k in range(count):
        chosen[k] = current
        gap = torch.minimum(gap, (points - points[current]).square().sum(dim=1))
        current = gap.argmax()
    return chosen


def interpolate(
    values: Float[Tensor, "known channels"],
    known: Float[Tensor, "known 3"],
    queries: Float[Tensor, "queries 3"],
    k: int = 3,
) -> Float[Tensor, "queries channels"]:
    """Inverse-square-distance mean of the ``k`` nearest known values (Qi et al. 2017, Eq. 2).

    The weights end at the first value left out (Franke & Little 1980), so that the mean stays
    continuous where the nearest ones change.
    """
    index = nearest(queries, known, k + 1)
    distance = ((queries[:, None] - known[index]).square().sum(dim=-1) + 1e-6).sqrt()
    weights = 1.0 / distance.square()
    if distance.shape[1] > k:
        weights = (1.0 / distance[:, :k] - 1.0 / distance[:, k:]).square() + 1e-9
    weights = weights / weights.sum(dim=1, keepdim=True)
    return (weights[..., None] * values[index[:, :k]]).sum(dim=1)


def _distance(a: Float[Tensor, "n 3"], b: Float[Tensor, "m 3"]) -> Float[Tensor, "n m"]:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, _BLOCK // max(columns, 1))
    for start in range(0, rows, step):
        yield slice(start, start + step)
