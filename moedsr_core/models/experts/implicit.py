"""The implicit network: an MLP that starts as the signed distance to a sphere, or any start."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moedsr_core.errors import InputError

START_COLUMNS = ("point", "all")


@dataclass(frozen=True, kw_only=True)
class ImplicitConfig:
    """An MLP with one skip connection (DSR, appendix C Table 3; IGR)."""

    layers: int = 8
    """Hidden layers; one linear map more than this in all."""
    width: int = 512
    """Units of a hidden layer."""
    beta: float = 100.0
    """Sharpness of Softplus."""
    radius: float = 1.0
    """Radius of the sphere the untrained network describes [units of Ω]."""
    start: str = "point"
    """Inputs with weight at the start: ``point`` gives weight only to where the point is, so that
    the start is the sphere for any time and code; ``all`` is the released code of DSR, whose
    start is ``√(|x|² + t² + |z|²) - radius``."""

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        if self.layers < 2 or self.width < 1:
            raise InputError(
                f"an implicit network needs at least 2 hidden layers of at least 1 unit, got "
                f"{self.layers} of {self.width}"
            )
        if not (self.beta > 0 and self.radius > 0):
            raise InputError(f"beta and radius must be positive, got {self.beta} and {self.radius}")
        if self.start not in START_COLUMNS:
            raise InputError(f"start must be one of {list(START_COLUMNS)}, got {self.start!r}")


class ImplicitMLP(nn.Module):
    """Softplus MLP with the input joined again in the middle, divided by √2.

    Initialised geometrically (Atzmon & Lipman 2020, Theorem 1; Gropp et al. 2020): the untrained
    network is about ``|p| - radius``, p being the input columns that say where the point is.
    """

    def __init__(self, config: ImplicitConfig, size: int, point_columns: slice) -> None:
        super().__init__()
        self.skip = config.layers // 2
        if config.width <= size:
            raise InputError(
                f"hidden layers must be wider than the {size} inputs, got {config.width}"
            )
        widths = [size] + [config.width] * config.layers + [1]
        outputs = list(widths[1:])
        outputs[self.skip - 1] -= size
        linears = [nn.Linear(n_in, n_out) for n_in, n_out in zip(widths[:-1], outputs, strict=True)]
        self.linears = nn.ModuleList(linears)
        self.activation = nn.Softplus(beta=config.beta)
        silent = torch.ones(size, dtype=torch.bool)
        silent[slice(None) if config.start == "all" else point_columns] = False
        _start_as_sphere(linears, config.radius, self.skip, silent)

    def forward(self, inputs: Float[Tensor, "n size"]) -> Float[Tensor, " n"]:
        """Signed distance [units of Ω] of every row."""
        hidden = inputs
        last = len(self.linears) - 1
        for layer, linear in enumerate(self.linears):
            if layer == self.skip:
                hidden = torch.cat([hidden, inputs], dim=-1) / math.sqrt(2.0)
            hidden = linear(hidden)
            if layer < last:
                hidden = self.activation(hidden)
        return hidden.squeeze(-1)


class NaiveMLP(nn.Module):
    """The same layers without skip connection and without a geometric start.

    An ablation: MoE-DSR calls its experts a "naive MLP" before Ψ. Built like
    :class:`ImplicitMLP`; ``config.radius`` and ``config.start``, and the point's columns, make no
    difference to it.
    """

    def __init__(self, config: ImplicitConfig, size: int, point_columns: slice) -> None:
        super().__init__()
        widths = [size] + [config.width] * config.layers + [1]
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.activation = nn.Softplus(beta=config.beta)

    def forward(self, inputs: Float[Tensor, "n size"]) -> Float[Tensor, " n"]:
        """Signed distance [units of Ω] of every row."""
        hidden = inputs
        for linear in list(self.linears)[:-1]:
            hidden = self.activation(linear(hidden))
        return self.linears[-1](hidden).squeeze(-1)


EXPERTS: dict[str, Callable[[ImplicitConfig, int, slice], nn.Module]] = {
    "implicit": ImplicitMLP,
    "naive": NaiveMLP,
}
"""Kinds of expert by name."""


@torch.no_grad()
def _start_as_sphere(
    linears: list[nn.Linear], radius: float, skip: int, silent: Bool[Tensor, " size"]
) -> None:
    for layer, linear in enumerate(linears[:-1]):
        nn.init.normal_(linear.weight, 0.0, math.sqrt(2.0 / linear.out_features))
        nn.init.zeros_(linear.bias)
        if layer in (0, skip):
            linear.weight[:, -len(silent) :][:, silent] = 0.0
    last = linears[-1]
    nn.init.normal_(last.weight, math.sqrt(math.pi / last.in_features), 1e-5)
    nn.init.constant_(last.bias, -radius)
