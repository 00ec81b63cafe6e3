"""The model that is measured: its surfaces at the later frames, and its drawn motions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from moedsr_core.evaluation.contenders import Contender
from moedsr_core.evaluation.motion import Motion
from moedsr_core.evaluation.truth import Moment, Truth
from moedsr_core.model_field import ModelField, latent_path
from moedsr_core.models.base import Prepared, ProteinCode, SurfaceModel

_FRAMES_APART = 16
"""Frames of a drawn movie between those that are taken: at the default memory of 8 frames what
changes has a correlation of 0.09 after them."""


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


def drawn_motion(
    contender: ModelContender, draws: int, seed: int, tell: Callable[[], None] = lambda: None
) -> Motion:
    """Statistics over drawn motions, each seen at the time of every frame.

    The fluctuation is that within a motion, as the true one is within a trajectory. Frames are
    taken far apart along each motion, since a movie is smoothed for the eye.

    Args:
        contender: The model.
        draws: Motions drawn, at least two.
        seed: Which.
        tell: Called after every frame.
    """
    model, truth, times = contender.model, contender.truth, contender.times
    generator = torch.Generator().manual_seed(seed)
    far_apart = _FRAMES_APART * len(times)
    paths = [model.latent_path(far_apart, generator)[::_FRAMES_APART] for _ in range(draws)]
    band = truth.grid.nodes(np.flatnonzero(truth.band))
    asked = ModelField(model, contender.code, times, None)
    rows = asked.prepare(np.concatenate([band, truth.vertices]))
    total = np.zeros((draws, len(truth.vertices)))
    squares, inside = np.zeros_like(total), np.zeros((draws, len(band)))
    for k, t in enumerate(times):
        for d, path in enumerate(paths):
            one = ModelField(model, contender.code, times[k : k + 1], path[k : k + 1])
            values = one.values(rows, float(t)).astype(np.float64)
            inside[d] += values[: len(band)] < 0
            change = values[len(band) :] - truth.offset
            total[d] += change
            squares[d] += change**2
        tell()
    n = len(times)
    mean, share = total / n, inside / n
    variance = np.maximum(squares / n - mean**2, 0.0).mean(axis=0) * n / max(n - 1, 1)
    return Motion(
        rmsf=np.sqrt(variance) if n > 1 else np.full(len(variance), np.nan),
        displacement=-mean.mean(axis=0),
        occupancy=share.mean(axis=0),
        noise=share.var(axis=0, ddof=1) / draws,
    )
