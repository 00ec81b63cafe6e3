"""A model of a moving surface as a field in Å, and where its motion comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from moedsr_core.device_memory import LEAST_ROWS, FittingBatches
from moedsr_core.errors import InputError
from moedsr_core.models.base import Prepared, ProteinCode, ProteinInput, SurfaceModel
from moedsr_core.models.latent import fit_latent
from moedsr_core.surface.ses import SolventExcludedSurface

_PREPARED_AT_ONCE = 16_384
_PREPARED_PER_THREAD = 1024
"""The same for a thread of a CPU, whose cache holds what this many points take. A point takes 57,
48, 42, 37, 45, 59 and 72 µs in batches of 16,384, 4096, 2048, 1024, 512, 256 and 128."""
_EVALUATED_AT_ONCE = 65_536


class SurfaceField:
    """The signed distance to one surface [Å], at any time."""

    evaluations = 0

    def __init__(self, surface: SolventExcludedSurface) -> None:
        self._surface = surface

    def prepare(self, points: Float[np.ndarray, "n 3"]) -> Prepared:
        """Distances of points [Å]."""
        distances = self._surface.signed_distance(points).astype(np.float32)
        return {"distance": torch.from_numpy(distances)}

    def values(self, rows: Prepared, t: float) -> Float[np.ndarray, " n"]:
        """The same at every time."""
        return rows["distance"].numpy()


class ModelField:
    """Signed distance [Å] in the canonical pose, as :mod:`moedsr_core.levelset` asks for it.

    Points go through the network in batches that fit into the device's memory, filled up to
    multiples of :data:`device_memory.LEAST_ROWS`. So on a CPU a point's value does not depend on
    those that come with it: with the shipped weights, 1 to 16,384 at a time gave the same bits.

    Args:
        model: In evaluation mode.
        code: The protein, encoded.
        times: Model time of each frame.
        path: Code z of each frame, other times take the nearest frame's; None for the typical
            shape at every time.
        pause: Called between batches; may raise to stop.
    """

    def __init__(
        self,
        model: SurfaceModel,
        code: ProteinCode,
        times: Float[np.ndarray, " frames"],
        path: Float[Tensor, "frames latent"] | None,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self.evaluations = 0
        self._model, self._times = model, times
        self._like = code.protein.points
        self._path = None if path is None else path.to(self._like)
        self._code = model.settle(code, torch.as_tensor(times).to(self._like), self._path)
        device = self._like.device
        at_once = _PREPARED_AT_ONCE
        if device.type == "cpu":
            at_once = min(at_once, _PREPARED_PER_THREAD * torch.get_num_threads())
        self._preparing = FittingBatches(device, at_once, pause)
        self._evaluating = FittingBatches(device, _EVALUATED_AT_ONCE, pause)

    @torch.no_grad()
    def prepare(self, points: Float[np.ndarray, "n 3"]) -> Prepared:
        """Time-independent part at points [Å]."""
        x = _filled(torch.as_tensor(points / self._code.protein.scale).to(self._like))
        parts = self._preparing.run(lambda rows: self._model.prepare(self._code, x[rows]), len(x))
        if self._model.separable:
            self.evaluations += len(points)
        return {name: torch.cat([part[name] for part in parts])[: len(points)] for name in parts[0]}

    @torch.no_grad()
    def values(self, rows: Prepared, t: float) -> Float[np.ndarray, " n"]:
        """Signed distance [Å] at prepared points and time t, float32."""
        time = torch.tensor(t).to(self._like)
        n = len(next(iter(rows.values())))
        whole = n - n % LEAST_ROWS

        def at(batch: slice) -> Float[Tensor, " n"]:
            return self._at({name: v[batch] for name, v in rows.items()}, time)

        parts = self._evaluating.run(at, whole) if whole else []
        if whole < n or not n:
            rest = {name: _filled(v[whole:]) for name, v in rows.items()}
            parts.append(self._at(rest, time)[: n - whole])
        if not self._model.separable:
            self.evaluations += n
        return (torch.cat(parts) * self._code.protein.scale).float().cpu().numpy()

    def _at(self, batch: Prepared, time: Float[Tensor, ""]) -> Float[Tensor, " n"]:
        if self._path is None:
            return self._model.typical(self._code, batch, time)
        z = self._path[int(np.abs(self._times - float(time)).argmin())]
        return self._model.evaluate(self._code, batch, time, z)


def _filled(rows: Tensor) -> Tensor:
    """The rows, the last one repeated until they are a multiple of :data:`LEAST_ROWS`."""
    return torch.cat([rows, rows[-1:].expand(-len(rows) % LEAST_ROWS, *rows.shape[1:])])


def on_device(protein: ProteinInput, device: torch.device) -> ProteinInput:
    """The same protein with its tensors on a device."""
    tensors: dict[str, Any] = {
        f.name: value.to(device)
        for f in fields(protein)
        if isinstance(value := getattr(protein, f.name), Tensor)
    }
    return replace(protein, **tensors)


def check_latent(kind: str, model: SurfaceModel) -> None:
    """Refuse a model that has no codes of this kind.

    Raises:
        InputError: If it is the mean of its training codes and the model carries none.
    """
    if kind == "mean" and getattr(model, "mean_code", None) is None:
        raise InputError(
            "latent=mean needs a model that carries the mean of its training codes, and this one "
            "does not; choose typical, sample or fit"
        )


def latent_path(
    kind: str, model: SurfaceModel, code: ProteinCode, n_frames: int, seed: int
) -> Float[Tensor, "frames latent"] | None:
    """Code z of each frame of a movie, or None for the typical shape.

    Args:
        kind: One of :data:`LATENTS`.
        model: The model.
        code: The protein, encoded.
        n_frames: Frames of the movie.
        seed: Which motion is drawn.
    """
    return LATENTS[kind](model, code, n_frames, torch.Generator().manual_seed(seed))


def _typical(
    model: SurfaceModel, code: ProteinCode, n_frames: int, generator: torch.Generator
) -> None:
    return None


def _sample(
    model: SurfaceModel, code: ProteinCode, n_frames: int, generator: torch.Generator
) -> Float[Tensor, "frames latent"]:
    return model.latent_path(n_frames, generator)


def _mean(
    model: SurfaceModel, code: ProteinCode, n_frames: int, generator: torch.Generator
) -> Float[Tensor, "frames latent"]:
    check_latent("mean", model)
    return torch.as_tensor(model.mean_code).expand(n_frames, -1)


def _fit(
    model: SurfaceModel, code: ProteinCode, n_frames: int, generator: torch.Generator
) -> Float[Tensor, "frames latent"]:
    points = code.protein.points / code.protein.scale
    z = fit_latent(model, code, points, code.protein.normals, generator=generator)
    return z.expand(n_frames, -1)


LATENTS: dict[str, Callable[..., Tensor | None]] = {
    "typical": _typical,
    "sample": _sample,
    "mean": _mean,
    "fit": _fit,
}
"""``typical``: the typical shape at each time; ``sample``: one drawn motion; ``mean``: the mean of
the training trajectories' codes; ``fit``: the code that best explains the input's own surface."""
