"""Everything that one evaluation measured, and how it is written down."""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from moedsr_core.evaluation.conventions import SHAPE_METRICS
from moedsr_core.evaluation.options import EvaluateOptions
from moedsr_core.report import Row
from moedsr_core.versions import versions

_PACKAGES = ("numpy", "scipy", "scikit-image", "torch", "mdtraj")
HEADLINE = {
    "gap_closed": "typical",
    "occupancy_skill": "drawn",
    "mean_displacement_r": "drawn",
    "surface_rmsf_r": "drawn",
    "surface_rmsf_r_residue": "drawn",
    "surface_rmsf_ratio": "drawn",
}
"""Which side of the model answers for each figure: the best single shape for overlap, the drawn
shapes for everything that is a statistic of many."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of one model and the baselines on one trajectory."""

    name: str
    """Of the trajectory."""
    model: str
    """Name of the weights."""
    architecture: str
    """Of the model."""
    options: EvaluateOptions
    """How it was measured."""
    omega_A: float
    """Length of a unit of Ω [Å]."""
    atoms: int
    """Heavy atoms of the polymer."""
    residues: int
    """Residues."""
    frames_in_trajectory: int
    """Frames of the trajectory, of which some were compared with."""
    chosen: Int[np.ndarray, " frames"]
    """Numbers of the frames compared with."""
    lags_ps: Float[np.ndarray, " frames"]
    """Their time after the first one [ps]."""
    times: Float[np.ndarray, " frames"]
    """Their model time."""
    frames: dict[str, dict[str, Float[np.ndarray, " frames"]]]
    """Contender → metric → value at every frame."""
    motion: dict[str, dict[str, float]]
    """Contender → metric over all frames; NaN where it means nothing."""
    frame0_iou: float
    """Overlap of the model's first frame with the input's own surface."""
    exposed: Int[np.ndarray, " exposed"]
    """Residues that have a part of the surface."""
    residue_rmsf: dict[str, Float[np.ndarray, " exposed"]]
    """Their surface RMSF [Å], ``true`` and ``predicted``."""
    autocorrelation: dict[str, Float[np.ndarray, " lags"]]
    """Of the surface's displacement in the ``true`` trajectory and in the ``drawn`` motion, between
    frames compared that are 0, 1, 2 … apart; see :func:`motion.autocorrelation`."""
    seconds: dict[str, float]
    """Wall clock of every stage, of the ``model`` in them, and in ``total``."""
    trees: dict[str, Any] | None = None
    """What the local trees were grown on, and how; None where they were not measured."""

    def mean(self, contender: str, metric: str) -> float:
        """A contender's figure for the whole trajectory: a mean over frames, or one number."""
        if metric in SHAPE_METRICS:
            return float(self.frames[contender][metric].mean())
        return self.motion[contender][metric]

    def headline(self) -> dict[str, float]:
        """The model in a few numbers."""
        return {name: self.motion[who][name] for name, who in HEADLINE.items()} | {
            "frame0_iou": self.frame0_iou
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; what means nothing is null."""
        return _plain(
            {
                "program": "moedsr",
                "versions": {"python": platform.python_version(), **versions(_PACKAGES)},
                "ensemble": {
                    "name": self.name,
                    "atoms": self.atoms,
                    "residues": self.residues,
                    "frames": self.frames_in_trajectory,
                    "compared": self.chosen,
                    "lags_ps": self.lags_ps,
                },
                "model": {"name": self.model, "architecture": self.architecture, "t": self.times},
                "trees": self.trees,
                "options": asdict(self.options),
                "omega_A": self.omega_A,
                "headline": self.headline(),
                "scores": {name: self._scores(name) for name in self.motion},
                "residue_rmsf_A": {"residue": self.exposed, **self.residue_rmsf},
                "autocorrelation": self.autocorrelation,
                "seconds": {name: round(spent, 3) for name, spent in self.seconds.items()},
            }
        )

    def frame_rows(self) -> list[Row]:
        """A row for every frame of every contender."""
        return [
            {"ensemble": self.name, "contender": name, "frame": frame, "lag_ps": lag}
            | {metric: scored[metric][k] for metric in SHAPE_METRICS}
            for name, scored in self.frames.items()
            for k, (frame, lag) in enumerate(zip(self.chosen, self.lags_ps, strict=True))
        ]

    def _scores(self, name: str) -> dict[str, Any]:
        scored = {
            metric: {"mean": values.mean(), "sd": _sd(values), "per_frame": values}
            for metric, values in self.frames.get(name, {}).items()
        }
        return scored | self.motion[name]


def _sd(values: Float[np.ndarray, " frames"]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _plain(value: Any) -> Any:
    """Numbers and lists in place of numpy's; null in place of NaN and infinity."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
