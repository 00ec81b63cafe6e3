"""IoU, Chamfer distance and normal consistency of two meshes, as the papers define them.

The paper of DSR (Eqs. 5-8) and its released code differ; both are here under their own names
and must never stand in one table without them. Lengths are in the units of the meshes: carry
meshes to Ω with :func:`to_omega` for the papers' numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from moedsr_core.errors import InputError
from moedsr_core.frame import CanonicalFrame
from moedsr_core.metrics.distance import closest_points, foot_weights
from moedsr_core.metrics.occupancy import (
    Grid,
    field_occupancy,
    intersection_over_union,
    mesh_occupancy,
)
from moedsr_core.surface.mesh import Mesh
from moedsr_core.surface.sampling import sample_surface


@dataclass(frozen=True, kw_only=True)
class Convention:
    """How the three metrics are computed."""

    squared: bool
    """Chamfer: mean squared distances, summed both ways; else mean distances, half-summed."""
    from_vertices: bool
    """Normal consistency: from and to mesh vertices; else from and to sampled points."""
    samples: int
    """Points sampled on each mesh."""
    nodes: int
    """Nodes of the IoU grid along each axis."""
    whole_mesh: bool
    """IoU on a grid around both meshes; else over [-1, 1]³, ignoring what lies beyond."""

    def __post_init__(self) -> None:
        """Refuse conventions that measure nothing."""
        if self.samples < 1 or self.nodes < 2:
            raise InputError(
                "a convention needs at least 1 sample and 2 nodes, got "
                f"{self.samples} and {self.nodes}"
            )


CONVENTIONS = {
    "paper": Convention(
        squared=False, from_vertices=False, samples=100_000, nodes=128, whole_mesh=True
    ),
    "dsr_code": Convention(
        squared=True, from_vertices=True, samples=300_000, nodes=128, whole_mesh=False
    ),
}
"""``paper``: DSR, Eqs. 5-8; it leaves grid and samples open. ``dsr_code``: as released."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One prediction against the truth."""

    iou: float
    """Volumetric intersection over union; higher is better."""
    chamfer: float
    """Chamfer distance, in the meshes' units, or their square; lower is better."""
    normal_consistency: float
    """Mean |cosine| between normals; 0.5 by chance."""
    normal_consistency_signed: float
    """Mean cosine between normals; 0 by chance."""


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """How two surfaces differ, measured to the triangles and not to samples.

    The limit of infinitely many samples, so that sampling adds no distance of its own.
    """

    chamfer: float
    """Mean distance, averaged over both directions, in the meshes' units (DSR, Eqs. 6-7)."""
    chamfer_squared: float
    """Mean squared distance, summed over both directions (the released code), in units²."""
    hausdorff: float
    """Largest distance from a vertex of either surface to the other, in the meshes' units."""
    normal_consistency: float
    """Mean |cosine| between a true normal and that at the nearest predicted place (Eq. 8)."""
    normal_consistency_signed: float
    """Mean cosine between the same."""


def compare(
    predicted: Mesh,
    truth: Mesh,
    convention: str,
    rng: np.random.Generator,
    *,
    samples: int | None = None,
    nodes: int | None = None,
) -> Scores:
    """Score a predicted mesh against the true one.

    Args:
        predicted: The prediction, in Ω for the papers' numbers.
        truth: The true surface, in the same units.
        convention: A name in :data:`CONVENTIONS`.
        rng: Source of the sampled points.
        samples: Points sampled on each mesh, if not the convention's own number.
        nodes: Grid nodes along each axis, if not the convention's own number.

    Raises:
        InputError: If the convention is unknown or a mesh is empty.
    """
    if convention not in CONVENTIONS:
        raise InputError(f"unknown convention {convention!r}; choose from {sorted(CONVENTIONS)}")
    how = CONVENTIONS[convention]
    how = replace(how, samples=samples or how.samples, nodes=nodes or how.nodes)
    ours, theirs = (sample_surface(m, how.samples, rng) for m in (predicted, truth))
    sources = (predicted, truth) if how.from_vertices else (ours, theirs)
    a, b = ((s.vertices, s.normals) if isinstance(s, Mesh) else s for s in sources)
    unsigned, signed = normal_consistency(*a, *b)
    grid = _around(predicted, truth, how.nodes) if how.whole_mesh else Grid.cube(how.nodes)
    return Scores(
        iou=intersection_over_union(mesh_occupancy(predicted, grid), mesh_occupancy(truth, grid)),
        chamfer=chamfer(ours[0], theirs[0], squared=how.squared),
        normal_consistency=unsigned,
        normal_consistency_signed=signed,
    )


