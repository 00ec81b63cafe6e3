"""A model against a trajectory, beside the dull baselines.

*static* is the first frame for all times; *mean_shape* is the majority shape of the true frames,
the best that any single shape can do, and no prediction: it knows the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from skimage.measure import marching_cubes

from moedsr_core.data.ensemble import Ensemble
from moedsr_core.errors import InputError
from moedsr_core.levelset.parts import remove_small_parts
from moedsr_core.metrics.motion import correlation
from moedsr_core.metrics.occupancy import Grid, intersection_over_union
from moedsr_core.metrics.scores import compare, deviation
from moedsr_core.model_field import ModelField
from moedsr_core.models.base import ProteinInput
from moedsr_core.models.inputs import protein_input
from moedsr_core.models.registry import LoadedModel
from moedsr_core.predict import SMALLEST_PART
from moedsr_core.surface.mesh import Mesh, vertex_normals
from moedsr_core.surface.ses import SolventExcludedSurface

BAND = 6.0
"""Distances are measured within this of the first surface [Å]; beyond, its sign stands."""
_DRAWS = 24
"""Motions drawn to measure the predicted fluctuation; its relative error is 1/√48."""


@dataclass(frozen=True)
class Measured:
    """Signed distances of every true frame on one grid, in the first frame's canonical pose [Å].

    Attributes:
        grid: The nodes.
        near: Nodes within :data:`BAND` of the first surface.
        start: Distance of every node to the first surface.
        frames: Distance of the near nodes to each later frame's surface.
    """

    grid: Grid
    near: Bool[np.ndarray, "i j k"]
    start: Float[np.ndarray, "i j k"]
    frames: Float[np.ndarray, "frames near"]

    def volume(self, values: Float[np.ndarray, " near"]) -> Float[np.ndarray, "i j k"]:
        """Distances on the whole grid, given those at the near nodes; without crumbs.

        What is too small to be shown is left out of every surface, true or predicted, as it is
        left out of a prediction.
        """
        volume = self.start.copy()
        volume[self.near] = values
        remove_small_parts(volume, self.grid.spacing, SMALLEST_PART)
        return volume


def mesh_of(volume: Float[np.ndarray, "i j k"], grid: Grid) -> Mesh:
    """Zero level set of distances on a grid, by marching cubes."""
    vertices, faces, _, _ = marching_cubes(volume, 0.0, gradient_direction="descent")
    vertices = grid.origin + grid.spacing * vertices.astype(np.float64)
    normals = vertex_normals(vertices, faces)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), normals)


def evaluate(
    ensemble: Ensemble,
    loaded: LoadedModel,
    *,
    n_frames: int = 8,
    spacing: float = 1.0,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Scores of a model and of the baselines on one trajectory.

    The first frame is the input; later frames, evenly spaced, are the truth. ``typical`` is the
    model's typical shape at each time, ``drawn`` one motion drawn from it.

    Args:
        ensemble: A superposed trajectory.
        loaded: The model.
        n_frames: True frames compared with.
        spacing: Of the grid on which volumes and meshes are compared [Å].
        seed: Which motion is drawn, and which points meshes are compared at.

    Returns:
        For each of ``static``, ``mean_shape``, ``typical``, ``drawn``: mean over frames of iou,
        chamfer_A, hausdorff_A, chamfer_paper (units of Ω), nc_abs, nc_signed. Under ``motion``:
        frame0_iou, gap_closed, rmsf_r, rmsf_ratio (median predicted over true), displacement_r.

    Raises:
        InputError: If the trajectory has fewer than two frames.
    """
    if len(ensemble) < 2:
        raise InputError(f"an evaluation needs at least two frames, got {len(ensemble)}")
    protein, frame = protein_input(ensemble.structure, scale=loaded.scale, seed=seed)
    chosen = np.unique(np.linspace(1, len(ensemble) - 1, n_frames).round().astype(int))
    posed = [frame.to_canonical(ensemble.coords[k]) for k in chosen]
    surfaces = [SolventExcludedSurface(x, ensemble.structure.radii) for x in posed]
    measured = _measure(protein.surface, surfaces, spacing)
    times = np.asarray(loaded.time_map.to_t(ensemble.lags_ps[chosen]))
    motion = _field(loaded, protein, times)
    typical = motion(None)
    rows = typical.prepare(measured.grid.nodes(np.flatnonzero(measured.near)))
    predicted = {
        name: np.stack([field.values(rows, t) for t in times])
        for name, field in (("typical", typical), ("drawn", motion(seed)))
    }
    still = np.repeat(measured.start[measured.near][None], len(times), 0)
    majority = np.repeat(np.median(measured.frames, axis=0)[None], len(times), 0)
    contenders = {"static": still, "mean_shape": majority, **predicted}
    truths = [measured.volume(values) for values in measured.frames]
    table = {
        name: _compare(measured, [measured.volume(v) for v in values], truths, protein.scale, seed)
        for name, values in contenders.items()
    }
    table["motion"] = _motion(table, measured, motion, surfaces, protein.surface, times)
    first = typical.values(rows, -1.0)
    table["motion"]["frame0_iou"] = intersection_over_union(
        measured.volume(first) < 0, measured.start < 0
    )
    return table


