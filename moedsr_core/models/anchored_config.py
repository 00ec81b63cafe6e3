"""Sizes of `moedsr-anchored`, and what was measured to set them."""

from __future__ import annotations

from dataclasses import dataclass, field

from moedsr_core.errors import InputError
from moedsr_core.models.experts.encoding import DEGREES
from moedsr_core.models.router.router import RouterConfig


@dataclass(frozen=True, kw_only=True)
class AnchoredConfig:
    """Sizes of `moedsr-anchored`."""

    router: RouterConfig = field(
        default_factory=lambda: RouterConfig(phi_s=16, l_max=1, layers=1, max_points=512)
    )
    """The router of MoE-DSR."""
    n_experts: int = 4
    """Experts N_E."""
    n_selected: int = 2
    """Experts evaluated for each protein N_K."""
    phi_sh: int = 1
    """Size of the encoding Ψ; 1 keeps the model invariant."""
    width: int = 128
    """Hidden units of an expert."""
    depth: int = 3
    """Hidden layers of an expert."""
    dropout: float = 0.0
    """Share of an expert's inputs that is left out of each training step."""
    local_channels: int = 48
    """Features gathered from the atoms around a point."""
    neighbours: int = 16
    """Atoms around a point."""
    reach: float = 8.0
    """How far a point looks for atoms [Å]."""
    time_modes: int = 5
    """Functions a_j that share the time axis."""
    rise: float = 0.05
    """Model time in which the surface leaves its start: w(t) = 1 − exp(−(1 + t)/rise)."""
    phi_z: int = 256
    """Coefficients of the random displacement, one half for each length; a multiple of eight."""
    motion_length: float = 2.5
    """Distance over which neighbouring points move together in small motions [Å]."""
    drift_length: float = 8.0
    """The same for what goes beyond ``own_amplitude``: larger parts make large motions together.
    Between points 1.25, 2.25, 3.5 and 5.5 Å apart, the correlations of signed distances in five
    trajectories are 0.91, 0.77, 0.49 and 0.18 in the quarter of the surface that moves most, and
    0.64, 0.34, 0.13 and 0.05 in the 40 % that move least."""
    own_amplitude: float = 0.8
    """Amplitude up to which a place moves on its own [Å]."""
    largest_displacement: float = 3.0
    """No point is displaced further [Å]."""
    largest_offset: float = 0.4
    """Signed distances change at most this much beside the displacement [Å]."""
    typical_share: float = 0.35
    """Size of the displacements that the typical shape is averaged over, as a share of drawn ones.
    With shares of 0.2, 0.35, 0.6 and 1, gap_closed is 0.07, 0.08, 0.03 and −0.19 on two public
    validation proteins and 0.16, 0.20, 0.24 and 0.23 on four simulated ones; the Chamfer distance
    over that of the still surface 0.95, 0.95, 0.92 and 0.93, and 0.91, 0.89, 0.86 and 0.83."""
    lattice_spacing: float = 0.5
    """Of the lattice on which displaced points look up the first surface [Å]."""
    memory: float = 8.0
    """Frames over which a drawn motion remembers itself."""
    kept_share: float = 0.5
    """Share of a drawn motion's variance that stays for the whole movie. The input is one frame
    like any other, so what separates later frames from it is as much its own distance from their
    mean as theirs, and only theirs fluctuates."""
    volume_nodes: int = 4096
    """Nodes at which the level that keeps the volume is measured; 0 leaves the level at f = 0."""

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        for name in ("width", "depth", "local_channels", "neighbours", "phi_z", "n_experts"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in (
            "reach", "rise", "motion_length", "drift_length", "own_amplitude", "memory",
            "largest_displacement", "largest_offset", "lattice_spacing",
        ):  # fmt: skip
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be from 0 to below 1, got {self.dropout}")
        if self.phi_sh not in DEGREES:
            raise InputError(f"phi_sh must be one of {sorted(DEGREES)}, got {self.phi_sh}")
        if not 1 <= self.n_selected <= self.n_experts:
            raise InputError(
                f"n_selected must be between 1 and all {self.n_experts} experts, got "
                f"{self.n_selected}"
            )
        if not self.typical_share >= 0:
            raise InputError(f"typical_share must not be negative, got {self.typical_share}")
        if self.volume_nodes < 0:
            raise InputError(f"volume_nodes must not be negative, got {self.volume_nodes}")
        if not 0 <= self.kept_share <= 1:
            raise InputError(f"kept_share must be between 0 and 1, got {self.kept_share}")
        if self.phi_z % 8:
            raise InputError(f"phi_z must be a multiple of eight, got {self.phi_z}")
        if self.time_modes < 2:
            raise InputError(f"time_modes must be at least 2, got {self.time_modes}")
