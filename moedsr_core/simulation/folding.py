"""Whether a run kept its fold: Cα RMSD and radius of gyration beside the start's."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float

from moedsr_core.data.ensemble import Ensemble, anchors_of, superpose
from moedsr_core.simulation.options import LimitConfig
from moedsr_core.structure import Structure


@dataclass(frozen=True)
class Folding:
    """How far a run went from its start.

    Attributes:
        rmsd_last: Cα RMSD of the last frame from the start [Å].
        rmsd_largest: The largest of all frames [Å].
        gyration_start: Radius of gyration of the start, all heavy atoms of one weight [Å].
        gyration_last: Of the last frame [Å].
        gyration_largest: The largest of all frames [Å].
    """

    rmsd_last: float
    rmsd_largest: float
    gyration_start: float
    gyration_last: float
    gyration_largest: float

    def complaints(self, limits: LimitConfig) -> list[str]:
        """Which limits were passed, one sentence each."""
        said = []
        if self.rmsd_largest > limits.rmsd:
            said.append(
                f"it unfolds or rearranges: Cα are up to {self.rmsd_largest:.1f} Å from the start, "
                f"more than {limits.rmsd:g} Å"
            )
        ratio = self.gyration_largest / self.gyration_start
        if ratio > limits.gyration:
            said.append(
                f"it unfolds: the radius of gyration grows to {ratio:.2f} times the start's, more "
                f"than {limits.gyration:g} times"
            )
        return said

    def rounded(self) -> dict[str, float]:
        """Its numbers, to 0.01 Å."""
        return {name: round(value, 2) for name, value in asdict(self).items()}


def folding(start: Structure, ensemble: Ensemble) -> Folding:
    """Compare every frame with the start, superposed on it by Cα.

    Args:
        start: Heavy atoms of the polymer, those of the ensemble.
        ensemble: The run.
    """
    anchors = anchors_of(start)
    chosen = anchors if len(anchors) >= 3 else np.arange(len(start))
    laid = superpose(ensemble.coords[:, chosen], start.coords[chosen], np.arange(len(chosen)))
    rmsd = np.sqrt(np.square(laid - start.coords[chosen]).sum(axis=-1).mean(axis=-1))
    size = _gyration(ensemble.coords)
    return Folding(
        rmsd_last=float(rmsd[-1]),
        rmsd_largest=float(rmsd.max()),
        gyration_start=float(_gyration(start.coords[None])[0]),
        gyration_last=float(size[-1]),
        gyration_largest=float(size.max()),
    )


def _gyration(coords: Float[np.ndarray, "frames atoms 3"]) -> Float[np.ndarray, " frames"]:
    """Root-mean-square distance of the atoms from their centroid [Å]."""
    apart = coords - coords.mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt(np.square(apart).sum(axis=-1).mean(axis=-1)))
