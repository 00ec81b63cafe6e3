"""From a moving field to one mesh per time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from jaxtyping import Float
from scipy.ndimage import distance_transform_edt
from skimage.measure import marching_cubes

from moedsr_core.errors import InputError
from moedsr_core.levelset.band import BandValues, Located, NarrowBand
from moedsr_core.levelset.grid import Box, Field, Grid, LevelSetConfig
from moedsr_core.levelset.store import NodeStore
from moedsr_core.levelset.tracked import Tracker
from moedsr_core.surface.mesh import Mesh, vertex_normals

Overlap = Callable[[Iterator[Located]], Iterator[Located]]
"""How what is located is waited for."""


class LevelSetExtractor:
    """Meshes of ``f(x, t) = level``, time after time, from as few evaluations as possible.

    Args:
        field: What to mesh.
        box: Lower and upper corner of the search [Å].
        spacing: Distance between grid nodes [Å].
        level: Value of the level set [Å].
        config: How to search.

    Raises:
        InputError: If the box or the spacing cannot be searched.
    """

    def __init__(
        self,
        field: Field,
        box: Box,
        spacing: float,
        *,
        level: float = 0.0,
        config: LevelSetConfig | None = None,
    ) -> None:
        config = config or LevelSetConfig()
        self.grid = Grid.around(box, spacing, config.stride)
        self._megabytes = config.store_mb
        self._store = NodeStore(field, self.grid, config.store_mb)
        self._before: list[NodeStore] = []
        self._band = NarrowBand(self._store, level, config)
        self._times = 0
        self._tracker: Tracker | None = None
        self.remeshed = 0

    @property
    def nodes_prepared(self) -> int:
        """Grid nodes prepared so far, each again where the store forgot it or the field changed."""
        return sum(store.prepared for store in [*self._before, self._store])

    @property
    def evaluations(self) -> int:
        """Values asked for so far: nodes × times."""
        return sum(store.evaluations for store in [*self._before, self._store])

    @property
    def share_of_dense(self) -> float:
        """Evaluations as a share of evaluating every node at every time."""
        return self.evaluations / max(self.grid.size * self._times, 1)

    def marching_cubes(self, t: float) -> Mesh:
        """Mesh of one time, by marching cubes (Lewiner et al. 2003) on the band.

        Raises:
            InputError: If there is no level set in the box or it leaves the box.
        """
        return self._free(self._locate(float(t)))

    def frames(
        self, times: Iterable[float], mesh: str = "tracked", overlap: Overlap = iter
    ) -> Iterator[Mesh]:
        """Mesh of each time; tracked ones share the ``faces`` array while their topology holds.

        Args:
            times: In the order in which they are meshed.
            mesh: How, one of :data:`MESHERS`.
            overlap: Given what locates the level set at one time after another, to do so while
                the time before is meshed (:func:`moedsr_core.ahead.ahead`).

        Raises:
            InputError: If ``mesh`` is unknown, or a surface is absent or leaves the box.
        """
        if mesh not in MESHERS:
            raise InputError(f"unknown mesh {mesh!r}; choose from {sorted(MESHERS)}")
        located = overlap(self._band.locate(float(t)) for t in times)
        return (MESHERS[mesh](self, self._turn_to(now)) for now in located)

    def go_on(self, field: Field, reach: float) -> None:
        """Take the values at later times from another field, which agrees with the one so far.

        Args:
            field: Say, a model, after a surface that is known without it.
            reach: Nodes this near to a cell that the level set crosses at the time meshed last
                are prepared now, at once [Å].
        """
        self._before.append(self._store)
        self._store = NodeStore(field, self.grid, self._megabytes)
        self._band.go_on(self._store)
        away = self.grid.spacing * distance_transform_edt(~self._now.corners)
        near = np.flatnonzero(away <= reach)
        self._store.fetch(near[np.argsort(away.reshape(-1)[near], kind="stable")])

    def keep(self) -> BandValues:
        """Values at the time meshed last, to be sampled when later times have been meshed."""
        return self._now.field

    def sample(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Field minus level [Å] at the time meshed last, interpolated between nodes."""
        return self._now.field.sample(np.asarray(points, np.float64))[0]

    def _locate(self, t: float) -> Located:
        return self._turn_to(self._band.locate(t))

    def _turn_to(self, now: Located) -> Located:
        self._now = now
        self._times += 1
        return now

    def _free(self, now: Located) -> Mesh:
        return triangulate(now.field.values, self.grid)

    def _tracked(self, now: Located) -> Mesh:
        if self._tracker is None or not self._tracker.follow(now):
            self.remeshed += self._tracker is not None
            self._tracker = Tracker(self._free(now), now)
        return self._tracker.mesh


MESHERS: dict[str, Callable[[LevelSetExtractor, Located], Mesh]] = {
    "marching_cubes": LevelSetExtractor._free,
    "tracked": LevelSetExtractor._tracked,
}


def extract_frames(
    field: Field,
    times: Iterable[float],
    box: Box,
    spacing: float,
    *,
    mesh: str = "tracked",
    level: float = 0.0,
) -> Iterator[Mesh]:
    """Mesh of ``f(x, t) = level`` at each time (:class:`LevelSetExtractor`)."""
    return LevelSetExtractor(field, box, spacing, level=level).frames(times, mesh)


def dense_mesh(field: Field, t: float, grid: Grid, level: float = 0.0) -> Mesh:
    """Mesh of one time with every node evaluated: the reference that the band must reproduce."""
    values = BandValues(NodeStore(field, grid, megabytes=1e-6), level, t)
    values.ensure(np.arange(grid.size))
    return triangulate(values.values, grid)


def triangulate(values: Float[np.ndarray, "x y z"], grid: Grid) -> Mesh:
    """Zero level set of node values by marching cubes; positions in Å."""
    vertices, faces, _, _ = marching_cubes(values, 0.0, gradient_direction="descent")
    vertices = (grid.origin + grid.spacing * vertices.astype(np.float64)).astype(np.float32)
    faces = np.ascontiguousarray(faces, np.int32)
    return Mesh(vertices, faces, vertex_normals(vertices, faces))
