"""Random, divergence-free displacements of space, whose coefficients are the code of a motion."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RandomDisplacement(nn.Module):
    """ξ(x, z): a vector field of unit variance along each axis in which nearby points move alike.

    A sum of transverse waves with normally distributed wave vectors, hence a Gaussian process
    whose correlation falls off as ``exp(−|x−y|²/2L²)`` (Rahimi & Recht 2007,
    doi:10.5555/2981562.2981710). Waves that are transverse move matter without thinning it:
    ∇·ξ = 0. Cosine and sine of every wave are drawn independently, so the variance is the same
    everywhere.

    Args:
        coefficients: Entries of z, a multiple of four: two phases and two polarisations a wave.
        length: Correlation length L [Å].
    """

    frequencies: Tensor
    polarisations: Tensor

    def __init__(self, coefficients: int, length: float) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        waves = coefficients // 4
        frequencies = torch.randn(waves, 3, generator=generator) / length
        side = torch.linalg.cross(frequencies, torch.randn(waves, 3, generator=generator))
        side = nn.functional.normalize(side, dim=1)
        other = nn.functional.normalize(torch.linalg.cross(frequencies, side), dim=1)
        self.register_buffer("frequencies", frequencies)
        polarisations = torch.stack([side, other], dim=1)
        self.register_buffer("polarisations", polarisations)
        self._size = math.sqrt(3.0 / (2.0 * waves))

    def waves(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, "n waves"]:
        """Cosine and sine of every wave at points [Å]."""
        phase = x @ self.frequencies.T
        return self._size * torch.cat([phase.cos(), phase.sin()], dim=1)

    def directions(self, z: Float[Tensor, "*shape latent"]) -> Float[Tensor, "*shape waves 3"]:
        """What each cosine and sine is multiplied by, so that ξ = waves @ directions."""
        amplitudes = z.unflatten(-1, (2, -1, 2))
        return torch.einsum("...pwk,wkc->...pwc", amplitudes, self.polarisations).flatten(-3, -2)
