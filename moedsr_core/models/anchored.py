"""`moedsr-anchored`: experts that predict only how a known surface moves.

The input's own surface is known exactly, so f(x, t) starts from its signed distance s₀:

    f(x, t) = s₀(x − w(t) A(x, t) ξ(x, z)) + w(t) (o(x, t) − c(t)),     w(-1) = 0
    o(x, t) = Σ_j a_j(t) Σ_i G_i(P₀) M_ij(x)                  offset
    A(x, t) = Σ_j a_j(t) softplus(Σ_i G_i(P₀) S_ij(x))        amplitude of the motion there

with the gate G and descriptor h_p of MoE-DSR's router, experts M, S: MLPs of Ψ(x), h_p, the
router's point features h(x), local features and s₀(x), and a_j(t) a fixed partition of unity.
Time is separable, so the network runs once per point however many frames follow. ξ(x, z) is a
divergence-free random displacement of unit variance along each axis whose neighbouring points
move together; its coefficients z are the code of a motion. Side chains move as they are, where a
change of the signed distance alone would erode them. c(t) is no part of what is learned: it keeps
the volume (:mod:`moedsr_core.models.volume`).

Departures from the paper, and why. Experts see Ψ with φ_SH = 1, the distance from the centre,
so the model turns with the molecule exactly; larger encodings remain a choice. The targets are
signed distances themselves rather than points and normals, since the surface of every training
frame is known analytically: no eikonal term and no second derivatives are needed.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from moedsr_core.models.anchored_config import AnchoredConfig
from moedsr_core.models.base import (
    Latent,
    Prepared,
    ProteinCode,
    ProteinInput,
    SurfaceModel,
    Time,
)
from moedsr_core.models.displacement import RandomDisplacement
from moedsr_core.models.experts.encoding import SphericalEncoding
from moedsr_core.models.local import LocalEncoder, Surroundings
from moedsr_core.models.router.gate import Gate
from moedsr_core.models.router.router import Router
from moedsr_core.models.router.surface_graph import interpolate
from moedsr_core.models.volume import TIMES, VolumeLevel, measure_level, nodes_near
from moedsr_core.surface.lattice import DistanceLattice

_RISEN = 0.02
"""Share of the rise below which there is no volume to keep."""
_START_CENTERS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)


@dataclass(frozen=True)
class AnchoredCode(ProteinCode):
    """A routed protein.

    Attributes:
        surroundings: What its atoms and residues offer to the points near them.
        lattice: Distances to its surface, where displaced points look them up.
        nodes: Prepared points at which its volume is measured; None while training.
        drawn_level: What keeps its volume in drawn motions, likewise.
        typical_level: The same for the typical shape.
    """

    surroundings: Surroundings
    lattice: DistanceLattice
    nodes: Prepared | None = None
    drawn_level: VolumeLevel | None = None
    typical_level: VolumeLevel | None = None


class AnchoredMoEDSR(SurfaceModel):
    """The input surface plus a mixture of experts for its change."""

    separable = True
    starts_at_surface = True
    start_centers: Tensor
    typical_codes: Tensor

    def __init__(self, config: AnchoredConfig) -> None:
        super().__init__()
        self.config = config
        self.latent_size = config.phi_z
        self.router = Router(config.router)
        self.gate = Gate(config.router.phi_p, config.n_experts, config.n_selected)
        self.encoding = SphericalEncoding(config.phi_sh)
        self.local = LocalEncoder(config.local_channels, config.neighbours, config.reach)
        self.point_features = nn.Linear(self.router.channels, 16)
        inputs = (
            config.phi_sh + config.router.phi_p + 16 + 2 * config.local_channels
            + len(_START_CENTERS) + 1
        )  # fmt: skip
        self.experts = nn.ModuleList(
            _expert(inputs, config.width, config.depth, 2 * config.time_modes)
            for _ in range(config.n_experts)
        )
        self.displacement = RandomDisplacement(config.phi_z // 2, config.motion_length)
        self.drift = RandomDisplacement(config.phi_z // 2, config.drift_length)
        self.register_buffer("start_centers", torch.tensor(_START_CENTERS))
        codes = torch.randn(4, config.phi_z, generator=torch.Generator().manual_seed(1))
        self.register_buffer("typical_codes", torch.cat([codes, -codes]))
        self._lattices: WeakKeyDictionary[ProteinInput, DistanceLattice] = WeakKeyDictionary()

    def encode(self, protein: ProteinInput) -> AnchoredCode:
        """Route one protein and describe its atoms."""
        features, descriptor = self.router(protein)
        code = AnchoredCode(
            protein=protein,
            descriptor=descriptor,
            gate=self.gate(descriptor),
            point_features=self.point_features(features),
            surroundings=self.local.surroundings(protein),
            lattice=self._lattice(protein),
        )
        return code if self.training or not self.config.volume_nodes else self._levelled(code)

    def prepare(
        self,
        code: ProteinCode,
        x: Float[Tensor, "n 3"],
        start: Float[Tensor, " n"] | None = None,
    ) -> Prepared:
        """Start distance, offset and amplitude of points, for all times at once.

        Args:
            code: From :meth:`encode`.
            x: Points of Ω.
            start: s₀ there [Å], where it is known already.
        """
        assert isinstance(code, AnchoredCode)
        start = surface_distance(code.protein, x) if start is None else start
        mixed = torch.zeros(len(x), 2 * self.config.time_modes, device=x.device)
        here = x * code.protein.scale
        inputs = self._expert_inputs(code, x, start)
        inputs = nn.functional.dropout(inputs, self.config.dropout, self.training)
        for i in torch.nonzero(code.gate).flatten().tolist():
            mixed = mixed + code.gate[i] * self.experts[i](inputs)
        offset, amplitude = mixed.chunk(2, dim=1)
        return {
            "start": start,
            "offset": offset,
            "amplitude": nn.functional.softplus(amplitude - 1.0),
            "position": here,
            "looked_up": code.lattice.sample(here),
            "waves": torch.cat([self.displacement.waves(here), self.drift.waves(here)], dim=1),
        }

    def evaluate(
        self, code: ProteinCode, prepared: Prepared, t: Time, z: Latent
    ) -> Float[Tensor, " n"]:
        """Signed distance in units of Ω at prepared points."""
        form = "nlw,nlwc->nlc" if z.ndim > 1 else "nlw,lwc->nlc"
        drawn = torch.einsum(form, self._waves(prepared), self._directions(z))
        rise, share = self.time_weights(t)
        moved = self._moved(code, prepared, rise, share, drawn)
        assert isinstance(code, AnchoredCode)
        return (moved - _level(code.drawn_level, t, rise)) / code.protein.scale

    def typical(
        self, code: ProteinCode, prepared: Prepared, t: Float[Tensor, ""]
    ) -> Float[Tensor, " n"]:
        """Mean signed distance over a few displacements, in units of Ω.

        They come in opposite pairs and are smaller than drawn ones, which keeps the texture of
        the surface.
        """
        directions = self.config.typical_share * self._directions(self.typical_codes)
        drawn = torch.einsum("nlw,dlwc->dnlc", self._waves(prepared), directions)
        rise, share = self.time_weights(t)
        values = self._moved(code, prepared, rise, share, drawn).mean(dim=0)
        assert isinstance(code, AnchoredCode)
        return (values - _level(code.typical_level, t, rise)) / code.protein.scale

    def draw(
        self,
        code: ProteinCode,
        prepared: Prepared,
        t: Float[Tensor, " frames"],
        z: Float[Tensor, "frames draws latent"],
    ) -> Float[Tensor, "frames draws n"]:
        """Signed distance [Å] at prepared points in several motions at each of several times."""
        drawn = torch.einsum("nlw,fdlwc->fdnlc", self._waves(prepared), self._directions(z))
        rise, share = self.time_weights(t)
        moved = self._moved(code, prepared, rise[:, None, None], share[:, None, None], drawn)
        assert isinstance(code, AnchoredCode)
        return moved - _level(code.drawn_level, t[:, None, None], rise[:, None, None])

    @torch.no_grad()
    def settle(
        self,
        code: ProteinCode,
        times: Float[Tensor, " frames"],
        path: Float[Tensor, "frames latent"] | None,
    ) -> ProteinCode:
        """Keep the volume in each frame of a movie, not only in the mean over motions."""
        assert isinstance(code, AnchoredCode)
        rise, _ = self.time_weights(times)
        frames = torch.nonzero(rise > _RISEN).flatten()
        if code.nodes is None or not len(frames):
            return code
        times, rise = times[frames], rise[frames]
        if path is None:
            return replace(code, typical_level=self._typical_level(code, code.nodes, times, rise))
        bare, nodes = replace(code, drawn_level=None), code.nodes
        motions = zip(times, path[frames], strict=True)
        drawn = (self.draw(bare, nodes, t[None], z[None, None])[0] for t, z in motions)
        return replace(code, drawn_level=measure_level(times, rise, drawn, nodes["start"]))

    @torch.no_grad()
    def _levelled(self, code: AnchoredCode) -> AnchoredCode:
        """The same code with the levels that keep its volume in the mean over motions."""
        here, start = nodes_near(code.lattice, self.config.volume_nodes)
        nodes = self.prepare(code, here / code.protein.scale, start)
        times = torch.tensor(TIMES, device=start.device)
        rise, _ = self.time_weights(times)
        codes = self.typical_codes
        drawn = (self.draw(code, nodes, t[None], codes[None])[0] for t in times)
        return replace(
            code,
            nodes=nodes,
            drawn_level=measure_level(times, rise, drawn, start),
            typical_level=self._typical_level(code, nodes, times, rise),
        )

    def _typical_level(
        self,
        code: AnchoredCode,
        nodes: Prepared,
        times: Float[Tensor, " times"],
        rise: Float[Tensor, " times"],
    ) -> VolumeLevel:
        bare, scale = replace(code, typical_level=None), code.protein.scale
        values = (scale * self.typical(bare, nodes, t)[None] for t in times)
        return measure_level(times, rise, values, nodes["start"])

    def _moved(
        self,
        code: ProteinCode,
        prepared: Prepared,
        rise: Tensor,
        share: Tensor,
        drawn: Float[Tensor, "*shape n 2 3"],
    ) -> Float[Tensor, "*shape n"]:
        """s₀ at the displaced points, plus the offset [Å]; exactly s₀ where nothing has risen."""
        offset = rise * (prepared["offset"] * share).sum(dim=-1)
        amplitude = rise * (prepared["amplitude"] * share).sum(dim=-1)
        own = amplitude.clamp(max=self.config.own_amplitude)
        beyond = amplitude.square() - own.square()
        shared = torch.where(beyond > 0, (beyond + 1e-12).sqrt(), 0.0)
        displacement = (torch.stack([own, shared], dim=-1)[..., None] * drawn).sum(dim=-2)
        size = (displacement.square().sum(dim=-1, keepdim=True) + 1e-12).sqrt()
        displacement = displacement / (1.0 + (size / self.config.largest_displacement) ** 4) ** 0.25
        assert isinstance(code, AnchoredCode)
        ahead = code.lattice.sample(prepared["position"] - displacement)
        most = self.config.largest_offset
        change = ahead - prepared["looked_up"] + most * torch.tanh(offset / most)
        return prepared["start"] + change

    def _directions(self, z: Float[Tensor, "*shape latent"]) -> Float[Tensor, "*shape 2 waves 3"]:
        """What the waves of either length are multiplied by."""
        own, shared = z.chunk(2, dim=-1)
        parts = [self.displacement.directions(own), self.drift.directions(shared)]
        return torch.stack(parts, dim=-3)

    @staticmethod
    def _waves(prepared: Prepared) -> Float[Tensor, "n 2 waves"]:
        return prepared["waves"].unflatten(1, (2, -1))

    def _lattice(self, protein: ProteinInput) -> DistanceLattice:
        """Distances to the first surface, measured once per protein."""
        if protein not in self._lattices:
            lattice = DistanceLattice.around(
                protein.surface, spacing=self.config.lattice_spacing, band=2.0, margin=8.0
            )
            self._lattices[protein] = lattice.to(protein.points)
        return self._lattices[protein]

    def time_weights(
        self, t: Float[Tensor, "*shape"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape modes"]]:
        """w(t), and the shares a_j(t), which are positive and sum to one."""
        modes = self.config.time_modes
        centers = torch.linspace(-1.0, 1.0, modes, device=t.device)
        width = 2.0 / (modes - 1)
        share = torch.softmax(-((t[..., None] - centers) / width).square() * 2.0, dim=-1)
        return 1.0 - torch.exp(-(1.0 + t) / self.config.rise), share

    def latent_path(
        self, n_frames: int, generator: torch.Generator
    ) -> Float[Tensor, "frames latent"]:
        """Stationary path of N(0, 1) codes: one part stays, the other changes smoothly.

        The changing part is autoregressive of second order, with equal roots ρ = exp(−2/memory),
        so that the movie has a velocity; its first 200 steps are dropped.
        """
        rho = math.exp(-2.0 / self.config.memory)
        stays = torch.randn(self.latent_size, generator=generator)
        noise = torch.randn(n_frames + 200, self.latent_size, generator=generator)
        path = [noise[0], noise[1]]
        for step in noise[2:]:
            path.append(2 * rho * path[-1] - rho**2 * path[-2] + step)
        variance = (1 + rho**2) / (1 - rho**2) ** 3
        changes = torch.stack(path[200:]) / math.sqrt(variance)
        kept = self.config.kept_share
        return math.sqrt(kept) * stays + math.sqrt(1.0 - kept) * changes

    def expert_shares(
        self, code: ProteinCode, x: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n experts"]:
        """Share of each expert in the size of offset and amplitude at points of Ω."""
        inputs = self._expert_inputs(code, x, surface_distance(code.protein, x))
        shares = torch.zeros(len(x), self.config.n_experts, device=x.device)
        for i in torch.nonzero(code.gate).flatten().tolist():
            shares[:, i] = code.gate[i] * self.experts[i](inputs).norm(dim=1)
        return shares / shares.sum(dim=1, keepdim=True).clamp_min(1e-12)

    def _expert_inputs(
        self, code: ProteinCode, x: Float[Tensor, "n 3"], start: Float[Tensor, " n"]
    ) -> Float[Tensor, "n inputs"]:
        assert isinstance(code, AnchoredCode)
        here = x * code.protein.scale
        distance = torch.exp(-(start[:, None] - self.start_centers).square())
        return torch.cat(
            [
                self.encoding(here / 20.0),
                code.descriptor.expand(len(x), -1),
                interpolate(code.point_features, code.protein.points, here),
                self.local(here, code.protein, code.surroundings),
                distance,
                torch.tanh(start[:, None] / 3.0),
            ],
            dim=1,
        )


def _level(level: VolumeLevel | None, t: Tensor, rise: Tensor) -> Tensor:
    return torch.zeros_like(rise) if level is None else level.at(t, rise)


class _SurfaceDistance(torch.autograd.Function):
    """s₀ [Å] at points [Å], with its gradient by central differences."""

    _STEP = 0.02

    @staticmethod
    def forward(ctx: Any, x: Tensor, surface: Any) -> Tensor:
        ctx.surface = surface
        ctx.save_for_backward(x)
        return _as_tensor(surface.signed_distance(_as_array(x)), x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        points, columns = _as_array(x), []
        for axis in range(3):
            step = _SurfaceDistance._STEP * np.eye(3)[axis]
            ahead = ctx.surface.signed_distance(points + step)
            behind = ctx.surface.signed_distance(points - step)
            columns.append((ahead - behind) / (2 * _SurfaceDistance._STEP))
        return grads[0][:, None] * _as_tensor(np.stack(columns, axis=1), x), None


def surface_distance(protein: ProteinInput, x: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
    """Signed distance s₀ of points of Ω to the input's own surface [Å]; once differentiable."""
    return _SurfaceDistance.apply(x * protein.scale, protein.surface)


def _as_array(x: Tensor) -> Float[np.ndarray, "n 3"]:
    return x.detach().cpu().numpy().astype(np.float64)


def _as_tensor(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)


def _expert(inputs: int, width: int, depth: int, outputs: int) -> nn.Sequential:
    """MLP whose last layer starts at zero, so that an untrained expert leaves the surface alone."""
    sizes = [inputs] + [width] * depth
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.SiLU()]
    last = nn.Linear(width, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)
