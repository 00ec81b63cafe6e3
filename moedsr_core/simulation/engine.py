"""A molecule in motion: OpenMM with a heat bath, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


class UnstableError(MoedsrError):
    """Energies or positions are no numbers any more."""


class Engine:
    """One molecule on one platform.

    Args:
        start: Complete molecule.
        config: Temperature, friction, masses.
        place: Platform and device.
        step_fs: Time step [fs].
        seed: Of the random forces, and of velocities that are drawn.
        stop: Is asked every few steps whether to end early.

    Raises:
        InputError: If the force field does not know the molecule, or the platform fails.
    """

    def __init__(
        self,
        start: Start,
        config: SimulationConfig,
        place: Place,
        step_fs: float,
        seed: int,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        openmm, _ = openmm_and_pdbfixer()
        self._openmm = openmm
        self._config, self._seed, self._stop = config, seed, stop
        try:
            system = _system(openmm, start, config)
            platform = openmm.Platform.getPlatformByName(place.platform)
            self._context = openmm.Context(
                system, integrator(config, step_fs, seed), platform, place.properties
            )
            self._context.setPositions(start.positions)
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

    def state(self) -> Float[np.ndarray, "2 atoms 3"]:
        """Positions [nm] and velocities [nm/ps]."""
        state = self._context.getState(positions=True, velocities=True)
        return np.stack(
            [
                np.asarray(state.getPositions(asNumpy=True)._value),
                np.asarray(state.getVelocities(asNumpy=True)._value),
            ]
        )

    def restore(self, state: Float[np.ndarray, "2 atoms 3"]) -> None:
        """Go on from positions [nm] and velocities [nm/ps]."""
        self._context.setPositions(state[0].astype(np.float64))
        self._context.setVelocities(state[1].astype(np.float64))

    def _refuse_nonsense(self) -> None:
        energy = self._context.getState(energy=True).getPotentialEnergy()._value
        if not np.isfinite(energy) or not np.isfinite(self.state()).all():
            raise UnstableError("the energy is not a number")


def integrator(config: SimulationConfig, step_fs: float, seed: int) -> Any:
    """Langevin dynamics by the middle scheme (Zhang et al. 2019, doi:10.1021/acs.jpca.9b02771)."""
    openmm, _ = openmm_and_pdbfixer()
    made = openmm.LangevinMiddleIntegrator(config.temperature, config.friction, step_fs / 1000)
    made.setRandomNumberSeed(seed)
    return made


def _system(openmm: Any, start: Start, config: SimulationConfig) -> Any:
    app = openmm.app
    return force_field().createSystem(
        start.topology,
        nonbondedMethod=app.NoCutoff,
        constraints=app.HBonds,
        hydrogenMass=config.hydrogen_mass,
    )


@contextmanager
def _telling(openmm: Any) -> Iterator[None]:
    """Turn what OpenMM raises into one of ours."""
    try:
        yield
    except openmm.OpenMMException as error:
        if "nan" in str(error).lower():
            raise UnstableError(reason(error)) from error
        raise InputError(f"OpenMM failed ({reason(error)}); choose another platform") from error
