"""Points spread evenly over a mesh."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from moedsr_core.errors import InputError
from moedsr_core.surface.mesh import Mesh


def sample_surface(
    mesh: Mesh, n_points: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Points drawn uniformly by area, with the outward unit normals interpolated there.

    Systematic sampling along the faces (one uniform offset, equal area steps) rather than
    independent draws, so that no part of the surface is left bare by chance.

    Args:
        mesh: A mesh with at least one triangle.
        n_points: How many points to draw.
        rng: Source of randomness; the same state gives the same points.

    Returns:
        Points [Å] and unit normals.

    Raises:
        InputError: If the mesh has no area or ``n_points`` is not positive.
    """
    areas = np.linalg.norm(mesh.face_vectors, axis=1)
    if n_points < 1 or not areas.sum() > 0:
        raise InputError(
            f"sampling needs a mesh with area and at least one point, got {areas.sum():.3g} Å² "
            f"and {n_points} points"
        )
    steps = (np.arange(n_points) + rng.random()) / n_points
    ends = np.cumsum(areas)
    chosen = np.minimum(np.searchsorted(ends, steps * ends[-1], side="right"), len(areas) - 1)
    corners = mesh.faces[chosen]
    root, share = np.sqrt(rng.random(n_points)), rng.random(n_points)
    weights = np.stack([1 - root, root * (1 - share), root * share], axis=1)
    points = np.einsum("nk,nkd->nd", weights, mesh.vertices[corners].astype(np.float64))
    normals = np.einsum("nk,nkd->nd", weights, mesh.normals[corners].astype(np.float64))
    return points, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
