"""Surfaces of every frame of a trajectory, as `dsr` and `moedsr` learn from them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from moedsr_core.data.ensemble import Ensemble
from moedsr_core.frame import canonical_frame
from moedsr_core.structure import Structure
from moedsr_core.surface.sampling import sample_surface
from moedsr_core.surface.ses import SolventExcludedSurface

Cloud = tuple[Float[np.ndarray, "points 3"], Float[np.ndarray, "points 3"]]
"""Points and outward unit normals of one surface, float32."""


@runtime_checkable
class Surfaces(Protocol):
    """One trajectory, frame by frame, in the canonical pose of its first frame."""

    @property
    def structure(self) -> Structure:
        """Frame 0: heavy atoms in the canonical pose [Å]."""

    @property
    def scale(self) -> float:
        """Length of one unit of Ω [Å]."""

    @property
    def lags_ps(self) -> Float[np.ndarray, " frames"]:
        """Time of every frame after the first [ps]."""

    def __len__(self) -> int:
        """Number of frames."""

    def surface(self, k: int) -> Cloud:
        """Points [units of Ω] and outward unit normals of frame ``k``'s surface."""


class StoredSurfaces:
    """Surfaces of a store, which is open only while it is read.

    A data set has more trajectories than a process may have files open.

    Args:
        path: The store.
    """

    def __init__(self, path: Path) -> None:
        # Imported here, for whoever trains on trajectories themselves needs no h5py.
        from moedsr_core.data.store import open_store

        self._open = partial(open_store, path)
        with self._open() as store:
            self.structure, self.scale = store.structure, store.scale
            self.lags_ps = store.lags_ps

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.lags_ps)

    def surface(self, k: int) -> Cloud:
        """Points [units of Ω] and outward unit normals of frame ``k``'s surface."""
        with self._open() as store:
            return store.surface(k)


class EnsembleSurfaces:
    """Surfaces made from the atoms when they are asked for, and kept in memory.

    Args:
        ensemble: A superposed trajectory.
        n_points: Points of each surface, spread evenly by area.
        spacing: Of the grid that surfaces are meshed on [Å].
        seed: Of the points.
    """

    def __init__(
        self, ensemble: Ensemble, *, n_points: int = 5000, spacing: float = 1.0, seed: int = 0
    ) -> None:
        self.lags_ps = ensemble.lags_ps
        self._frame = canonical_frame(ensemble.coords[0])
        self.scale = self._frame.scale
        self.structure = ensemble.structure.with_coords(
            self._frame.to_canonical(ensemble.coords[0])
        )
        self._ensemble, self._n_points, self._spacing = ensemble, n_points, spacing
        self._seed = seed
        self._made: dict[int, Cloud] = {}

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._ensemble)

    def surface(self, k: int) -> Cloud:
        """Points [units of Ω] and outward unit normals of frame ``k``'s surface."""
        if k not in self._made:
            coords = self._frame.to_canonical(self._ensemble.coords[k])
            mesh = SolventExcludedSurface(coords, self.structure.radii).mesh(self._spacing)
            rng = np.random.default_rng([self._seed, k])
            points, normals = sample_surface(mesh, self._n_points, rng)
            self._made[k] = (
                (points / self.scale).astype(np.float32),
                normals.astype(np.float32),
            )
        return self._made[k]
