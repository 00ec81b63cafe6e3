"""Models that know the answer, and paths to try them on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from synthetic_chain import chain

from moedsr_core.data.ensemble import Ensemble
from moedsr_core.frame import TimeMap, canonical_frame
from moedsr_core.models.base import ProteinCode, SurfaceModel
from moedsr_core.models.registry import LoadedModel, ModelInfo
from moedsr_core.reports.trained_path import TrainedPath
from moedsr_core.surface.ses import SolventExcludedSurface

SCALE = 22.0


@dataclass
class Config:
    name: str = "formula"


class Formula(SurfaceModel):
    """A signed distance given by a function of points of Ω (n, 3) and time."""

    def __init__(self, function) -> None:
        super().__init__()
        self.config, self.latent_size, self.function = Config(), 4, function
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def encode(self, protein):
        points = protein.points
        return ProteinCode(protein, points[:0, 0], points.new_ones(1), points[:, :0])

    def prepare(self, code, x):
        return {"x": x}

    def evaluate(self, code, prepared, t, z):
        values = self.function(prepared["x"].double().numpy(), float(t))
        return torch.as_tensor(values, dtype=torch.float32)


def loaded(function, span_ps: float = 0.0, scale: float | None = SCALE) -> LoadedModel:
    time = TimeMap(span_ps=span_ps)
    info = ModelInfo("formula", "dsr", "a formula", Path("formula"), 1, 0.0, time)
    return LoadedModel(Formula(function), info, scale)


def walking(n_frames: int, name: str = "dims", bend: float = 0.0) -> Ensemble:
    """A chain whose second half moves sideways along a line, or a curve where ``bend`` is given."""
    first = chain(8, seed=3)
    along = np.clip(np.arange(len(first.coords)) / len(first.coords) - 0.5, 0.0, None)
    step = np.arange(n_frames) / n_frames
    push = np.zeros((n_frames, len(first.coords), 3))
    push[..., 0] = 12.0 * step[:, None] * along
    push[..., 1] = bend * np.sin(20.0 * step)[:, None] * along
    return Ensemble(name, first, first.coords + push, np.arange(n_frames, dtype=float))


def trained(ensemble: Ensemble, function, stride: int = 2, **options) -> TrainedPath:
    last = min(80, len(ensemble))
    return TrainedPath(
        ensemble=ensemble, loaded=loaded(function, **options), code=torch.zeros(4),
        train=tuple(range(0, last, stride)),
    )  # fmt: skip


def truth_of(ensemble: Ensemble, last: int, scale: float = SCALE):
    """The exact distance to the surface of the frame that a time stands for."""
    frame = canonical_frame(ensemble.coords[0], scale)

    @cache
    def surface(k: int) -> SolventExcludedSurface:
        coords = frame.to_canonical(ensemble.coords[k])
        return SolventExcludedSurface(coords, ensemble.structure.radii)

    def distance(x: np.ndarray, t: float) -> np.ndarray:
        k = (t + 1.0) / 2.0 * last
        assert abs(k - round(k)) < 1e-4
        return surface(round(k)).signed_distance(x * scale) / scale

    return distance


def ball(x: np.ndarray, t: float) -> np.ndarray:
    return np.linalg.norm(x, axis=1) - 0.5