def chamfer(
    a: Float[np.ndarray, "m 3"], b: Float[np.ndarray, "n 3"], *, squared: bool = False
) -> float:
    """Chamfer distance of two point sets.

    Half the sum of the two mean nearest distances (DSR, Eqs. 6-7), or with ``squared`` the whole
    sum of the two mean squared nearest distances (its released code).
    """
    there, back = cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]
    if squared:
        return float(np.square(there).mean() + np.square(back).mean())
    return float(there.mean() + back.mean()) / 2.0


def normal_consistency(
    predicted: Float[np.ndarray, "m 3"],
    predicted_normals: Float[np.ndarray, "m 3"],
    truth: Float[np.ndarray, "n 3"],
    truth_normals: Float[np.ndarray, "n 3"],
) -> tuple[float, float]:
    """Mean |cosine| and mean cosine, each true normal against its nearest predicted point's.

    One direction only, from the truth to the prediction (DSR, Eq. 8).
    """
    _, nearest = cKDTree(predicted).query(truth)
    cosine = np.einsum("nd,nd->n", truth_normals, predicted_normals[nearest], dtype=np.float64)
    return float(np.abs(cosine).mean()), float(cosine.mean())


def deviation(predicted: Mesh, truth: Mesh) -> Deviation:
    """Compare two meshes, each by its vertices weighted with the area around them.

    Raises:
        InputError: If one of them has no triangle.
    """
    ours, theirs = predicted.vertices.astype(np.float64), truth.vertices.astype(np.float64)
    there, _ = closest_points(ours, truth, thorough=False)
    back, face = closest_points(theirs, predicted, thorough=False)
    cosine = np.einsum(
        "nd,nd->n", truth.normals, _normals_at(predicted, theirs, face), dtype=np.float64
    )
    weights, true_weights = _vertex_weights(predicted), _vertex_weights(truth)
    return Deviation(
        chamfer=float(weights @ there + true_weights @ back) / 2.0,
        chamfer_squared=float(weights @ there**2 + true_weights @ back**2),
        hausdorff=float(max(there.max(), back.max())),
        normal_consistency=float(true_weights @ np.abs(cosine)),
        normal_consistency_signed=float(true_weights @ cosine),
    )


def mesh_iou(a: Mesh, b: Mesh, spacing: float) -> float:
    """Intersection over union of two closed meshes on a grid of the given spacing."""
    grid = Grid.around(*_bounds(a, b), spacing)
    return intersection_over_union(mesh_occupancy(a, grid), mesh_occupancy(b, grid))


def field_iou(
    a: Callable[[np.ndarray], np.ndarray],
    b: Callable[[np.ndarray], np.ndarray],
    low: Float[np.ndarray, " 3"],
    high: Float[np.ndarray, " 3"],
    spacing: float,
) -> float:
    """Intersection over union of two signed distances over a box, on a grid of given spacing.

    Args:
        a: Takes positions (n, 3) and gives n signed distances, negative inside.
        b: The same of the other surface.
        low: Lower corner of a box that holds both.
        high: Its upper corner.
        spacing: Distance of grid nodes.
    """
    grid = Grid.around(low, high, spacing)
    return intersection_over_union(field_occupancy(a, grid), field_occupancy(b, grid))


def to_omega(mesh: Mesh, frame: CanonicalFrame) -> Mesh:
    """A mesh of the input's pose [Å] in the units and pose of Ω = [-1, 1]³."""
    vertices = frame.to_canonical(mesh.vertices) / frame.scale
    normals = mesh.normals.astype(np.float64) @ frame.rotation.T
    return Mesh(vertices.astype(np.float32), mesh.faces, normals.astype(np.float32))


def _vertex_weights(mesh: Mesh) -> Float[np.ndarray, " vertices"]:
    """Share of the mesh's area around each vertex; vertices of no triangle have none."""
    areas = np.linalg.norm(mesh.face_vectors, axis=1)
    around = np.bincount(mesh.faces.ravel(), np.repeat(areas, 3), minlength=len(mesh.vertices))
    return around / around.sum()


def _normals_at(
    mesh: Mesh, points: Float[np.ndarray, "n 3"], face: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n 3"]:
    """Unit normals of a mesh, interpolated to the place of a triangle nearest to each point."""
    corners = mesh.faces[face]
    weights = foot_weights(points, mesh.vertices.astype(np.float64)[corners])
    normals = np.einsum("nk,nkd->nd", weights, mesh.normals[corners])
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _bounds(*meshes: Mesh) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    corners = np.concatenate([m.vertices for m in meshes]).astype(np.float64)
    if len(corners) == 0:
        raise InputError("both meshes are empty; there is nothing to compare")
    return corners.min(axis=0), corners.max(axis=0)


def _around(a: Mesh, b: Mesh, nodes: int) -> Grid:
    low, high = _bounds(a, b)
    return Grid.around(low, high, float((high - low).max()) / max(nodes - 3, 1))
