"""Who is measured: what each says the surface is at each later frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from moedsr_core.evaluation.truth import Moment, Truth
from moedsr_core.model_field import ModelField, latent_path
from moedsr_core.models.base import Prepared, ProteinCode, SurfaceModel
from moedsr_core.structure import Structure
from moedsr_core.surface.ses import SolventExcludedSurface

Contender = Callable[[int], Moment]
"""Takes the number of a later frame, from 0, and gives the surface there."""


def static(truth: Truth) -> Contender:
    """The first surface at all times; its own vertices lie on it."""
    still = truth.first()
    return lambda k: still


def mean_shape(truth: Truth) -> Contender:
    """The median of the true distances: inside is what lies inside in more than half the frames."""
    median = truth.moment(np.median(truth.frames, axis=0))
    return lambda k: median


def linear(
    truth: Truth,
    structure: Structure,
    last: Float[np.ndarray, "atoms 3"],
    shares: Float[np.ndarray, " frames"],
) -> Contender:
    """The surface of atoms that go straight from the first frame to the last.

    Args:
        truth: Where to measure it.
        structure: The first frame, canonical pose [Å].
        last: Atoms of the last frame [Å].
        shares: How far along every later frame is, by its lag.
    """

    def moment(k: int) -> Moment:
        atoms = structure.coords + shares[k] * (last - structure.coords)
        surface = SolventExcludedSurface(atoms, structure.radii)
        return truth.moment(surface.signed_distance(truth.points))

    return moment


@dataclass
class ModelContender:
    """A model's surfaces at the later frames.

    Points are prepared once. Models that start at the input's own surface are asked near the true
    surfaces only, and have its sign elsewhere; others may put a surface anywhere, and are asked at
    every node of the grid.

    Attributes:
        model: The network.
        code: The protein, encoded.
        truth: Where to ask.
        times: Model time of every later frame.
        seconds: Time spent in the network so far.
    """

    model: SurfaceModel
    code: ProteinCode
    truth: Truth
    times: Float[np.ndarray, " frames"]
    seconds: float = 0.0
    _rows: Prepared | None = field(default=None, repr=False)

    def shapes(self, path: Float[Tensor, "frames latent"] | None) -> Contender:
        """Surfaces along a path of codes; of the typical shape where there is none."""
        asked = self._field(path)
        return lambda k: self._moment(asked, float(self.times[k]))

    def typical(self, latent: str, seed: int) -> Contender:
        """Surfaces of the typical shape, with the code that ``latent`` names."""
        return self.shapes(latent_path(latent, self.model, self.code, len(self.times), seed))

    def drawn(self, seed: int) -> Contender:
        """Surfaces of one drawn motion."""
        generator = torch.Generator().manual_seed(seed)
        return self.shapes(self.model.latent_path(len(self.times), generator))

    def start(self) -> Moment:
        """The typical shape at t = -1."""
        return self._moment(self._field(None), -1.0)

    def _field(self, path: Float[Tensor, "frames latent"] | None) -> ModelField:
        return ModelField(self.model, self.code, self.times, path)

    def _moment(self, asked: ModelField, t: float) -> Moment:
        begun = time.perf_counter()
        if self._rows is None:
            self._rows = asked.prepare(self._points())
        values = asked.values(self._rows, t)
        self.seconds += time.perf_counter() - begun
        if self.model.starts_at_surface:
            return self.truth.moment(values)
        split = self.truth.start.size
        return Moment(
            values[:split].reshape(self.truth.start.shape), values[split:] - self.truth.offset
        )

    def _points(self) -> Float[np.ndarray, "points 3"]:
        if self.model.starts_at_surface:
            return self.truth.points
        nodes = self.truth.grid.nodes(np.arange(self.truth.start.size))
        return np.concatenate([nodes, self.truth.vertices])
