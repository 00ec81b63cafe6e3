"""DSR: one implicit network for all trajectories, told apart by their codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from moedsr_core.errors import InputError
from moedsr_core.losses import LossConfig
from moedsr_core.models.base import Latent, Prepared, ProteinCode, ProteinInput, SurfaceModel, Time
from moedsr_core.models.config import config_from_dict, config_to_dict
from moedsr_core.models.experts.implicit import ImplicitConfig, ImplicitMLP
from moedsr_core.models.latent import check_code_scale


@dataclass(frozen=True, kw_only=True)
class DSRConfig:
    """The network and loss of DSR (section 3.2 and appendix C)."""

    latent_size: int = 192
    """Length of a trajectory's code."""
    mlp: ImplicitConfig = field(default_factory=ImplicitConfig)
    """8 hidden layers of 512 units; Table 3 prints one linear map fewer than the code has."""
    loss: LossConfig = field(default_factory=LossConfig)
    """λ = 0.1, τ = 1, 1e-3 for the code; the gate's weight is without effect."""
    code_scale: str = "paper"
    """Spread of untrained codes: N(0, 1) in the ``paper``, 1/√size in the ``released`` code."""

    def __post_init__(self) -> None:
        """Refuse unknown choices."""
        if self.latent_size < 1:
            raise InputError(f"latent_size must be at least 1, got {self.latent_size}")
        check_code_scale(self.code_scale)

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionary, ready for JSON."""
        return config_to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DSRConfig:
        """Configuration from such a dictionary; an unknown key is refused by name."""
        return config_from_dict(cls, data)


class DSR(SurfaceModel):
    """f(z, x, t), an MLP (DSR Eq. 2 and Table 3). It sees nothing of the protein but its code z."""

    def __init__(self, config: DSRConfig) -> None:
        super().__init__()
        self.config = config
        self.latent_size = config.latent_size
        start = config.latent_size
        self.network = ImplicitMLP(config.mlp, start + 4, slice(start, start + 3))

    def encode(self, protein: ProteinInput) -> ProteinCode:
        """Remember the protein; there is no router."""
        points = protein.points
        return ProteinCode(
            protein, points.new_empty(0), points.new_ones(1), points.new_empty(len(points), 0)
        )

    def prepare(self, code: ProteinCode, x: Float[Tensor, "n 3"]) -> Prepared:
        """Keep the points themselves."""
        return {"x": x}

    def evaluate(
        self, code: ProteinCode, prepared: Prepared, t: Time, z: Latent
    ) -> Float[Tensor, " n"]:
        """Signed distance [units of Ω]; inputs in the order z, x, t."""
        x = prepared["x"]
        n = len(x)
        return self.network(torch.cat([z.expand(n, -1), x, t.expand(n)[:, None]], dim=1))
