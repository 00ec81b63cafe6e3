"""dMaSIF (Sverrisson, Feydy, Correia & Bronstein 2021, CVPR).

Mean and Gaussian curvatures at five scales beside the chemical features (their 3.2), and
quasi-geodesic convolutions in local frames (their 3.3): a Gaussian window of the distance along
the surface times a learned filter of the neighbour's position in the frame (n, u, v). The tangent
u is the direction in which a learned potential rises. All pairs of points take part, as in the
paper; memory grows with their square, about 0.1 GB a layer for 1024 points. The normals of
windows and frames are smoothed over the reach, those of curvatures over each scale.
"""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moedsr_core.models.router.backbones.pyramid import BackboneSizes
from moedsr_core.models.router.surface_graph import quasi_geodesic, smoothed_normals

SCALES = (1.0, 2.0, 3.0, 5.0, 10.0)
"""Widths of the windows in which curvatures are measured [Å] (their 3.2)."""
RIDGE = 0.01
"""Regularisation of the shape operator [Å²] (released code)."""
CUTS = 8
"""Hidden units of the filter (their 3.3)."""
SLOPE = 0.2
"""Of the leaky ReLU (released code)."""


def gaussian_window(
    offsets: Float[Tensor, "n n 3"], normals: Float[Tensor, "n 3"], sigma: float
) -> Float[Tensor, "n n"]:
    """``exp(−d² / 2σ²)`` of the quasi-geodesic distance d between all points (their 3.3)."""
    squared = offsets.square().sum(dim=-1)
    stretch = quasi_geodesic(torch.ones_like(squared), normals @ normals.T)
    return torch.exp(-squared * stretch.square() / (2.0 * sigma**2))


def curvatures(
    points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"], scale: float
) -> Float[Tensor, "n 2"]:
    """Mean [Å⁻¹] and Gaussian curvature [Å⁻²] at one scale, positive where the surface bulges.

    The shape operator ``S = (Σ w p pᵀ + ridge)⁻¹ Σ w p qᵀ`` is fitted to the differences p of
    positions and q of normals in the tangent plane; its trace and determinant are taken
    without a choice of tangent vectors. Limited to ±1, as in the released code.
    """
    smooth = smoothed_normals(points, normals, scale)
    along = smooth[:, :, None] * smooth[:, None, :]
    plane = torch.eye(3, dtype=points.dtype, device=points.device) - along
    offsets = points - points[:, None]
    weighted = gaussian_window(offsets, smooth, scale)[..., None] * offsets
    positions = plane @ (weighted.mT @ offsets) @ plane
    turns = plane @ (weighted.mT @ (smooth - smooth[:, None])) @ plane
    shape = torch.linalg.solve(positions + RIDGE * plane + along, turns)
    mean = 0.5 * shape.diagonal(dim1=1, dim2=2).sum(dim=1)
    gauss = torch.linalg.det(shape + along)
    return torch.stack([mean, gauss], dim=1).clamp(-1.0, 1.0)


def local_frames(
    offsets: Float[Tensor, "n n 3"],
    window: Float[Tensor, "n n"],
    normals: Float[Tensor, "n 3"],
    potential: Float[Tensor, " n"],
) -> Float[Tensor, "n 3 3"]:
    """Rows n, u, v of each point's frame; u points where the potential rises (their 3.3).

    The gradient ``Σ_j w_ij P_j (x_j − x_i)`` is taken in the tangent plane and normalised,
    softened by 10⁻⁵ Å; right-handed, so that mirror images differ.
    """
    gradient = ((window * potential)[..., None] * offsets).sum(dim=1)
    tangent = gradient - (gradient * normals).sum(dim=1, keepdim=True) * normals
    length = (tangent.square().sum(dim=1, keepdim=True) + 1e-10).sqrt()
    u = tangent / length
    return torch.stack([normals, u, torch.linalg.cross(normals, u)], dim=1)


class _Normalised(nn.Module):
    """Two layers, then normalisation over groups of channels and all points of the protein."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(inputs, outputs), nn.LeakyReLU(SLOPE),
            nn.Linear(outputs, outputs), nn.LeakyReLU(SLOPE),
        )  # fmt: skip
        self.norm = nn.GroupNorm(math.gcd(4, outputs), outputs)

    def forward(self, features: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        """Features of the same points."""
        return self.norm(self.mlp(features).T[None])[0].T


class Convolution(nn.Module):
    """``f_i ← Σ_j w_ij MLP(p_ij) ⊙ f_j`` between two perceptrons, with a residual link."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.before = _Normalised(width_in, width_out)
        self.cuts = nn.Linear(3, CUTS)
        self.filter = nn.Linear(CUTS, width_out)
        self.behind = _Normalised(width_out, width_out)
        self.last = nn.Sequential(
            nn.Linear(width_out, width_out), nn.ReLU(), nn.Linear(width_out, width_out)
        )
        self.carry = nn.Linear(width_in, width_out)

    def forward(
        self,
        features: Float[Tensor, "n inputs"],
        local: Float[Tensor, "n n 3"],
        window: Float[Tensor, "n n"],
    ) -> Float[Tensor, "n outputs"]:
        """Features after one convolution.

        The filter's second layer is linear, so it is applied to sums over neighbours instead of
        to every pair.
        """
        hidden = self.before(features)
        cut = window[..., None] * torch.relu(self.cuts(local))
        sums = cut.mT @ hidden
        gathered = torch.einsum("nch,hc->nh", sums, self.filter.weight)
        gathered = gathered + self.filter.bias * (window @ hidden)
        return self.carry(features) + self.last(self.behind(gathered))


class DMaSIF(nn.Module):
    """Curvatures, learned frames, convolutions."""

    def __init__(self, sizes: BackboneSizes) -> None:
        super().__init__()
        self.reach = sizes.reach
        described = sizes.inputs + 2 * len(SCALES)
        self.potential = nn.Sequential(
            nn.Linear(described, 16), nn.LeakyReLU(SLOPE), nn.Linear(16, 1)
        )
        widths = [described] + [sizes.inputs] * (sizes.layers - 1) + [sizes.outputs]
        self.convolutions = nn.ModuleList(Convolution(a, b) for a, b in itertools.pairwise(widths))

    def forward(
        self,
        features: Float[Tensor, "n inputs"],
        points: Float[Tensor, "n 3"],
        normals: Float[Tensor, "n 3"],
    ) -> Float[Tensor, "n outputs"]:
        """Features of every point; positions in frames are in units of √2·reach."""
        bends = [curvatures(points, normals, scale) for scale in SCALES]
        hidden = torch.cat([features, *bends], dim=1)
        offsets = points - points[:, None]
        smooth = smoothed_normals(points, normals, self.reach)
        window = gaussian_window(offsets, smooth, self.reach)
        frames = local_frames(offsets, window, smooth, self.potential(hidden)[:, 0])
        local = offsets @ frames.mT / (math.sqrt(2.0) * self.reach)
        for convolution in self.convolutions:
            hidden = convolution(hidden, local, window)
        return hidden
