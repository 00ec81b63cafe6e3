"""Quasi-geodesic message passing over surface points."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moedsr_core.models.equivariant import o3
from moedsr_core.models.router.irreps import (
    depthwise_product,
    invariants,
    irreps_mlp,
    natural_irreps,
    unit_harmonics,
)
from moedsr_core.models.router.surface_graph import SurfaceGraph


class GaussianRadial(nn.Module):
    """Weights of a tensor product as a function of distance.

    Gaussian basis ``exp(-γ (d - μ_k)²)`` with centres from 0 to ``reach`` [Å] in ``intervals``
    equal steps, then a two-layer MLP (MoE-DSR, below Eq. 3; Schütt et al. 2018). The paper
    prints γ = 10 "Å"; the unit that makes the exponent a number is Å⁻².
    """

    centres: Tensor

    def __init__(
        self, intervals: int, n_weights: int, gamma: float, reach: float, width: int
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("centres", torch.linspace(0.0, reach, intervals + 1))
        self.mlp = nn.Sequential(
            nn.Linear(intervals + 1, width), nn.SiLU(), nn.Linear(width, n_weights)
        )

    def forward(self, distance: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape weights"]:
        """Path weights at each distance [Å]."""
        basis = torch.exp(-self.gamma * (distance[..., None] - self.centres).square())
        return self.mlp(basis)


class QMPNNLayer(nn.Module):
    """One round of messages (MoE-DSR Eq. 3 and 4).

    ``h_ij = MLP(h_i) + MLP(h_j)``; message = Linear(h_ij ⊗_{w(d_ij)} SH(x_i - x_j));
    update ``U(h, m) = Linear(h) + MLP(h ⊕ m)``. Messages are faded by the neighbourhood's
    envelope and their sum is divided by the square root of the largest neighbour count.
    """

    def __init__(
        self, irreps_in: o3.Irreps, irreps_out: o3.Irreps, *, intervals: int,
        gamma: float, reach: float, max_neighbours: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.scale = max_neighbours**-0.5
        self.l_max = irreps_out.lmax
        self.target = irreps_mlp(irreps_in, irreps_in)
        self.source = irreps_mlp(irreps_in, irreps_in)
        irreps_sh = o3.Irreps.spherical_harmonics(self.l_max)
        self.product = depthwise_product(irreps_in, irreps_sh, irreps_out)
        self.radial = GaussianRadial(intervals, self.product.weight_numel, gamma, reach, intervals)
        self.mix = o3.Linear(self.product.irreps_out, irreps_out, biases=True)
        self.carry = o3.Linear(irreps_in, irreps_out, biases=True)
        self.update = irreps_mlp(irreps_in + irreps_out, irreps_out)

    def forward(
        self, features: Float[Tensor, "points inputs"], graph: SurfaceGraph
    ) -> Float[Tensor, "points outputs"]:
        """Features after one round."""
        pair = self.target(features)[:, None] + self.source(features)[graph.neighbours]
        harmonics = unit_harmonics(graph.offsets, self.l_max)
        product = self.product(pair, harmonics, self.radial(graph.distances))
        total = self._sum_messages(product, graph.envelope)
        return self.carry(features) + self.update(torch.cat([features, total], dim=1))

    def _sum_messages(
        self, product: Float[Tensor, "points k paths"], envelope: Float[Tensor, "points k"]
    ) -> Float[Tensor, "points outputs"]:
        """Faded sum of ``Linear(product)`` over neighbours.

        Linear is affine, so it is applied once to the weighted mean instead of to every edge.
        """
        weight = envelope.sum(dim=1, keepdim=True)
        share = envelope / weight.clamp_min(1e-12)
        mean = (share[..., None] * product).sum(dim=1)
        return self.mix(mean) * weight * self.scale


class QMPNN(nn.Module):
    """Stack of :class:`QMPNNLayer`; scalars in, invariants out.

    The first layer takes ``channels`` scalars; later ones ``channels`` features of each degree
    up to ``l_max``. Only scalars and norms leave, for a maximum over the components of
    l > 0 would depend on the frame.
    """

    def __init__(
        self, channels: int, l_max: int, layers: int, *, intervals: int,
        gamma: float, reach: float, max_neighbours: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.irreps = natural_irreps(channels, l_max)
        inputs = [natural_irreps(channels, 0)] + [self.irreps] * (layers - 1)
        self.layers = nn.ModuleList(
            QMPNNLayer(
                irreps, self.irreps, intervals=intervals, gamma=gamma, reach=reach,
                max_neighbours=max_neighbours,
            )
            for irreps in inputs
        )  # fmt: skip
        self.channels = self.irreps.num_irreps
        """Number of invariant features given for each point."""

    def equivariant_features(
        self, features: Float[Tensor, "points channels"], graph: SurfaceGraph
    ) -> Float[Tensor, "points components"]:
        """Features of all degrees, laid out as ``irreps``; they turn with the molecule."""
        for layer in self.layers:
            features = layer(features, graph)
        return features

    def forward(
        self, features: Float[Tensor, "points channels"], graph: SurfaceGraph
    ) -> Float[Tensor, "points invariants"]:
        """Invariant features of every point."""
        return invariants(self.equivariant_features(features, graph), self.irreps)
