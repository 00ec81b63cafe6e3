"""How near a predicted surface is to the true one, in the papers' two conventions and in Å."""

from moedsr_core.metrics.distance import closest_points, foot_weights
from moedsr_core.metrics.motion import correlation, majority_shape, surface_rmsf
from moedsr_core.metrics.occupancy import (
    Grid,
    field_occupancy,
    intersection_over_union,
    mesh_occupancy,
)
from moedsr_core.metrics.scores import (
    CONVENTIONS,
    Convention,
    Deviation,
    Scores,
    chamfer,
    compare,
    deviation,
    field_iou,
    mesh_iou,
    normal_consistency,
    to_omega,
)

__all__ = [
    "CONVENTIONS",
    "Convention",
    "Deviation",
    "Grid",
    "Scores",
    "chamfer",
    "closest_points",
    "compare",
    "correlation",
    "deviation",
    "field_iou",
    "field_occupancy",
    "foot_weights",
    "intersection_over_union",
    "majority_shape",
    "mesh_iou",
    "mesh_occupancy",
    "normal_consistency",
    "surface_rmsf",
    "to_omega",
]
