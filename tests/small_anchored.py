"""A small `moedsr-anchored`, and points and codes to try it on."""

from __future__ import annotations

import torch
from synthetic_chain import stir

from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.models.anchored_config import AnchoredConfig
from moedsr_core.models.router.router import RouterConfig

SMALL = AnchoredConfig(
    router=RouterConfig(
        phi_s=4, phi_r=4, phi_p=8, zeta=8, gamma=1.0, max_neighbours=12, l_max=1, layers=1
    ),
    width=16,
    depth=2,
    local_channels=8,
    neighbours=8,
    phi_z=16,
    largest_offset=1.0,
    volume_nodes=0,
)


def untrained(config: AnchoredConfig, seed: int = 0) -> AnchoredMoEDSR:
    """A model none of whose weights is zero, as after training."""
    torch.manual_seed(seed)
    return stir(AnchoredMoEDSR(config)).eval()


def near(protein, n=40, seed=0, dtype=torch.float32):
    """Points of Ω close to the surface, none at a kink of the distance with certainty."""
    generator = torch.Generator().manual_seed(seed)
    pick = torch.randint(len(protein.points), (n,), generator=generator)
    offset = 0.8 * torch.randn(n, 3, generator=generator)
    return ((protein.points[pick] + offset) / protein.scale).to(dtype)


def draws(n, seed=0):
    return torch.randn(n, SMALL.phi_z, generator=torch.Generator().manual_seed(seed))
