"""What training minimises: surface, eikonal, code and load-balance terms.

Every function returns unweighted terms by name; :class:`LossConfig` holds the weights. Lengths
are in units of Ω. Random numbers come from the generator passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from moedsr_core.errors import InputError

Field = Callable[[Tensor], Tensor]
"""Signed distance (n,) of points (n, 3)."""


UNIFORM_SHARE = {"paper": 1.0, "released": 1.0 / 8.0}
"""Uniform samples for each local one."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the terms (MoE-DSR Eq. 6 to 8, Table 2); defaults are DSR's where it has one."""

    lambda_sdf: float = 0.1
    """Weight λ_SDF of the eikonal term."""
    lambda_z: float = 0.001
    """Weight λ_Z of the code's norm."""
    tau: float = 1.0
    """Weight τ of the normals; MoE-DSR gives no number, DSR says 1."""
    lambda_1: float = 1.0
    """Weight λ₁ of the SDF loss."""
    lambda_2: float = 0.01
    """Weight λ₂ of the load-balance loss (α₂ in Table 2)."""
    mixture: str = "paper"
    """Distribution D of the eikonal term: half uniform in the papers (``paper``), one uniform
    point for every eight local ones in DSR's code (``released``)."""

    def __post_init__(self) -> None:
        """Refuse weights that would reward error."""
        for name in ("lambda_sdf", "lambda_z", "tau", "lambda_1", "lambda_2"):
            if not getattr(self, name) >= 0:
                raise InputError(f"loss.{name} must not be negative, got {getattr(self, name)}")
        if self.mixture not in UNIFORM_SHARE:
            raise InputError(
                f"loss.mixture must be one of {sorted(UNIFORM_SHARE)}, got {self.mixture!r}"
            )


def gradient(field: Field, x: Float[Tensor, "n 3"]) -> tuple[Tensor, Float[Tensor, "n 3"]]:
    """Values of a field and its gradient in x, both differentiable in the field's parameters."""
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        values = field(x)
        (slope,) = torch.autograd.grad(values.sum(), x, create_graph=True)
    return values, slope


def manifold_terms(
    field: Field, points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"]
) -> dict[str, Float[Tensor, ""]]:
    """Mean ``|f|`` and mean ``|∇f - n|`` on the surface (MoE-DSR Eq. 7; DSR Eq. 3)."""
    values, slope = gradient(field, points)
    return {"distance": values.abs().mean(), "normal": _norm(slope - normals).mean()}


def eikonal_term(field: Field, points: Float[Tensor, "n 3"]) -> Float[Tensor, ""]:
    """Mean ``(|∇f| - 1)²`` off the surface (MoE-DSR Eq. 6; DSR Eq. 2)."""
    _, slope = gradient(field, points)
    return (_norm(slope) - 1.0).square().mean()


def latent_norm(z: Float[Tensor, "*batch latent"]) -> Float[Tensor, ""]:
    """Mean Euclidean norm of codes, not squared; smooth at zero."""
    return _norm(z).mean()


def load_balance(gates: Float[Tensor, "batch experts"]) -> Float[Tensor, ""]:
    """Load-balance loss ``N_E Σ Γ_i η_i`` (MoE-DSR Eq. 8; Fedus et al. 2022).

    Γ is the share of proteins whose largest gate is expert i, η the mean gate. It is 1 at
    uniform use and N_E when one expert takes all; gradients flow through η alone.
    """
    n_experts = gates.shape[-1]
    winners = torch.nn.functional.one_hot(gates.argmax(dim=-1), n_experts)
    return n_experts * (winners.to(gates.dtype).mean(dim=0) * gates.mean(dim=0)).sum()


def sdf_terms(
    field: Field,
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"],
    space: Float[Tensor, "m 3"],
    z: Float[Tensor, "*batch latent"],
) -> dict[str, Float[Tensor, ""]]:
    """All unweighted terms of L_SDF (MoE-DSR Eq. 6): distance, normal, eikonal, latent.

    Args:
        field: Signed distance at one time.
        points: Points of the surface at that time.
        normals: Outward unit normals there.
        space: Points drawn from D (:func:`sample_space`).
        z: The trajectory's code.
    """
    terms = manifold_terms(field, points, normals)
    terms["eikonal"] = eikonal_term(field, space)
    terms["latent"] = latent_norm(z)
    return terms


def total_loss(terms: Mapping[str, Float[Tensor, ""]], config: LossConfig) -> Float[Tensor, ""]:
    """Weighted sum ``λ₁·L_SDF + λ₂·L_MoE`` of named terms (MoE-DSR, below Eq. 8).

    Args:
        terms: Those of :func:`sdf_terms`, and ``balance`` where the model has a gate.
        config: The weights.

    Raises:
        InputError: If a term has no weight.
    """
    weights = {
        "distance": config.lambda_1,
        "normal": config.lambda_1 * config.tau,
        "eikonal": config.lambda_1 * config.lambda_sdf,
        "latent": config.lambda_1 * config.lambda_z,
        "balance": config.lambda_2,
    }
    unknown = sorted(set(terms) - set(weights))
    if unknown or not terms:
        raise InputError(f"loss terms must be some of {sorted(weights)}, got {sorted(terms)}")
    return torch.stack([weights[name] * value for name, value in terms.items()]).sum()


def local_sigma(
    points: Float[np.ndarray, "n 3"],
    rank: int = 50,
    rows: Int[np.ndarray, " m"] | None = None,
) -> Float[np.ndarray, " m"]:
    """Distance of surface points to their ``rank``-th nearest neighbours (N_D = 50).

    As in the released code of DSR, a point does not count as its own neighbour, and in a
    cloud of fewer points the farthest one takes the place.

    Args:
        points: The whole surface.
        rank: Which neighbour.
        rows: Of which of the points; of all by default.
    """
    k = min(rank, len(points) - 1) + 1
    distances, _ = cKDTree(points).query(points if rows is None else points[rows], k=[k])
    return distances[:, 0]


def sample_space(
    points: Float[Tensor, "n 3"],
    sigma: Float[Tensor, " n"],
    generator: torch.Generator,
    mixture: str = "paper",
) -> Float[Tensor, "m 3"]:
    """Draw points of Ω for the eikonal term from the distribution D.

    One Gaussian sample about each surface point, and uniform samples of Ω beside them: as many
    again in the papers (``paper``), one for every eight in the released code (``released``).

    Args:
        points: Surface points.
        sigma: Width of the Gaussian at each (:func:`local_sigma`).
        generator: Source of the random numbers, on the points' device.
        mixture: One of :data:`UNIFORM_SHARE`.

    Raises:
        InputError: If the mixture is unknown.
    """
    if mixture not in UNIFORM_SHARE:
        raise InputError(f"mixture must be one of {sorted(UNIFORM_SHARE)}, got {mixture!r}")
    noise = torch.empty_like(points).normal_(generator=generator)
    n_uniform = round(len(points) * UNIFORM_SHARE[mixture])
    uniform = points.new_empty(n_uniform, 3).uniform_(-1.0, 1.0, generator=generator)
    return torch.cat([points + sigma[:, None] * noise, uniform])


def _norm(v: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
    """Euclidean norm whose derivative is finite at zero."""
    return (v.square().sum(dim=-1) + 1e-16).sqrt()
