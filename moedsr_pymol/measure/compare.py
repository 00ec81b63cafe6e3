"""A prediction beside a trajectory: what the core is sent, and what it finds.

Every state of the trajectory after the first is compared with one frame of the prediction. By
number, the last state is the last frame and the others lie evenly between. By time, where the time
between states is given and the model's time has a unit, it is the frame nearest in the model's
time; states after the last frame are left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..atoms import Atoms, polymer_atoms
from ..core_process import CoreProcess
from ..errors import UserError
from ..export import model_times, trajectory_arrays
from ..steps import Report, Work
from ..surface import Surface
from .chart import Chart, Measurement, Series, Table
from .residues import atoms_of

MOST_STATES = 100
"""Later states that are compared with where no stride is given; evenly spaced if there are more."""
SPACING = 1.0
"""Of the grid that volumes are counted on [Å]."""
_ROUNDING = 1e-9
CONTENDERS = {"predicted": "#0072b2", "static": "#999999", "mean_shape": "#009e73"}
METRICS = {
    "iou": "intersection over union",
    "chamfer_A": "Chamfer distance [Å]",
    "nc_signed": "normal consistency",
    "nc_abs": "normal consistency, unsigned",
}


@dataclass(frozen=True)
class Comparison(Measurement):
    """Scores of a prediction and of two still surfaces against a trajectory.

    Attributes:
        surface: Name of the prediction.
        object: Name of the trajectory.
        states: Its states that were compared with, (states,).
        frames: State of the prediction that each was compared with, (states,).
        scores: Contender → metric → value at every state; ``predicted``, ``static`` (the
            prediction's first surface), ``mean_shape`` (inside is what is inside in more than half
            of the states).
        motion: ``surface_rmsf_r``, ``surface_rmsf_r_residue``, ``surface_rmsf_ratio``,
            ``mean_displacement_r`` and ``gap_closed``; NaN where they mean nothing.
        chain: Chain of each residue that has a part of the surface, (n,).
        resi: Number of each, (n,).
        resn: Name of each, (n,).
        true_rmsf: How much its surface fluctuates over the states [Å], (n,).
        predicted_rmsf: The same over the prediction [Å]; NaN where it is not complete, (n,).
    """

    surface: str
    object: str
    states: np.ndarray
    frames: np.ndarray
    scores: dict[str, dict[str, np.ndarray]]
    motion: dict[str, float]
    chain: np.ndarray
    resi: np.ndarray
    resn: np.ndarray
    true_rmsf: np.ndarray
    predicted_rmsf: np.ndarray

    def mean(self, contender: str, metric: str) -> float:
        """Mean over the states."""
        return float(self.scores[contender][metric].mean())

    def charts(self) -> tuple[Chart, ...]:
        """Scores over the states, and the fluctuation along the residues."""
        return (*(self._over_states(metric) for metric in tuple(METRICS)[:3]), self._rmsf())

    def table(self) -> Table:
        """A row for each state."""
        columns = [(who, metric) for metric in METRICS for who in CONTENDERS]
        head = ["state", "predicted_state", *(f"{metric}.{who}" for who, metric in columns)]
        values = [self.scores[who][metric].tolist() for who, metric in columns]
        rows = zip(self.states.tolist(), self.frames.tolist(), *values)  # noqa: B905
        return [head, *(list(row) for row in rows)]

    def tables(self) -> dict[str, Table]:
        """Scores by state, fluctuation by residue, and what is one number."""
        fluctuation = (self.chain, self.resi, self.resn, self.true_rmsf, self.predicted_rmsf)
        rows = zip(*(column.tolist() for column in fluctuation))  # noqa: B905
        means = [
            [f"{metric}.{who}", self.mean(who, metric)] for metric in METRICS for who in CONTENDERS
        ]
        return {
            "": self.table(),
            "_residues": [
                ["chain", "residue", "name", "true_rmsf_A", "predicted_rmsf_A"],
                *(list(row) for row in rows),
            ],
            "_summary": [["name", "value"], *means, *([k, v] for k, v in self.motion.items())],
        }

    def _over_states(self, metric: str) -> Chart:
        return Chart(
            title=f"{self.surface} and {self.object}: {METRICS[metric]}",
            x_label=f"state of {self.object}",
            y_label=METRICS[metric],
            series=tuple(
                Series(who.replace("_", " "), self.states, self.scores[who][metric], color)
                for who, color in CONTENDERS.items()
            ),
        )

    def _rmsf(self) -> Chart:
        at = np.arange(len(self.resi))
        r = self.motion["surface_rmsf_r_residue"]
        places = zip(self.chain.tolist(), self.resi.tolist(), self.resn.tolist())  # noqa: B905
        return Chart(
            title=f"fluctuation of each residue's surface, r = {r:.2f}",
            x_label="residue",
            y_label="surface RMSF [Å]",
            series=(
                Series(self.object, at, self.true_rmsf, "#000000"),
                Series(self.surface, at, self.predicted_rmsf, CONTENDERS["predicted"]),
            ),
            tick_labels=tuple(f"{c}/{i} {n}".lstrip("/") for c, i, n in places),
        )


@dataclass(frozen=True)
class Pairs:
    """Which state is compared with which frame.

    Attributes:
        first: State that the prediction's first frame stands for, from 1.
        states: Later states, from 1, (n,).
        frames: Frame of the prediction for each, from 0, (n,).
        left_out: Later states that lie beyond the prediction.
    """

    first: int
    states: np.ndarray
    frames: np.ndarray
    left_out: int


def pair(
    surface: Surface, count: int, first: int, stride: int | None, interval_ps: float | None
) -> Pairs:
    """Pair the states of a trajectory with the frames of a prediction.

    Args:
        surface: The prediction.
        count: States of the trajectory.
        first: The state that the first frame stands for, from 1.
        stride: Take each so-manyth state; None takes at most :data:`MOST_STATES`.
        interval_ps: Time between states [ps]; None pairs by number.

    Raises:
        UserError: If nothing is left to compare, or the model's time has no unit.
    """
    stride = stride or max(1, -(-(count - first) // MOST_STATES))
    states = np.arange(first + stride, count + 1, stride)
    if not len(states):
        raise UserError(
            f"the object has no state after state {first} to compare with; it needs several, as of "
            "a trajectory"
        )
    times = model_times(surface)
    if interval_ps is None:
        share = np.arange(1, len(states) + 1) / len(states)
    else:
        at = _model_time(surface, interval_ps * (states - first))
        share = (at - times[0]) / (times[-1] - times[0])
    frames = np.rint(share * (max(surface.planned, len(surface.frames)) - 1)).astype(np.int64)
    there = (share <= 1.0 + _ROUNDING) & (frames < len(surface.frames))
    if not there.any():
        raise UserError(
            f"'{surface.name}' ends before the first state to compare with; predict a longer time"
        )
    return Pairs(first, states[there], frames[there], int((~there).sum()))


def _model_time(surface: Surface, lags_ps: np.ndarray) -> np.ndarray:
    """The model's time at some lags, which runs with their logarithm."""
    time = surface.summary.get("time") or {}
    span, origin = float(time.get("span_ps") or 0.0), float(time.get("origin_ps") or 0.0)
    if span <= 0.0 or origin <= 0.0:
        raise UserError(
            f"the model of '{surface.name}' knows no times, so its frames cannot be paired by "
            "interval; leave it away"
        )
    return -1.0 + 2.0 * np.log1p(lags_ps / origin) / np.log1p(span / origin)


