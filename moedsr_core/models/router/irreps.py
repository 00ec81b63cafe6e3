"""Equivariant building blocks on features of several degrees l."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moedsr_core.models.equivariant import e3nn_nn, o3


def natural_irreps(channels: int, l_max: int) -> o3.Irreps:
    """``channels`` features of each degree up to ``l_max``, with the parity of Y_l."""
    return o3.Irreps([(channels, (degree, (-1) ** degree)) for degree in range(l_max + 1)])


def irreps_mlp(irreps_in: o3.Irreps, irreps_out: o3.Irreps) -> nn.Sequential:
    """Two-layer perceptron on irreps: linear, gated SiLU, linear.

    Scalars pass through SiLU; features of l > 0 are scaled by the sigmoid of their own scalar,
    so that directions survive. Linear layers mix one degree at a time and have a bias for
    l = 0 only.
    """
    scalars = o3.Irreps([(mul, ir) for mul, ir in irreps_out if ir.l == 0])
    gated = o3.Irreps([(mul, ir) for mul, ir in irreps_out if ir.l > 0])
    gates = o3.Irreps([(mul, (0, 1)) for mul, _ in gated])
    activation = e3nn_nn.Gate(
        scalars, [nn.functional.silu] * len(scalars), gates, [torch.sigmoid] * len(gates), gated
    )
    return nn.Sequential(
        o3.Linear(irreps_in, activation.irreps_in, biases=True),
        activation,
        o3.Linear(activation.irreps_out, irreps_out, biases=True),
    )


def depthwise_product(
    irreps_in: o3.Irreps, irreps_sh: o3.Irreps, irreps_out: o3.Irreps
) -> o3.TensorProduct:
    """Depth-wise tensor product (MoE-DSR Eq. 3; Liao & Smidt 2023).

    One path for each l1 ⊗ l2 → l3 that ``irreps_out`` holds; each output channel depends on one
    input channel ('uvu'). Path weights come from outside.
    """
    paths: list[tuple] = []
    outputs: list[tuple[int, o3.Irrep]] = []
    for i, (mul, left) in enumerate(irreps_in):
        for j, (_, right) in enumerate(irreps_sh):
            for out in left * right:
                if out in irreps_out:
                    paths.append((i, j, len(outputs), "uvu", True))
                    outputs.append((mul, out))
    return o3.TensorProduct(
        irreps_in, irreps_sh, o3.Irreps(outputs), paths,
        shared_weights=False, internal_weights=False,
    )  # fmt: skip


def unit_harmonics(
    offsets: Float[Tensor, "*shape 3"], l_max: int, softening: float = 1e-3
) -> Float[Tensor, "*shape components"]:
    """Spherical harmonics of directions, l ≤ ``l_max``, 'component' normalised.

    The direction is ``v / √(|v|² + softening²)`` [Å], which is smooth where points coincide.
    """
    direction = offsets / (offsets.square().sum(-1, keepdim=True) + softening**2).sqrt()
    return o3.spherical_harmonics(
        list(range(l_max + 1)), direction, normalize=False, normalization="component"
    )


def invariants(
    features: Float[Tensor, "points components"], irreps: o3.Irreps, softening: float = 1e-3
) -> Float[Tensor, "points channels"]:
    """Scalars as they are, and the norm of every channel of l > 0 (smooth at zero)."""
    parts = []
    for (mul, ir), columns in zip(irreps, irreps.slices(), strict=True):
        block = features[:, columns]
        if ir.l > 0:
            squared = block.reshape(-1, mul, ir.dim).square().sum(dim=-1)
            block = (squared + softening**2).sqrt() - softening
        parts.append(block)
    return torch.cat(parts, dim=1)
