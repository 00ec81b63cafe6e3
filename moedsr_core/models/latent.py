"""Per-trajectory codes z: learned beside the network, or found for a protein never seen."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from moedsr_core.errors import InputError
from moedsr_core.losses import LossConfig, latent_norm, manifold_terms
from moedsr_core.models.base import ProteinCode, SurfaceModel

CODE_SCALES = {"paper": lambda size: 1.0, "released": lambda size: size**-0.5}
"""Standard deviation of an untrained code: N(0, 1) in the papers, 1/√size in DSR's code."""


def check_code_scale(name: str) -> None:
    """Refuse a scale that is not in :data:`CODE_SCALES`."""
    if name not in CODE_SCALES:
        raise InputError(f"code_scale must be one of {sorted(CODE_SCALES)}, got {name!r}")


class TrajectoryCodes(nn.Module):
    """One auto-decoded code for each training trajectory (DSR, below Eq. 3)."""

    def __init__(self, n_trajectories: int, size: int, scale: str = "paper") -> None:
        super().__init__()
        check_code_scale(scale)
        self.codes = nn.Embedding(n_trajectories, size)
        nn.init.normal_(self.codes.weight, 0.0, CODE_SCALES[scale](size))

    def forward(self, trajectory: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch size"]:
        """Codes of trajectories by number."""
        return self.codes(trajectory)

    @property
    def mean(self) -> Float[Tensor, " size"]:
        """Mean of all codes: the policy ``mean`` for a protein never seen."""
        return self.codes.weight.detach().mean(dim=0)


def fit_latent(
    model: SurfaceModel,
    code: ProteinCode,
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"],
    *,
    steps: int = 200,
    generator: torch.Generator | None = None,
    batch: int = 2048,
    learning_rate: float = 5e-3,
    loss: LossConfig | None = None,
) -> Float[Tensor, " latent"]:
    """Code that best explains the input structure's own surface (t = -1).

    The papers leave z of unseen proteins undefined; this is auto-decoding on frame 0 alone, as
    DeepSDF does for unseen shapes (Park et al. 2019). Only z moves. It starts at zero and
    minimises the manifold loss plus the penalty on |z|.

    Args:
        model: The trained network.
        code: The protein, encoded.
        points: Points of the input surface [units of Ω].
        normals: Outward unit normals there.
        steps: Optimiser steps.
        generator: Source of the subsamples; None takes torch's default one.
        batch: Points of each step.
        learning_rate: Adam's step for z.
        loss: Weights of the terms; the papers' by default.
    """
    weights = loss or LossConfig()
    z = torch.zeros(model.latent_size, device=points.device, dtype=points.dtype)
    z.requires_grad_(True)
    optimiser = torch.optim.Adam([z], lr=learning_rate)
    start = torch.tensor(-1.0, device=points.device, dtype=points.dtype)
    for _ in range(steps):
        rows = torch.randperm(len(points), generator=generator)[:batch].to(points.device)
        terms = manifold_terms(lambda x: model(code, x, start, z), points[rows], normals[rows])
        total = terms["distance"] + weights.tau * terms["normal"]
        total = total + weights.lambda_z * latent_norm(z)
        (gradient,) = torch.autograd.grad(total, z)
        z.grad = gradient
        optimiser.step()
    return z.detach()
