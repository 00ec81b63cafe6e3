"""Molecules in motion: OpenMM with a heat bath, step by step.

Several molecules may share one system, so far apart that none is aware of another: a small one
leaves most of a GPU idle. Each moves exactly as it would alone, since the cutoff is longer than
any of them: within it nothing is left out, and beyond it there is nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float

from moedsr_core.errors import CancelledError, InputError, MoedsrError
from moedsr_core.simulation.options import SimulationConfig
from moedsr_core.simulation.packages import force_field, openmm_and_pdbfixer
from moedsr_core.simulation.places import Place
from moedsr_core.simulation.start import Start
from moedsr_core.wording import reason

_CHUNK = 200
"""Steps between two looks at whether to stop."""
_ROOM = 2.0
"""By how much a molecule may stretch, or wander between two frames, unseen by others [nm]."""
State = Float[np.ndarray, "2 _ 3"]
"""Positions [nm] and velocities [nm/ps] of one molecule."""


class UnstableError(MoedsrError):
    """Energies or positions are no numbers any more."""


class Engine:
    """Molecules on one platform.

    Args:
        starts: Complete molecules.
        config: Temperature, friction, masses.
        place: Platform and device.
        step_fs: Time step [fs].
        seed: Of the random forces, and of velocities that are drawn.
        stop: Is asked every few steps whether to end early.

    Raises:
        InputError: If the force field does not know a molecule, or the platform fails.
    """

    def __init__(
        self,
        starts: Sequence[Start],
        config: SimulationConfig,
        place: Place,
        step_fs: float,
        seed: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        openmm, _ = openmm_and_pdbfixer()
        self._openmm = openmm
        self._config, self._seed, self._stop = config, seed, stop
        sizes = [one.topology.getNumAtoms() for one in starts]
        self._parts = [
            slice(end - n, end) for n, end in zip(sizes, np.cumsum(sizes).tolist(), strict=True)
        ]
        coords = [np.asarray(one.positions._value, float).reshape(-1, 3) for one in starts]
        cutoff = max(_diameter(one) for one in coords) + _ROOM
        self._sites = _sites(len(starts), 2 * cutoff)
        self._centres = [one.mean(axis=0) for one in coords]
        try:
            system = _system(openmm, starts, config, cutoff if len(starts) > 1 else None)
            platform = openmm.Platform.getPlatformByName(place.platform)
            self._context = openmm.Context(
                system, integrator(config, step_fs, seed), platform, place.properties
            )
            self._place(coords)
        except (ValueError, openmm.OpenMMException) as error:
            raise InputError(
                f"OpenMM cannot begin on {place.platform} ({reason(error)}); choose another "
                "platform"
            ) from error
        self._step_fs = step_fs

    def settle(self) -> None:
        """Minimise the energy, draw velocities and let them spread.

        Raises:
            UnstableError: If it blows up.
            CancelledError: If told to stop.
        """
        with _telling(self._openmm):
            self._openmm.LocalEnergyMinimizer.minimize(
                self._context, maxIterations=self._config.minimization
            )
        self._context.setVelocitiesToTemperature(self._config.temperature, self._seed)
        self.run(round(self._config.equilibration_ps * 1000 / self._step_fs))

    def run(self, steps: int) -> None:
        """Go on by so many time steps.

        Raises:
            UnstableError: If it blows up.
            CancelledError: If told to stop.
        """
        for done in range(0, steps, _CHUNK):
            if self._stop():
                raise CancelledError("stopped; the same command goes on from the last whole frame")
            with _telling(self._openmm):
                self._context.getIntegrator().step(min(_CHUNK, steps - done))
        self._refuse_nonsense()
        if len(self._parts) > 1:
            self._call_back()

    def states(self) -> list[State]:
        """Where each molecule is, and how it moves."""
        state = self._context.getState(positions=True, velocities=True)
        positions = np.asarray(state.getPositions(asNumpy=True)._value)
        velocities = np.asarray(state.getVelocities(asNumpy=True)._value)
        return [
            np.stack([positions[part] - site, velocities[part]])
            for part, site in zip(self._parts, self._sites, strict=True)
        ]

    def restore(self, states: Sequence[State]) -> None:
        """Go on from such states."""
        self._place([state[0].astype(np.float64) for state in states])
        velocities = np.concatenate([state[1].astype(np.float64) for state in states])
        self._context.setVelocities(velocities)

    def _place(self, coords: Sequence[Float[np.ndarray, "_ 3"]]) -> None:
        placed = [one + site for one, site in zip(coords, self._sites, strict=True)]
        self._context.setPositions(np.concatenate(placed))

    def _call_back(self) -> None:
        """Put molecules back at their sites once one has wandered off, as a whole."""
        coords = [state[0] for state in self.states()]
        ways = [one.mean(axis=0) - at for one, at in zip(coords, self._centres, strict=True)]
        if max(np.linalg.norm(way) for way in ways) > _ROOM / 8:
            self._place([one - way for one, way in zip(coords, ways, strict=True)])

    def _refuse_nonsense(self) -> None:
        energy = self._context.getState(energy=True).getPotentialEnergy()._value
        finite = all(np.isfinite(state).all() for state in self.states())
        if not np.isfinite(energy) or not finite:
            raise UnstableError("the energy is not a number")


def integrator(config: SimulationConfig, step_fs: float, seed: int) -> Any:
    """Langevin dynamics by the middle scheme (Zhang et al. 2019, doi:10.1021/acs.jpca.9b02771)."""
    openmm, _ = openmm_and_pdbfixer()
    made = openmm.LangevinMiddleIntegrator(config.temperature, config.friction, step_fs / 1000)
    made.setRandomNumberSeed(seed)
    return made


def _system(
    openmm: Any, starts: Sequence[Start], config: SimulationConfig, cutoff: float | None
) -> Any:
    """Forces of all molecules; with a cutoff [nm], those within it are the same as without."""
    app = openmm.app
    reach = {} if cutoff is None else {"nonbondedCutoff": cutoff * openmm.unit.nanometer}
    system = force_field().createSystem(
        _joined(app, starts),
        nonbondedMethod=app.NoCutoff if cutoff is None else app.CutoffNonPeriodic,
        constraints=app.HBonds,
        hydrogenMass=config.hydrogen_mass,
        **reach,
    )
    for force in system.getForces():
        if isinstance(force, openmm.NonbondedForce):
            force.setReactionFieldDielectric(1.0)
    return system


def _joined(app: Any, starts: Sequence[Start]) -> Any:
    """One topology of all, atoms in order; Modeller.add copies all that is there each time."""
    if len(starts) == 1:
        return starts[0].topology
    joined = app.Topology()
    for start in starts:
        atoms = {}
        for chain in start.topology.chains():
            new_chain = joined.addChain(chain.id)
            for residue in chain.residues():
                new_residue = joined.addResidue(
                    residue.name, new_chain, residue.id, residue.insertionCode
                )
                for atom in residue.atoms():
                    atoms[atom] = joined.addAtom(atom.name, atom.element, new_residue)
        for bond in start.topology.bonds():
            joined.addBond(atoms[bond[0]], atoms[bond[1]], bond.type, bond.order)
    return joined


def _sites(count: int, pitch: float) -> Float[np.ndarray, "count 3"]:
    """Corners of a cubic lattice; the first is the origin."""
    edge = int(np.ceil(round(count ** (1 / 3), 6)))
    return pitch * np.stack(np.unravel_index(np.arange(count), (edge,) * 3), axis=1)


def _diameter(coords: Float[np.ndarray, "atoms 3"]) -> float:
    """At most this far are two atoms apart [nm]."""
    centre = (coords.min(axis=0) + coords.max(axis=0)) / 2
    return 2 * float(np.linalg.norm(coords - centre, axis=1).max())


@contextmanager
def _telling(openmm: Any) -> Iterator[None]:
    """Turn what OpenMM raises into one of ours."""
    try:
        yield
    except openmm.OpenMMException as error:
        if "nan" in str(error).lower():
            raise UnstableError(reason(error)) from error
        raise InputError(f"OpenMM failed ({reason(error)}); choose another platform") from error
