"""Shown surfaces against the true one: what a process of its own does for every frame."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from moedsr_core.evaluation.conventions import DISTANCES, SHAPE_METRICS
from moedsr_core.evaluation.truth import mesh_of
from moedsr_core.metrics.occupancy import Grid, intersection_over_union


def shape_scores(
    volumes: dict[str, Float[np.ndarray, "i j k"]],
    true: Float[np.ndarray, "i j k"],
    grid: Grid,
    omega: float,
    distances: str,
    seed: tuple[int, int],
) -> dict[str, dict[str, float]]:
    """Surfaces against the true one; distances are NaN where one of them is empty.

    The first surface is that of ``static``.
    """
    true_mesh, scores = mesh_of(true, grid), {}
    first = int((volumes["static"] < 0).sum())
    for name, volume in volumes.items():
        inside = volume < 0
        known = {
            "iou": 0.0,
            "volume_ratio": float(inside.sum()) / first,
            "parts": float(ndimage.label(inside)[1]),
        }
        mesh = mesh_of(volume, grid)
        if mesh is not None and true_mesh is not None:
            known["iou"] = intersection_over_union(inside, true < 0)
            known |= DISTANCES[distances](mesh, true_mesh, omega, np.random.default_rng(seed))
        scores[name] = {metric: known.get(metric, float("nan")) for metric in SHAPE_METRICS}
    return scores
