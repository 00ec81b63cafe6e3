"""Who is measured: what each says the surface is at each later frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from moedsr_core.evaluation.truth import Moment, Truth
from moedsr_core.structure import Structure
from moedsr_core.surface.ses import SolventExcludedSurface

Contender = Callable[[int], Moment]
"""Takes the number of a later frame, from 0, and gives the surface there."""


def static(truth: Truth) -> Contender:
    """The first surface at all times; its own vertices lie on it."""
    still = truth.first()
    return lambda k: still


def mean_shape(truth: Truth) -> Contender:
    """The median of the true distances: inside is what lies inside in more than half the frames."""
    median = truth.moment(np.median(truth.frames, axis=0))
    return lambda k: median


def second(
    truth: Truth, structure: Structure, coords: Float[np.ndarray, "frames atoms 3"]
) -> Contender:
    """The surfaces of another simulation, frame by frame.

    Args:
        truth: Where to measure them.
        structure: The first frame of the trajectory that is the truth.
        coords: Atoms of as many frames as that has later ones, in its canonical pose [Å].
    """

    def moment(k: int) -> Moment:
        surface = SolventExcludedSurface(coords[k], structure.radii)
        return truth.moment(surface.signed_distance(truth.points))

    return moment


def linear(
    truth: Truth,
    structure: Structure,
    last: Float[np.ndarray, "atoms 3"],
    shares: Float[np.ndarray, " frames"],
) -> Contender:
    """The surface of atoms that go straight from the first frame to the last.

    Args:
        truth: Where to measure it.
        structure: The first frame, canonical pose [Å].
        last: Atoms of the last frame [Å].
        shares: How far along every later frame is, by its lag.
    """
    atoms = structure.coords + shares[:, None, None] * (last - structure.coords)
    return second(truth, structure, atoms)
