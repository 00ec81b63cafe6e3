"""MoE-DSR: a router over the input surface, and experts that hold the moving one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moedsr_core.choices import check_choice
from moedsr_core.errors import InputError
from moedsr_core.losses import LossConfig
from moedsr_core.models.base import Latent, Prepared, ProteinCode, ProteinInput, SurfaceModel, Time
from moedsr_core.models.config import Interval, check_ranges, config_from_dict, config_to_dict
from moedsr_core.models.experts.encoding import CoordinateEncoding, Encoding, SphericalEncoding
from moedsr_core.models.experts.implicit import EXPERTS, ImplicitConfig
from moedsr_core.models.latent import check_code_scale
from moedsr_core.models.router.gate import Gate
from moedsr_core.models.router.router import Router, RouterConfig

ENCODINGS = ("spherical", "coordinates")


@dataclass(frozen=True, kw_only=True)
class ExpertConfig:
    """One expert (MoE-DSR, "Experts for Dynamic Molecular Surface Modeling")."""

    encoding: str = "spherical"
    """How a point is seen: ``spherical`` is Ψ, ``coordinates`` the plain x of the ablation."""
    kind: str = "implicit"
    """The network: ``implicit`` is DSR's, with skip connection and a sphere for a start; ``naive``
    has neither. The paper's ablation (IoU 0.6884) changes the input only, ``coordinates``; its text
    calls that expert "a naive MLP", so both readings can be had, one by one or together."""
    phi_sh: int = 9
    """Length of Ψ(x), φ_SH; 1: l = 0, 3: l = 1, 9: l ≤ 2, 16: l ≤ 3."""
    phi_z: int = 64
    """Length of the latent code φ_z."""
    softening: float = 1e-3
    """Length below which |x| is smoothed to keep derivatives finite [units of Ω]; ours."""
    mlp: ImplicitConfig = field(default_factory=ImplicitConfig)
    """The network itself: 8 layers of 512 units, as in DSR."""

    def __post_init__(self) -> None:
        """Refuse what no expert can be built from."""
        if self.encoding not in ENCODINGS:
            raise InputError(f"encoding must be one of {list(ENCODINGS)}, got {self.encoding!r}")
        check_choice("expert.kind", self.kind, EXPERTS)
        if self.phi_z < 1 or not self.softening > 0:
            raise InputError(
                f"phi_z must be at least 1 and softening positive, got {self.phi_z} and "
                f"{self.softening}"
            )


@dataclass(frozen=True, kw_only=True)
class MoEDSRConfig:
    """Every row of the paper's Table 2, and what it leaves open."""

    router: RouterConfig = field(default_factory=RouterConfig)
    """The geometric surface cloud network."""
    n_selected: int = 2
    """Experts that one protein uses N_K."""
    n_experts: int = 8
    """Experts in all N_E."""
    expert: ExpertConfig = field(default_factory=ExpertConfig)
    """Each of the experts."""
    batch_size: int = 8
    """Proteins in a training batch N_B."""
    loss: LossConfig = field(default_factory=LossConfig)
    """Weights of the loss, and where it is sampled."""
    code_scale: str = "paper"
    """Spread of untrained codes: N(0, 1) in the ``paper``; ``released`` is 1/√size as in DSR."""
    paper_ranges: bool = True
    """Whether values outside the paper's Table 2 are refused."""

    def __post_init__(self) -> None:
        """Refuse values outside the paper's ranges, unless told not to."""
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {self.batch_size}")
        check_code_scale(self.code_scale)
        if self.paper_ranges:
            check_ranges(self, PAPER_RANGES)

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionary, ready for JSON."""
        return config_to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MoEDSRConfig:
        """Configuration from such a dictionary; an unknown key is refused by name."""
        return config_from_dict(cls, data)


PAPER_RANGES: dict[str, tuple] = {
    "router.phi_s": (16, 32, 128),
    "router.phi_r": (32,),
    "router.phi_p": (32,),
    "router.zeta": (8, 16),
    "router.sigma_n": Interval((9.0, 12.0)),
    "router.sigma_d": Interval((9.0, 12.0)),
    "router.gamma": (10.0,),
    "router.l_max": (1, 2),
    "n_selected": (2,),
    "n_experts": (4, 8, 16),
    "expert.phi_sh": (1, 3, 9, 16),
    "expert.phi_z": (16, 64, 192),
    "batch_size": (4, 8, 16, 32),
    "loss.lambda_sdf": Interval((0.1, 1.0)),
    "loss.lambda_z": Interval((0.001, 0.1)),
    "loss.lambda_1": Interval((1.0, 10.0)),
    "loss.lambda_2": (0.01,),
}
"""MoE-DSR Table 2. σ_d is printed in the text only; the range given to both is that of the text."""


class MoEDSR(SurfaceModel):
    """``Σ_i G(P₀)_i E_i(Ψ(x), t, h_p, z)`` over the selected experts (MoE-DSR)."""

    def __init__(self, config: MoEDSRConfig) -> None:
        super().__init__()
        self.config = config
        self.latent_size = config.expert.phi_z
        phi_p = config.router.phi_p
        self.router = Router(config.router)
        self.gate = Gate(phi_p, config.n_experts, config.n_selected)
        self.encoding = make_encoding(config.expert)
        size = self.encoding.size + 1 + phi_p + self.latent_size
        self.experts = nn.ModuleList(
            EXPERTS[config.expert.kind](config.expert.mlp, size, self.encoding.distance_columns)
            for _ in range(config.n_experts)
        )

    def encode(self, protein: ProteinInput) -> ProteinCode:
        """Route one protein; the gate is noisy in training mode only."""
        features, descriptor = self.router(protein)
        return ProteinCode(protein, descriptor, self.gate(descriptor), features)

    def prepare(self, code: ProteinCode, x: Float[Tensor, "n 3"]) -> Prepared:
        """Ψ(x)."""
        return {"psi": self.encoding(x)}

    def evaluate(
        self, code: ProteinCode, prepared: Prepared, t: Time, z: Latent
    ) -> Float[Tensor, " n"]:
        """Signed distance [units of Ω]; only experts with a non-zero gate are run."""
        psi = prepared["psi"]
        n = len(psi)
        inputs = torch.cat(
            [psi, t.expand(n)[:, None], code.descriptor.expand(n, -1), z.expand(n, -1)], dim=1
        )
        total = psi.new_zeros(n)
        for index in code.gate.nonzero()[:, 0].tolist():
            total = total + code.gate[index] * self.experts[index](inputs)
        return total


def make_encoding(config: ExpertConfig) -> Encoding:
    """Encoding that an expert's configuration names."""
    if config.encoding == "coordinates":
        return CoordinateEncoding()
    return SphericalEncoding(config.phi_sh, config.softening)
