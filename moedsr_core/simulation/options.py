"""How long, how often and how a protein is simulated."""

from __future__ import annotations

from dataclasses import dataclass

from moedsr_core.choices import check_number
from moedsr_core.errors import InputError

FORCE_FIELD = ("amber14-all.xml", "implicit/gbn2.xml")
"""ff14SB with OL15 and OL3 for nucleic acids (Maier et al. 2015, doi:10.1021/acs.jctc.5b00255) in
implicit water, GBn2 (Nguyen et al. 2013, doi:10.1021/ct3010485)."""
PH = 7.0
"""At which hydrogens are set."""
_WHOLE = 1e-6
"""How far a number of steps may be from a whole one."""


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """One simulation; every choice is part of what is made."""

    length_ns: float = 0.5
    """Length of each replicate [ns], after its equilibration."""
    spacing_ps: float = 5.0
    """Time between frames [ps]."""
    replicates: int = 3
    """Runs of each structure, with other velocities and random forces."""
    heavy_atoms: bool = False
    """Leave hydrogens out of the files; about half their size."""
    temperature: float = 300.0
    """Of the heat bath [K]."""
    step_fs: float = 4.0
    """Time step [fs]; halved once for a run that becomes unstable."""
    hydrogen_mass: float = 3.024
    """Of each hydrogen [Da], taken from the atom it is bound to (Hopkins et al. 2015,
    doi:10.1021/ct5010406); what lets steps be 4 fs."""
    friction: float = 1.0
    """Of the heat bath [1/ps]."""
    minimization: int = 500
    """Steps in which the energy is minimised first, at most."""
    equilibration_ps: float = 20.0
    """Run after the energy is minimised and before the first frame [ps]."""
    seed: int = 0
    """Of all random numbers."""

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated."""
        check_number("length_ns", self.length_ns, 1e-6, 1e6)
        check_number("spacing_ps", self.spacing_ps, 1e-3, 1e6)
        check_number("replicates", self.replicates, 1, 99, whole=True)
        check_number("temperature", self.temperature, 1, 1000)
        check_number("step_fs", self.step_fs, 0.1, 5)
        check_number("hydrogen_mass", self.hydrogen_mass, 1, 4)
        check_number("friction", self.friction, 0.01, 100)
        check_number("minimization", self.minimization, 1, 10**6, whole=True)
        check_number("equilibration_ps", self.equilibration_ps, 0, 1e6)
        check_number("seed", self.seed, 0, 2**31 - 1, whole=True)
        _whole(
            self.spacing_ps * 1000 / self.step_fs,
            f"spacing_ps must be a whole number of steps of {self.step_fs:g} fs",
            f"{self.spacing_ps:g} ps",
        )
        _whole(
            self.length_ns * 1000 / self.spacing_ps,
            f"length_ns must be a whole number of spacings of {self.spacing_ps:g} ps",
            f"{self.length_ns:g} ns",
        )

    @property
    def frames(self) -> int:
        """Frames of each replicate, the first at its beginning and the last at its end."""
        return round(self.length_ns * 1000 / self.spacing_ps) + 1

    def steps_per_frame(self, step_fs: float) -> int:
        """Time steps of a length [fs] between neighbouring frames."""
        return round(self.spacing_ps * 1000 / step_fs)


@dataclass(frozen=True, kw_only=True)
class LimitConfig:
    """From where on a run is said to unfold."""

    rmsd: float = 6.0
    """Largest Cα RMSD from the start [Å]."""
    gyration: float = 1.25
    """Largest radius of gyration, as a multiple of the start's."""

    def __post_init__(self) -> None:
        """Refuse limits that everything passes at once."""
        check_number("rmsd", self.rmsd, 0.1, 1000)
        check_number("gyration", self.gyration, 1.001, 1000)


def _whole(number: float, expected: str, got: str) -> None:
    if round(number) < 1 or abs(number - round(number)) > _WHOLE * number:
        raise InputError(f"{expected}, got {got}")
