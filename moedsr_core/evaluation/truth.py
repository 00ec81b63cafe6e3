"""What the trajectory's surfaces really do, measured once on one grid."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from moedsr_core.errors import InputError
from moedsr_core.evaluation.together import in_order
from moedsr_core.metrics.occupancy import Grid
from moedsr_core.structure import Structure
from moedsr_core.surface.mesh import Mesh, vertex_normals
from moedsr_core.surface.parts import SMALLEST_PART, remove_small_parts
from moedsr_core.surface.ses import SolventExcludedSurface

BAND = 6.0
"""Distances are measured up to this outside of the first surface [Å]; the anchored model moves
nothing by more than 4 Å."""
OCCUPANCY_BAND = 4.0
"""Occupancy is compared within this of the first surface [Å]."""
_APPROACH = 5.5
"""Distances are also measured where an atom of any frame comes this near [Å]: no surface is
farther from its atoms than 3.3 Å."""


@dataclass(frozen=True)
class Moment:
    """One surface at one time.

    Attributes:
        volume: Signed distance at every node [Å]; far outside of all surfaces, where it is not
            measured, that to the first surface.
        vertices: Change of the signed distance at the vertices of the first surface [Å]; positive
            where the surface has sunk.
    """

    volume: Float[np.ndarray, "i j k"]
    vertices: Float[np.ndarray, " vertices"]


@dataclass(frozen=True)
class Truth:
    """Signed distances to the surface of every frame, in the first frame's canonical pose [Å].

    Attributes:
        grid: The nodes.
        near: Nodes that lie inside the first surface, near it, or where another one comes near.
        start: Distance of every node to the first surface.
        frames: Distance of the near nodes, then of the vertices, to each later frame's surface.
        vertices: Of a mesh of the first surface, without what is too small to be shown.
        offset: Signed distance of each vertex to the first surface [Å]; a mesh's vertices lie a
            little off it, so that its triangles lie on it.
        residues: Residue of the atom nearest to each vertex.
    """

    grid: Grid
    near: Bool[np.ndarray, "i j k"]
    start: Float[np.ndarray, "i j k"]
    frames: Float[np.ndarray, "frames points"]
    vertices: Float[np.ndarray, "vertices 3"]
    offset: Float[np.ndarray, " vertices"]
    residues: Int[np.ndarray, " vertices"]

    @property
    def points(self) -> Float[np.ndarray, "points 3"]:
        """The near nodes, then the vertices: wherever a surface is asked about [Å]."""
        return np.concatenate([self.grid.nodes(np.flatnonzero(self.near)), self.vertices])

    @property
    def band(self) -> Bool[np.ndarray, "i j k"]:
        """Nodes within :data:`OCCUPANCY_BAND` of the first surface."""
        return np.abs(self.start) < OCCUPANCY_BAND

    def first(self) -> Moment:
        """The first surface."""
        return Moment(self.start, np.zeros(len(self.vertices)))

    def moment(self, values: Float[np.ndarray, " points"]) -> Moment:
        """A surface, given its signed distances at :attr:`points`."""
        volume = self.start.copy()
        split = len(values) - len(self.vertices)
        volume[self.near] = values[:split]
        return Moment(volume, values[split:] - self.offset)

    def shown(self, moment: Moment) -> Float[np.ndarray, "i j k"]:
        """Signed distance at every node of what would be shown, true or predicted."""
        volume = moment.volume.copy()
        remove_small_parts(volume, self.grid.spacing, SMALLEST_PART)
        return volume


def mesh_of(volume: Float[np.ndarray, "i j k"], grid: Grid) -> Mesh | None:
    """Zero level set of distances on a grid, by marching cubes; None where there is none."""
    if not volume.min() < 0 < volume.max():
        return None
    vertices, faces, _, _ = marching_cubes(volume, 0.0, gradient_direction="descent")
    vertices = grid.origin + grid.spacing * vertices.astype(np.float64)
    normals = vertex_normals(vertices, faces)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), normals)


def measure_truth(
    structure: Structure,
    coords: Float[np.ndarray, "frames atoms 3"],
    first: SolventExcludedSurface,
    spacing: float,
    tell: Callable[[], None] = lambda: None,
    pool: Executor | None = None,
    others: Float[np.ndarray, "more atoms 3"] | None = None,
) -> Truth:
    """Measure the surfaces of a trajectory.

    Args:
        structure: The first frame, canonical pose [Å].
        coords: The later frames, in the same pose [Å].
        first: Surface of the first frame.
        spacing: Of the grid [Å].
        tell: Called after every frame.
        pool: Processes to measure in; without one it is done here.
        others: Further conformations whose surfaces are to be told where these go.
    """
    margin = structure.radii.max() + BAND
    shown = coords if others is None else np.concatenate([coords, others])
    everything = np.concatenate([structure.coords[None], shown])
    low, high = everything.min(axis=(0, 1)) - margin, everything.max(axis=(0, 1)) + margin
    grid = Grid.around(low, high, spacing)
    nodes = grid.nodes(np.arange(np.prod(grid.shape)))
    start = first.signed_distance(nodes).reshape(grid.shape)
    near = _near(nodes, start.ravel(), shown).reshape(grid.shape)
    vertices = _first_vertices(first, start, grid)
    points = np.concatenate([nodes[near.ravel()], vertices])
    frames = np.empty((len(coords), len(points)), np.float32)
    tasks = ((x, structure.radii, points) for x in coords)
    for k, distances in enumerate(in_order(pool, _distances, tasks)):
        frames[k] = distances
        tell()
    nearest = cKDTree(structure.coords).query(vertices)[1]
    return Truth(
        grid=grid,
        near=near,
        start=start,
        frames=frames,
        vertices=vertices,
        offset=first.signed_distance(vertices),
        residues=structure.residue_index[nearest],
    )


def _distances(
    atoms: Float[np.ndarray, "atoms 3"],
    radii: Float[np.ndarray, " atoms"],
    points: Float[np.ndarray, "points 3"],
) -> Float[np.ndarray, " points"]:
    return SolventExcludedSurface(atoms, radii).signed_distance(points).astype(np.float32)


def _near(
    nodes: Float[np.ndarray, "n 3"],
    start: Float[np.ndarray, " n"],
    coords: Float[np.ndarray, "frames atoms 3"],
) -> Bool[np.ndarray, " n"]:
    near = start < BAND
    for x in coords:
        far = np.flatnonzero(~near)
        gap, _ = cKDTree(x).query(nodes[far], distance_upper_bound=_APPROACH)
        near[far[np.isfinite(gap)]] = True
    return near


def _first_vertices(
    first: SolventExcludedSurface, start: Float[np.ndarray, "i j k"], grid: Grid
) -> Float[np.ndarray, "vertices 3"]:
    """Vertices of the first surface as it is shown, laid onto it exactly [Å].

    Raises:
        InputError: If the first surface encloses no node of the grid.
    """
    volume = start.copy()
    remove_small_parts(volume, grid.spacing, SMALLEST_PART)
    mesh = mesh_of(volume, grid)
    if mesh is None:
        raise InputError("the first frame's surface encloses nothing; choose a smaller spacing")
    return first.fit(mesh.vertices.astype(np.float64), mesh.faces).vertices.astype(np.float64)
