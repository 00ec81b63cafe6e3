"""Where the papers are silent or contradict their code: the choices, each under its name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from moedsr_core.frame import canonical_frame
from moedsr_core.metrics.scores import CONVENTIONS, chamfer, deviation, normal_consistency
from moedsr_core.surface.mesh import Mesh
from moedsr_core.surface.sampling import sample_surface

SHAPE_METRICS = (
    "iou", "chamfer_paper", "chamfer_dsr_code", "nc_abs", "nc_signed", "chamfer_A", "hausdorff_A",
    "volume_ratio", "parts",
)  # fmt: skip
"""What is measured for every frame."""


def _fitted(
    coords: Float[np.ndarray, "frames atoms 3"], radii: Float[np.ndarray, " atoms"]
) -> float:
    return canonical_frame(coords[0]).scale


def _dsr(coords: Float[np.ndarray, "frames atoms 3"], radii: Float[np.ndarray, " atoms"]) -> float:
    """Half of 1.1 times the largest extent along an axis (its lib/dataset.py), of all surfaces.

    The outermost point of a surface along an axis is that of an atom, so no mesh is needed.
    """
    grown = radii[:, None]
    extent = (coords + grown).max(axis=(0, 1)) - (coords - grown).min(axis=(0, 1))
    return 1.1 * float(extent.max()) / 2.0


OMEGAS: dict[str, Callable[..., float]] = {"fitted": _fitted, "dsr": _dsr}
"""Length of a unit of Ω [Å], given the frames' atoms in the canonical pose and their radii."""


def _between_surfaces(
    predicted: Mesh, truth: Mesh, scale: float, rng: np.random.Generator
) -> dict[str, float]:
    apart = deviation(predicted, truth)
    return {
        "chamfer_paper": apart.chamfer / scale,
        "chamfer_dsr_code": apart.chamfer_squared / scale**2,
        "nc_abs": apart.normal_consistency,
        "nc_signed": apart.normal_consistency_signed,
        "chamfer_A": apart.chamfer,
        "hausdorff_A": apart.hausdorff,
    }


def _between_samples(
    predicted: Mesh, truth: Mesh, scale: float, rng: np.random.Generator
) -> dict[str, float]:
    many = CONVENTIONS["dsr_code"].samples
    ours, theirs = (sample_surface(mesh, many, rng)[0] for mesh in (predicted, truth))
    unsigned, signed = normal_consistency(
        predicted.vertices, predicted.normals, truth.vertices, truth.normals
    )
    return _between_surfaces(predicted, truth, scale, rng) | {
        "chamfer_paper": chamfer(ours, theirs) / scale,
        "chamfer_dsr_code": chamfer(ours, theirs, squared=True) / scale**2,
        "nc_abs": unsigned,
        "nc_signed": signed,
    }


DISTANCES: dict[str, Callable[..., dict[str, float]]] = {
    "surface": _between_surfaces,
    "samples": _between_samples,
}
"""All metrics of two meshes [Å] but the IoU."""