def _measure(
    first: SolventExcludedSurface, surfaces: list[SolventExcludedSurface], spacing: float
) -> Measured:
    low, high = first.bounds
    grid = Grid.around(low - BAND, high + BAND, spacing)
    start = first.signed_distance(grid.nodes(np.arange(np.prod(grid.shape)))).reshape(grid.shape)
    near = np.abs(start) < BAND
    nodes = grid.nodes(np.flatnonzero(near))
    return Measured(grid, near, start, np.stack([s.signed_distance(nodes) for s in surfaces]))


@torch.no_grad()
def _field(
    loaded: LoadedModel,
    protein: ProteinInput,
    times: Float[np.ndarray, " frames"],
) -> Callable[[int | None], ModelField]:
    """Maker of the field of one drawn motion, by its seed, or of the typical motion."""
    code = loaded.model.encode(protein)

    def make(seed: int | None) -> ModelField:
        path = None
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            path = loaded.model.latent_path(len(times), generator)
        return ModelField(loaded.model, code, times, path)

    return make


def _compare(
    measured: Measured,
    volumes: list[Float[np.ndarray, "i j k"]],
    truths: list[Float[np.ndarray, "i j k"]],
    scale: float,
    seed: int,
) -> dict[str, float]:
    rows = []
    for ours, theirs in zip(volumes, truths, strict=True):
        rng = np.random.default_rng(seed)
        mesh, truth = mesh_of(ours, measured.grid), mesh_of(theirs, measured.grid)
        apart = deviation(mesh, truth)
        scores = compare(mesh, truth, "paper", rng, samples=20_000, nodes=8)
        rows.append(
            {
                "iou": intersection_over_union(ours < 0, theirs < 0),
                "chamfer_A": apart.chamfer,
                "hausdorff_A": apart.hausdorff,
                "chamfer_paper": scores.chamfer / scale,
                "nc_abs": scores.normal_consistency,
                "nc_signed": scores.normal_consistency_signed,
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _motion(
    table: dict[str, dict[str, float]],
    measured: Measured,
    motion: Callable[[int | None], ModelField],
    surfaces: list[SolventExcludedSurface],
    first: SolventExcludedSurface,
    times: Float[np.ndarray, " frames"],
) -> dict[str, float]:
    """How much each place of the first surface moves: predicted against true."""
    vertices = first.mesh(measured.grid.spacing).vertices.astype(np.float64)
    true = np.stack([surface.signed_distance(vertices) for surface in surfaces])
    rows = motion(None).prepare(vertices)
    typical = np.stack([motion(None).values(rows, t) for t in times])
    drawn = np.stack(
        [[field.values(rows, t) for t in times] for field in map(motion, range(_DRAWS))]
    )
    rmsf, true_rmsf = np.sqrt(drawn.var(axis=0).mean(axis=0)), true.std(axis=0, ddof=1)
    span = table["mean_shape"]["iou"] - table["static"]["iou"]
    return {
        "gap_closed": _ratio(table["typical"]["iou"] - table["static"]["iou"], span),
        "rmsf_r": correlation(rmsf, true_rmsf),
        "rmsf_ratio": _ratio(float(np.median(rmsf)), float(np.median(true_rmsf))),
        "displacement_r": correlation(-typical.mean(axis=0), -true.mean(axis=0)),
    }


def _ratio(part: float, whole: float) -> float:
    """Quotient; NaN where the true frames do not move, so that there is nothing to compare."""
    return part / whole if abs(whole) > 1e-9 else float("nan")
