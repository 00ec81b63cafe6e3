"""What `moedsr-anchored` learns: where the surface can be later, from signed distances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moedsr_core.data.samples import MotionSample
from moedsr_core.errors import InputError
from moedsr_core.frame import OMEGA_MARGIN, TimeMap
from moedsr_core.model_field import on_device
from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.models.base import ProteinCode, ProteinInput
from moedsr_core.models.inputs import describe
from moedsr_core.models.registry import save_model
from moedsr_core.surface.ses import SolventExcludedSurface
from moedsr_core.training.motion_loss import motion_loss
from moedsr_core.training.order import EpochOrder, Example
from moedsr_core.training.task import Rates, Task

SUMMARY = "input surface plus a mixture of experts for its motion, trained on molecular dynamics"
_DRAWS = 16
"""Motions drawn in validation."""
_POINTS = 4000
"""Points of a sample that are scored, about."""


@dataclass(frozen=True, kw_only=True)
class MotionConfig:
    """What one step sees."""

    batch: int = 3
    """Reference structures of a step N_B."""
    points: int = 640
    """Points per reference structure."""
    frames: int = 10
    """Frames per reference structure."""
    balance_weight: float = 0.01
    """Weight of the load-balancing loss (MoE-DSR, λ₂)."""

    def __post_init__(self) -> None:
        """Refuse steps that see nothing."""
        for name in ("batch", "points", "frames"):
            if getattr(self, name) < 1:
                raise InputError(f"motion.{name} must be at least 1, got {getattr(self, name)}")
        if not self.balance_weight >= 0:
            raise InputError(
                f"motion.balance_weight must not be negative, got {self.balance_weight}"
            )


@dataclass(frozen=True)
class TrainingProtein:
    """A motion sample as tensors."""

    name: str
    protein: ProteinInput
    points: Tensor
    start: Tensor
    distances: Tensor
    times: Tensor


def training_protein(
    sample: MotionSample, time_map: TimeMap, device: torch.device | None = None
) -> TrainingProtein:
    """Describe a sample to the model, once."""
    device = device or torch.device("cpu")
    scale = float(np.abs(sample.structure.coords).max()) + OMEGA_MARGIN
    protein = describe(
        sample.structure, sample.surface_points, sample.surface_normals,
        scale=scale,
        surface=SolventExcludedSurface(sample.structure.coords, sample.structure.radii),
    )  # fmt: skip

    def floats(array: np.ndarray) -> Tensor:
        return torch.tensor(array, dtype=torch.float32, device=device)

    return TrainingProtein(
        name=sample.name,
        protein=on_device(protein, device),
        points=floats(sample.points / scale),
        start=floats(sample.start),
        distances=floats(sample.distances),
        times=floats(time_map.to_t(sample.lags_ps)),
    )


class MotionTask(Task):
    """Motion of a known surface. An example is one reference structure at a few later frames.

    Args:
        model: Untrained.
        config: What a step sees.
        training: Samples to learn from.
        validation: Samples of other proteins; ``training`` where empty.
        time: The model's time axis.
        rate: Learning rate.
        seed: Of the order of examples.
        device: Where everything is computed.
    """

    terms_logged = ("score", "skill", "mean_skill")
    scores = ("skill", "score", "mean_skill")

    def __init__(
        self,
        model: AnchoredMoEDSR,
        *,
        config: MotionConfig,
        training: list[TrainingProtein],
        validation: list[TrainingProtein],
        time: TimeMap,
        rate: float,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model = self.module = model.to(device)
        self.anchored = model
        self._config, self._time, self._rate = config, time, rate
        self._training, self._validation = training, validation or training
        self.n_validation = len(self._validation)
        self.order = EpochOrder([len(p.times) for p in training], config.frames, config.batch, seed)

    def rates(self) -> Rates:
        """One rate for everything."""
        return [(list(self.model.parameters()), self._rate)]

    def encode(self, example: Example) -> ProteinCode:
        """Route the reference structure."""
        return self.anchored.encode(self._training[example.protein].protein)

    def terms(
        self, example: Example, code: ProteinCode, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Those of :func:`motion_loss` at a few of the sample's points."""
        sample = self._training[example.protein]
        n = len(sample.points)
        rows = torch.from_numpy(rng.choice(n, min(self._config.points, n), replace=False))
        rows = rows.to(sample.points.device)
        frames = torch.from_numpy(example.frames).to(rows.device)
        prepared = self.anchored.prepare(code, sample.points[rows], sample.start[rows])
        distances = sample.distances[frames][:, rows]
        return motion_loss(self.anchored, code, prepared, distances, sample.times[frames])

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Score and load balance."""
        balance = terms.get("balance", torch.zeros_like(terms["score"]))
        return terms["score"] + self._config.balance_weight * balance

    @torch.no_grad()
    def validate(self, number: int) -> dict[str, float]:
        """The terms of :func:`motion_loss`, from more draws, always the same ones."""
        sample = self._validation[number]
        code = self.anchored.encode(sample.protein)
        step = max(1, len(sample.points) // _POINTS)
        prepared = self.anchored.prepare(code, sample.points[::step], sample.start[::step])
        terms = motion_loss(
            self.anchored, code, prepared, sample.distances[:, ::step], sample.times,
            draws=_DRAWS, generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        return {name: float(value) for name, value in terms.items()}

    def export(self, folder: Path) -> None:
        """Write the model."""
        save_model(
            folder, self.model, architecture="moedsr-anchored", summary=SUMMARY, time=self._time
        )
