"""Shown surfaces against the true one: what a process of its own does for every frame."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

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
    """Surfaces against the true one; distances are NaN where one of them is empty."""
    true_mesh, scores = mesh_of(true, grid), {}
    for name, volume in volumes.items():
        mesh = mesh_of(volume, grid)
        if mesh is None or true_mesh is None:
            scores[name] = dict.fromkeys(SHAPE_METRICS, float("nan")) | {"iou": 0.0}
            continue
        apart = DISTANCES[distances](mesh, true_mesh, omega, np.random.default_rng(seed))
        iou = intersection_over_union(volume < 0, true < 0)
        scores[name] = {m: ({"iou": iou} | apart)[m] for m in SHAPE_METRICS}
    return scores
