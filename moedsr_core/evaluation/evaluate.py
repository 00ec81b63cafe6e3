"""The evaluation itself, from a trajectory and a model to numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int

from moedsr_core.data.ensemble import Ensemble, anchors_of, superpose
from moedsr_core.data.layout import refuse_other_atoms
from moedsr_core.errors import InputError
from moedsr_core.evaluation.contenders import Contender, linear, mean_shape, second, static
from moedsr_core.evaluation.conventions import OMEGAS, SHAPE_METRICS
from moedsr_core.evaluation.local_trees import NAME, LocalTrees
from moedsr_core.evaluation.model_contender import ModelContender, drawn_motion
from moedsr_core.evaluation.motion import (
    Motion,
    Tally,
    by_residue,
    compare_motion,
    ratio,
    true_tally,
)
from moedsr_core.evaluation.network import network_scores
from moedsr_core.evaluation.options import EvaluateOptions
from moedsr_core.evaluation.result import Evaluation
from moedsr_core.evaluation.shape import shape_scores
from moedsr_core.evaluation.together import frame_pool, in_order
from moedsr_core.evaluation.truth import Truth, measure_truth
from moedsr_core.frame import TimeMap
from moedsr_core.metrics.occupancy import intersection_over_union
from moedsr_core.model_field import on_device
from moedsr_core.models.base import ProteinInput
from moedsr_core.models.inputs import protein_input
from moedsr_core.models.registry import LoadedModel
from moedsr_core.structure import Structure

Progress = Callable[[str, int, int], None]
"""Called with the stage, the steps done and the steps in all."""
_DRAWN_SHAPES = {True: 512, False: 64}
"""Drawn shapes in all, for separable models and for others."""


def evaluate(
    ensemble: Ensemble,
    loaded: LoadedModel,
    options: EvaluateOptions | None = None,
    on_progress: Progress | None = None,
    jobs: int = 1,
    trees: LocalTrees | None = None,
    replicate: Ensemble | None = None,
) -> Evaluation:
    """Score a model and the baselines on one trajectory.

    The first frame is the input; later frames, evenly spaced, are the truth. ``typical`` is the
    model's typical shape at each time. ``drawn`` is one motion drawn from it; its fluctuation,
    displacement and occupancy are over many drawn motions.

    Args:
        ensemble: A superposed trajectory.
        loaded: The model, on the device it is to run on.
        options: How to measure.
        on_progress: Told of every step; may raise to stop.
        jobs: Processes side by side; 0 means one for each processor. The numbers are the same.
        trees: Also measure these, as ``local_trees``.
        replicate: Another simulation of the same molecule, measured as ``replicate``: what can be
            known before the trajectory is run.

    Raises:
        InputError: If the trajectory or the replicate has fewer than two frames, they are not of
            the same atoms, the model cannot take it, or the trees were grown on its protein.
        BackendError: If one of the processes was ended.
    """
    options = options or EvaluateOptions()
    for one in filter(None, (ensemble, replicate)):
        if len(one) < 2:
            raise InputError(f"an evaluation needs at least two frames, got {len(one)}")
    if replicate is not None:
        refuse_other_atoms(ensemble, replicate)
    if trees is not None:
        trees.refuse_grown_on(ensemble.name, ensemble.structure)
    steps = _Steps(on_progress or (lambda stage, done, total: None))
    with frame_pool(jobs, min(options.frames, len(ensemble) - 1)) as pool:
        trial = _prepare(ensemble, loaded, options, steps, pool, trees, replicate)
        rows = _compare(trial, steps, pool)
    motions = trial.motions | {name: tally.motion() for name, tally in trial.tallies.items()}
    motions["drawn"] = drawn_motion(trial.model, trial.draws, options.seed, steps.tell("drawing"))
    return _result(trial, rows, motions, steps)


class _Steps:
    """Progress over all stages, and the time that each takes."""

    def __init__(self, report: Progress) -> None:
        self._report, self._done, self._begun = report, 0, time.perf_counter()
        self.total = 0
        self.seconds: dict[str, float] = {}
        self._stage_begun = self._begun

    def tell(self, stage: str) -> Callable[[], None]:
        """Begin a stage; what is returned is called after each of its steps."""
        self._stage_begun = time.perf_counter()
        self._report(stage, self._done, self.total)

        def step() -> None:
            self._done += 1
            self.seconds[stage] = time.perf_counter() - self._stage_begun
            self._report(stage, self._done, self.total)

        return step

    def spent(self) -> dict[str, float]:
        """Seconds of every stage, and of everything."""
        return self.seconds | {"total": time.perf_counter() - self._begun}


@dataclass
class _Trial:
    """Everything that is ready to be compared."""

    ensemble: Ensemble
    loaded: LoadedModel
    options: EvaluateOptions
    chosen: Int[np.ndarray, " frames"]
    structure: Structure
    truth: Truth
    omega: float
    draws: int
    model: ModelContender
    contenders: dict[str, Contender]
    trees: LocalTrees | None
    motions: dict[str, Motion]
    tallies: dict[str, Tally] = field(default_factory=dict)
    movie: Tally | None = None
    """Of the drawn motion that is shown."""


def _prepare(
    ensemble: Ensemble,
    loaded: LoadedModel,
    options: EvaluateOptions,
    steps: _Steps,
    pool: Executor | None,
    trees: LocalTrees | None,
    replicate: Ensemble | None,
) -> _Trial:
    chosen = np.unique(np.linspace(1, len(ensemble) - 1, options.frames).round().astype(int))
    steps.total = 3 * len(chosen)
    protein, frame = protein_input(ensemble.structure, scale=loaded.scale, seed=options.seed)
    coords = np.stack([frame.to_canonical(ensemble.coords[k]) for k in (0, *chosen.tolist())])
    structure = ensemble.structure.with_coords(coords[0])
    tell = steps.tell("measuring the truth")
    others = None
    if replicate is not None:
        laid = _laid_on(ensemble, replicate, len(chosen))
        others = np.stack([frame.to_canonical(one) for one in laid])
    truth = measure_truth(
        structure, coords[1:], protein.surface, options.spacing, tell, pool, others
    )
    times = model_times(loaded.time_map, ensemble.lags_ps, chosen)
    model = _model_contender(loaded, protein, truth, times)
    contenders = {
        "static": static(truth),
        "mean_shape": mean_shape(truth),
        "typical": model.typical(options.latent, options.seed),
        "drawn": model.drawn(options.seed),
    }
    if options.linear:
        shares = ensemble.lags_ps[chosen] / ensemble.lags_ps[-1]
        last = frame.to_canonical(ensemble.coords[-1])
        contenders["linear"] = linear(truth, structure, last, shares)
    if others is not None:
        contenders["replicate"] = second(truth, structure, others)
    motions: dict[str, Motion] = {}
    if trees is not None:
        contenders[NAME], motions[NAME] = _grown(trees, structure, truth)
    wanted = options.draws or _DRAWN_SHAPES[loaded.model.separable]
    return _Trial(
        ensemble=ensemble,
        loaded=loaded,
        options=options,
        chosen=chosen,
        structure=structure,
        truth=truth,
        omega=OMEGAS[options.omega](coords, structure.radii),
        draws=max(2, -(-wanted // len(chosen))),
        model=model,
        contenders=contenders,
        trees=trees,
        motions=motions,
    )


def _laid_on(
    ensemble: Ensemble, replicate: Ensemble, frames: int
) -> Float[np.ndarray, "frames atoms 3"]:
    """Later frames of a replicate, evenly spaced, superposed on the first of the trajectory [Å]."""
    picks = np.linspace(1, len(replicate) - 1, frames).round().astype(int)
    anchors = anchors_of(ensemble.structure)
    return superpose(replicate.coords[picks], ensemble.coords[0], anchors)


def _grown(trees: LocalTrees, structure: Structure, truth: Truth) -> tuple[Contender, Motion]:
    shape, motion = trees.measured(structure, truth)
    return lambda k: shape, motion


def model_times(
    time_map: TimeMap, lags_ps: Float[np.ndarray, " all"], chosen: Int[np.ndarray, " frames"]
) -> Float[np.ndarray, " frames"]:
    """Model time of chosen frames.

    By their lag; where the model's time has no unit, evenly from -1 at the first frame to 1 at the
    last one, by their number, as DSR does.
    """
    if time_map.span_ps == 0:
        return -1.0 + 2.0 * chosen / (len(lags_ps) - 1)
    return np.asarray(time_map.to_t(lags_ps[chosen]))


@torch.no_grad()
def _model_contender(
    loaded: LoadedModel, protein: ProteinInput, truth: Truth, times: Float[np.ndarray, " frames"]
) -> ModelContender:
    device = next(loaded.model.parameters(), torch.empty(0)).device
    begun = time.perf_counter()
    code = loaded.model.encode(on_device(protein, device))
    return ModelContender(loaded.model, code, truth, times, time.perf_counter() - begun)


def _compare(
    trial: _Trial, steps: _Steps, pool: Executor | None
) -> dict[str, list[dict[str, float]]]:
    """Scores of every contender at every frame; the surfaces shown are counted on the way."""
    tell = steps.tell("comparing surfaces")
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in trial.contenders}
    trial.tallies = {
        name: Tally(trial.truth)
        for name in trial.contenders
        if name != "drawn" and name not in trial.motions
    }
    trial.movie = Tally(trial.truth)
    for scores in in_order(pool, shape_scores, _shown(trial)):
        for name, row in scores.items():
            rows[name].append(row)
        tell()
    return rows


def _shown(trial: _Trial) -> Iterator[tuple[object, ...]]:
    """What :func:`shape_scores` takes, frame by frame."""
    truth, options = trial.truth, trial.options
    for k, values in enumerate(truth.frames):
        true = truth.shown(truth.moment(values))
        volumes = {}
        for name, contender in trial.contenders.items():
            moment = contender(k)
            volumes[name] = truth.shown(moment)
            tally = trial.movie if name == "drawn" else trial.tallies.get(name)
            if tally is not None:
                tally.add(moment)
        yield volumes, true, truth.grid, trial.omega, options.distances, (options.seed, k)


def _result(
    trial: _Trial,
    rows: dict[str, list[dict[str, float]]],
    motions: dict[str, Motion],
    steps: _Steps,
) -> Evaluation:
    truth, ensemble = trial.truth, trial.ensemble
    frames = {
        name: {m: np.array([row[m] for row in scored]) for m in SHAPE_METRICS}
        for name, scored in rows.items()
    }
    tally, first = true_tally(truth), truth.start[truth.band] < 0
    true = tally.motion()
    overall = {name: compare_motion(motions[name], true, first, truth.residues) for name in frames}
    iou = {name: float(scored["iou"].mean()) for name, scored in frames.items()}
    for name in overall:
        gained, gap = iou[name] - iou["static"], iou["mean_shape"] - iou["static"]
        overall[name]["gap_closed"] = ratio(gained, gap)
    overall["elastic_network"] = network_scores(trial.structure, truth, true)
    start = truth.shown(trial.model.start())
    exposed = np.unique(truth.residues)
    return Evaluation(
        name=ensemble.name,
        model=trial.loaded.info.name,
        architecture=trial.loaded.info.architecture,
        options=trial.options,
        omega_A=trial.omega,
        atoms=len(ensemble.structure),
        residues=ensemble.structure.n_residues,
        frames_in_trajectory=len(ensemble),
        chosen=trial.chosen,
        lags_ps=ensemble.lags_ps[trial.chosen],
        times=trial.model.times,
        frames=frames,
        motion=overall,
        frame0_iou=intersection_over_union(start < 0, truth.shown(truth.first()) < 0),
        exposed=exposed,
        trees=trial.trees.record if trial.trees else None,
        residue_rmsf={
            "true": by_residue(true.rmsf, truth.residues),
            "predicted": by_residue(motions["drawn"].rmsf, truth.residues),
        },
        autocorrelation={
            "true": tally.autocorrelation(),
            "drawn": trial.movie.autocorrelation() if trial.movie else np.array([]),
        },
        seconds=steps.spent() | {"model": trial.model.seconds},
    )