def compare_steps(
    surface: Surface, selection: str, name: str, pairs: Pairs, report: Report, _self: Any
) -> Work:
    """Read the states, let the core compare, and return a :class:`Comparison`.

    Args:
        surface: The prediction.
        selection: Part of the trajectory that was predicted, within one object.
        name: That object.
        pairs: Which state is compared with which frame.
        report: Told how far it is.
        _self: PyMOL.

    Raises:
        UserError: If the atoms do not fit, or the core fails.
    """
    wanted = [pairs.first, *pairs.states.tolist()]
    start = atoms_of(surface, _self)
    coords: list[np.ndarray] = []
    for k, state in enumerate(wanted):
        report.update("reading states", k, len(wanted))
        atoms = polymer_atoms(selection, state, _self)
        if coords and len(atoms.coords) != len(coords[0]):
            raise UserError(
                f"every state of '{name}' must hold the same atoms, but state {state} has "
                f"{len(atoms.coords):,} polymer atoms in place of {len(coords[0]):,}"
            )
        if not coords:
            _check_residues(start, atoms, name)
        coords.append(atoms.coords)
        yield
    process = CoreProcess(
        "compare",
        {"spacing": SPACING},
        {
            "prediction": trajectory_arrays(surface, np.eye(4)),
            "start": start.arrays(),
            "truth": {**atoms.arrays(), "states": np.stack(coords), "frames": pairs.frames},
        },
        collect=_read,
    )
    found = yield from process.through(report)
    return _comparison(surface.name, name, pairs, found)


def _check_residues(start: Atoms, atoms: Atoms, name: str) -> None:
    """Refuse another molecule at once; the core looks at the atoms as well.

    Raises:
        UserError: If it has not as many residues.
    """
    ours, theirs = (part.residue_index[-1] + 1 for part in (start, atoms))
    if ours != theirs:
        raise UserError(
            f"'{name}' must be the molecule that was predicted, but has {theirs} residues in place "
            f"of {ours}; select the same part of it"
        )


def _read(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "result.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _comparison(surface: str, name: str, pairs: Pairs, found: dict[str, np.ndarray]) -> Comparison:
    return Comparison(
        surface=surface,
        object=name,
        states=pairs.states,
        frames=pairs.frames + 1,
        scores={who: {m: found[f"{who}.{m}"] for m in METRICS} for who in CONTENDERS},
        motion=json.loads(str(found["motion"])),
        chain=found["chain"],
        resi=found["resi"],
        resn=found["resn"],
        true_rmsf=found["true_rmsf"],
        predicted_rmsf=found["predicted_rmsf"],
    )
