"""A finished prediction against the states of a molecule that moved, for the plugin.

The states are the truth, as in :mod:`moedsr_core.evaluation`; the prediction is the meshes that
PyMOL shows, so no model is asked anything.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from moedsr_core.data.ensemble import anchors_of, superpose
from moedsr_core.errors import InputError
from moedsr_core.evaluation.contenders import mean_shape
from moedsr_core.evaluation.motion import by_residue, r, ratio, true_tally
from moedsr_core.evaluation.together import frame_pool, in_order
from moedsr_core.evaluation.truth import Truth, measure_truth, mesh_of
from moedsr_core.frame import CanonicalFrame, canonical_frame
from moedsr_core.mesh_trajectory import Frame, MeshTrajectory, load_trajectory
from moedsr_core.metrics.occupancy import intersection_over_union, mesh_occupancy
from moedsr_core.metrics.scores import deviation
from moedsr_core.plugin_task import Tell, read_arrays, run
from moedsr_core.structure import Structure, polymer_heavy_mask
from moedsr_core.surface.mesh import Mesh
from moedsr_core.surface.ses import SolventExcludedSurface

METRICS = ("iou", "chamfer_A", "nc_signed", "nc_abs")
"""What is measured for every state; :mod:`moedsr_core.evaluation` says how."""
CONTENDERS = ("predicted", "static", "mean_shape")
"""The prediction, its first frame at all times, and the best still shape in wrong nodes."""
_LEAST_ANCHORS = 3

Shape = tuple[Mesh | None, Bool[np.ndarray, "i j k"]]
"""A mesh, and which nodes of the grid lie inside it."""


@dataclass(frozen=True)
class Outcome:
    """What was measured.

    Attributes:
        scores: Contender → metric → value at every later state.
        motion: Numbers over all states; NaN where they mean nothing.
        residue: Number in the input of each residue that has a part of the surface.
        true_rmsf: Standard deviation of the surface there over the states [Å].
        predicted_rmsf: The same over the prediction's frames [Å]; NaN where that is not known.
    """

    scores: dict[str, dict[str, Float[np.ndarray, " states"]]]
    motion: dict[str, float]
    residue: Int[np.ndarray, " exposed"]
    true_rmsf: Float[np.ndarray, " exposed"]
    predicted_rmsf: Float[np.ndarray, " exposed"]


def compare(
    prediction: MeshTrajectory,
    start: Structure,
    molecule: Structure,
    states: Float[np.ndarray, "states atoms 3"],
    frames: Int[np.ndarray, " later"],
    *,
    spacing: float = 1.0,
    tell: Callable[[str, int, int], None] = lambda stage, done, total: None,
    jobs: int = 1,
) -> Outcome:
    """Measure a prediction, and still surfaces beside it, at every state but the first.

    Args:
        prediction: The meshes, in the pose of its input [Å].
        start: The input: heavy atoms of the polymer.
        molecule: The atoms of the states: heavy atoms of the polymer.
        states: Their positions in each state, the first for the prediction's first frame [Å].
        frames: Which frame of the prediction is compared with each later state.
        spacing: Between the nodes that volumes are counted on [Å].
        tell: Told the stage, steps done and steps in all.
        jobs: Processes side by side; 0 means one for each processor.

    Raises:
        InputError: If the atoms do not fit, or there are fewer than two states.
    """
    if len(states) < 2:
        raise InputError(f"a comparison needs at least two states, got {len(states)}")
    refuse_misfit(start, molecule)
    pose = canonical_frame(start.coords)
    coords = pose.to_canonical(lay_on(start, molecule, states).reshape(-1, 3)).reshape(states.shape)
    first = SolventExcludedSurface(pose.to_canonical(start.coords), start.radii)
    later, total, done = len(coords) - 1, 2 * (len(coords) - 1), 0

    def step(stage: str) -> Callable[[], None]:
        tell(stage, done, total)

        def one() -> None:
            nonlocal done
            done += 1
            tell(stage, done, total)

        return one

    with frame_pool(jobs, later) as pool:
        now = molecule.with_coords(coords[0])
        counted = step("measuring the true surfaces")
        truth = measure_truth(now, coords[1:], first, spacing, counted, pool)
        shown = [_posed(frame, pose) for frame in prediction.frames]
        rows = _scores(truth, shown, frames, step("comparing surfaces"), pool)
    scores = {
        who: {metric: np.array([row[who][metric] for row in rows]) for metric in METRICS}
        for who in CONTENDERS
    }
    return _outcome(scores, truth, shown[0], prediction)


def refuse_misfit(start: Structure, molecule: Structure) -> None:
    """Refuse states of another molecule than the prediction's.

    Raises:
        InputError: If they have other residues, or others of their atoms.
    """
    if start.n_residues != molecule.n_residues:
        raise InputError(
            "the object must be the molecule that was predicted, but has "
            f"{molecule.n_residues} residues in place of {start.n_residues}; select the same part"
        )
    for k in range(start.n_residues):
        ours, theirs = start.residue_index == k, molecule.residue_index == k
        if sorted(start.elements[ours]) == sorted(molecule.elements[theirs]):
            continue
        label = f"{start.residue_names[ours][0]} {start.residue_ids[ours][0]}"
        other = f"{molecule.residue_names[theirs][0]} {molecule.residue_ids[theirs][0]}"
        raise InputError(
            f"the object must be the molecule that was predicted, but has {other} with "
            f"{theirs.sum()} heavy atoms in place of {label} with {ours.sum()}; predict a state of "
            "the object"
        )


def lay_on(
    start: Structure, molecule: Structure, states: Float[np.ndarray, "states atoms 3"]
) -> Float[np.ndarray, "states atoms 3"]:
    """The states, each superposed on the input by Cα; by all atoms where there are too few."""
    ours, theirs = anchors_of(start), anchors_of(molecule)
    if not _LEAST_ANCHORS <= len(ours) == len(theirs):
        ours, theirs = _by_name(start), _by_name(molecule)
    count = len(ours)
    joined = np.concatenate([states[:, theirs], states], axis=1)
    reference = np.zeros(joined.shape[1:])
    reference[:count] = start.coords[ours]
    return superpose(joined, reference, np.arange(count))[:, count:]


def _by_name(structure: Structure) -> Int[np.ndarray, " atoms"]:
    """All atoms, those of a residue in the order of their elements and names."""
    return np.lexsort((structure.atom_names, structure.elements, structure.residue_index))


def _posed(frame: Frame, pose: CanonicalFrame) -> Mesh:
    normals = frame.normals.astype(np.float64) @ pose.rotation.T
    vertices = pose.to_canonical(frame.vertices)
    return Mesh(vertices.astype(np.float32), frame.faces, normals.astype(np.float32))


def _scores(
    truth: Truth,
    shown: list[Mesh],
    frames: Int[np.ndarray, " later"],
    step: Callable[[], None],
    pool: Executor | None,
) -> list[dict[str, dict[str, float]]]:
    mean = truth.shown(mean_shape(truth)(0))
    still: dict[str, Shape] = {
        "static": (shown[0], mesh_occupancy(shown[0], truth.grid)),
        "mean_shape": (mesh_of(mean, truth.grid), mean < 0),
    }
    tasks = (
        (truth.shown(truth.moment(values)), shown[frames[k]], still, truth.grid)
        for k, values in enumerate(truth.frames)
    )
    rows = []
    for row in in_order(pool, _at_state, tasks):
        rows.append(row)
        step()
    return rows


def _at_state(
    true: Float[np.ndarray, "i j k"], predicted: Mesh, still: dict[str, Shape], grid: Any
) -> dict[str, dict[str, float]]:
    """Every contender against one true surface; distances are NaN where one of them is empty."""
    true_mesh = mesh_of(true, grid)
    shapes = {"predicted": (predicted, mesh_occupancy(predicted, grid)), **still}
    scores = {}
    for who, (mesh, inside) in shapes.items():
        if mesh is None or true_mesh is None:
            scores[who] = dict.fromkeys(METRICS, float("nan")) | {"iou": 0.0}
            continue
        apart = deviation(mesh, true_mesh)
        scores[who] = {
            "iou": intersection_over_union(inside, true < 0),
            "chamfer_A": apart.chamfer,
            "nc_signed": apart.normal_consistency_signed,
            "nc_abs": apart.normal_consistency,
        }
    return scores


def _outcome(
    scores: dict[str, dict[str, Float[np.ndarray, " states"]]],
    truth: Truth,
    first: Mesh,
    prediction: MeshTrajectory,
) -> Outcome:
    true = true_tally(truth).motion()
    nearest = cKDTree(first.vertices).query(truth.vertices)[1]
    rmsf = prediction.fluctuation[nearest].astype(np.float64)
    moved = prediction.mean_displacement[nearest].astype(np.float64)
    residues = truth.residues
    mine, theirs = by_residue(rmsf, residues), by_residue(true.rmsf, residues)
    gained = {who: float(scored["iou"].mean()) for who, scored in scores.items()}
    motion = {
        "surface_rmsf_r": r(rmsf, true.rmsf),
        "surface_rmsf_r_residue": r(mine, theirs),
        "surface_rmsf_ratio": ratio(float(np.median(rmsf)), float(np.median(true.rmsf))),
        "mean_displacement_r": r(moved, true.displacement),
        "gap_closed": ratio(
            gained["predicted"] - gained["static"], gained["mean_shape"] - gained["static"]
        ),
    }
    return Outcome(scores, motion, np.unique(residues), theirs, mine)


def polymer_states(
    arrays: dict[str, np.ndarray], states: Float[np.ndarray, "states atoms 3"]
) -> tuple[Structure, Float[np.ndarray, "states atoms 3"]]:
    """Heavy polymer atoms as the plugin sends atoms, and their positions in every state.

    Raises:
        InputError: If there is none.
    """
    whole = Structure(**arrays)
    kept = polymer_heavy_mask(whole)
    return whole.select(kept), states[:, kept]


def _work(folder: Path, request: dict[str, Any], tell: Tell) -> None:
    prediction = load_trajectory(folder / "prediction.npz")
    start_arrays, truth_arrays = read_arrays(folder, "start"), read_arrays(folder, "truth")
    states, frames = truth_arrays.pop("states"), truth_arrays.pop("frames")
    start, _ = polymer_states(start_arrays, start_arrays["coords"][None])
    molecule, states = polymer_states(truth_arrays, states)
    found = compare(
        prediction, start, molecule, states, frames, spacing=request["spacing"], tell=tell, jobs=0
    )
    curves = {
        f"{who}.{metric}": values
        for who, scored in found.scores.items()
        for metric, values in scored.items()
    }
    labels = np.unique(start.residue_index, return_index=True)[1][found.residue]
    np.savez(
        folder / "result.npz",
        **curves,  # type: ignore[arg-type]
        true_rmsf=found.true_rmsf,
        predicted_rmsf=found.predicted_rmsf,
        chain=start.chain_ids[labels],
        resi=start.residue_ids[labels],
        resn=start.residue_names[labels],
        motion=np.array(json.dumps(found.motion)),
    )


if __name__ == "__main__":
    sys.exit(run(_work))
