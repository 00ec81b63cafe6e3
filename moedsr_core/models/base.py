"""What every model of a moving surface takes and gives.

A model sees a protein once (:meth:`SurfaceModel.encode`), each point of space once
(:meth:`SurfaceModel.prepare`), and each point again at every time
(:meth:`SurfaceModel.evaluate`), so that what does not depend on time is computed once.
Points and distances are in units of Ω = [-1, 1]³ here; the input's atoms and surface are in Å.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Prepared = dict[str, Tensor]
"""Time-independent quantities of n points; every tensor has n rows, so that prepared points
can be indexed and concatenated."""
Time = Float[Tensor, ""] | Float[Tensor, " n"]
"""Time in [-1, 1], one for all points or one for each."""
Latent = Float[Tensor, " latent"] | Float[Tensor, "n latent"]
"""Code z, likewise."""


@dataclass(frozen=True, eq=False)
class ProteinInput:
    """The input structure P₀ in its canonical pose, as tensors on one device.

    Compared and hashed by identity, so that what depends on it alone can be remembered with it.

    Attributes:
        points: Points of the molecular surface [Å].
        normals: Outward unit normals there.
        residue_positions: Cα positions [Å].
        residue_kinds: Index into :data:`chemistry.RESIDUE_KINDS`.
        atom_positions: Heavy atoms [Å].
        atom_radii: Their van der Waals radii [Å].
        atom_depths: Bonds to the backbone.
        atom_residues: Residue of each atom.
        surface: The exact surface of P₀ in the canonical pose; its ``signed_distance`` [Å].
        scale: Length of one unit of Ω [Å].
    """

    points: Float[Tensor, "points 3"]
    normals: Float[Tensor, "points 3"]
    residue_positions: Float[Tensor, "residues 3"]
    residue_kinds: Int[Tensor, " residues"]
    atom_positions: Float[Tensor, "atoms 3"]
    atom_radii: Float[Tensor, " atoms"]
    atom_depths: Int[Tensor, " atoms"]
    atom_residues: Int[Tensor, " atoms"]
    surface: Any
    scale: float


@dataclass(frozen=True)
class ProteinCode:
    """What a model remembers of a protein.

    Attributes:
        protein: The input itself.
        descriptor: h_p, the protein-level features; empty for models without a router.
        gate: Weight of each expert, summing to one; one expert for models without a gate.
        point_features: Invariant features of each surface point; empty for models without.
    """

    protein: ProteinInput
    descriptor: Float[Tensor, " features"]
    gate: Float[Tensor, " experts"]
    point_features: Float[Tensor, "points channels"]


class SurfaceModel(nn.Module, ABC):
    """Signed distance f(x, t) to a moving protein surface, negative inside."""

    config: Any
    latent_size: int
    """Entries of the per-trajectory code z."""
    separable: bool = False
    """Whether :meth:`evaluate` runs no network, so that further frames cost next to nothing."""

    starts_at_surface: bool = False
    """Whether f(x, -1) is the exact signed distance to the input's own surface."""

    @abstractmethod
    def encode(self, protein: ProteinInput) -> ProteinCode:
        """Route one protein. Differentiable."""

    @abstractmethod
    def prepare(self, code: ProteinCode, x: Float[Tensor, "n 3"]) -> Prepared:
        """Compute what does not depend on time at points of Ω. Differentiable in ``x``."""

    @abstractmethod
    def evaluate(
        self, code: ProteinCode, prepared: Prepared, t: Time, z: Latent
    ) -> Float[Tensor, " n"]:
        """Signed distance in units of Ω at prepared points and time t in [-1, 1]."""

    def typical(
        self, code: ProteinCode, prepared: Prepared, t: Float[Tensor, ""]
    ) -> Float[Tensor, " n"]:
        """Signed distance of the typical shape in units of Ω; z = 0, unless overridden."""
        z = torch.zeros(self.latent_size, device=t.device, dtype=t.dtype)
        return self.evaluate(code, prepared, t, z)

    def forward(
        self, code: ProteinCode, x: Float[Tensor, "n 3"], t: Time, z: Latent
    ) -> Float[Tensor, " n"]:
        """Signed distance in units of Ω at points of Ω and time t in [-1, 1]."""
        return self.evaluate(code, self.prepare(code, x), t, z)

    def latent_path(
        self, n_frames: int, generator: torch.Generator
    ) -> Float[Tensor, "frames latent"]:
        """Code z of each frame of one drawn motion; here one z from N(0, 1) for the whole movie."""
        return torch.randn(1, self.latent_size, generator=generator).repeat(n_frames, 1)

    def settle(
        self,
        code: ProteinCode,
        times: Float[Tensor, " frames"],
        path: Float[Tensor, "frames latent"] | None,
    ) -> ProteinCode:
        """What is to be known of one movie before its frames; here nothing.

        Args:
            code: The protein, encoded.
            times: Model time of each frame, in order.
            path: Code z of each frame; None for the typical shape.
        """
        return code

    def expert_shares(
        self, code: ProteinCode, x: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n experts"]:
        """Share of each expert in the prediction at points of Ω; the gate, unless overridden."""
        return code.gate.expand(len(x), -1)
