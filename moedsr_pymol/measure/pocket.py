"""How a pocket opens and closes: the surface and the open space near some atoms.

The region is that of POVME (Durrant, de Oliveira and McCammon 2011, J. Mol. Graph. Model. 29, 773):
the nodes of a grid that lie within a radius of the atoms. Of these, the open space has those that
lie outside the surface and are enclosed by it in the manner of LIGSITEcsc (Huang and Schroeder
2006, BMC Struct. Biol. 6, 19): of seven lines through the node, along the axes and the diagonals of
a cube, so many run into the surface on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..steps import Report, Work
from ..surface import Frame, Surface
from .chart import Chart, Measurement, Table
from .occupancy import Grid, enclosed_lines, inside_mesh
from .shape import over_states, present, triangle_areas

RADIUS = 6.0
"""Of the region about each atom [Å]."""
SPACING = 0.5
"""Of the grid [Å]."""
REACH = 8.0
"""How far beyond the region a line may find its wall [Å]."""
ENCLOSED = 4
"""Lines of the seven that must run into the surface on both sides: more than half."""
MOST_NODES = 2_000_000


@dataclass(frozen=True)
class PocketOverTime(Measurement):
    """Surface and open space near some atoms.

    Attributes:
        surface: Name of the surface.
        selection: What the atoms were called.
        radius: Of the region [Å].
        area: Area of the surface in the region, at every frame [Å²], (frames,).
        volume: Enclosed open space in the region, at every frame [Å³], (frames,).
    """

    surface: str
    selection: str
    radius: float
    area: np.ndarray
    volume: np.ndarray

    def charts(self) -> tuple[Chart, ...]:
        """Open space and area over the states."""
        where = f"within {self.radius:g} Å of {self.selection}"
        return (
            over_states(f"{self.surface}: open space {where}", "open volume [Å³]", self.volume),
            over_states(f"{self.surface}: surface {where}", "area [Å²]", self.area),
        )

    def table(self) -> Table:
        """A row for each frame."""
        rows = zip(range(1, len(self.area) + 1), self.volume.tolist(), self.area.tolist())  # noqa: B905
        return [["state", "open_volume_A3", "area_A2"], *(list(row) for row in rows)]


class PocketProbe:
    """Measures one region in frame after frame, always with the same nodes.

    Args:
        coords: Atoms, in the coordinates of the surface [Å], (atoms, 3).
        radius: Of the region about each [Å].

    Raises:
        UserError: If the region is too large.
    """

    def __init__(self, coords: np.ndarray, radius: float) -> None:
        low, high = coords.min(axis=0) - radius, coords.max(axis=0) + radius
        nodes = np.prod((high - low + 2 * REACH) / SPACING + 1)
        if nodes > MOST_NODES:
            raise UserError(
                f"the atoms spread over {np.ptp(coords, axis=0).max():.0f} Å, which is no pocket; "
                "select the residues around one"
            )
        self._grid = Grid.around(low - REACH, high + REACH, SPACING)
        self._region = self._grid.near(coords, radius)

    def measure(self, frame: Frame) -> tuple[float, float]:
        """Area [Å²] and open volume [Å³] of one frame."""
        return self.sizes(frame, self.inside(frame))

    def inside(self, frame: Frame) -> np.ndarray:
        """Nodes inside one frame."""
        return inside_mesh(frame.vertices.astype(np.float64), frame.faces, self._grid)

    def sizes(self, frame: Frame, inside: np.ndarray) -> tuple[float, float]:
        """Area [Å²] and open volume [Å³] of one frame, given the nodes inside it."""
        vertices = frame.vertices.astype(np.float64)
        open_space = self._region & ~inside & (enclosed_lines(inside) >= ENCLOSED)
        within, node = self._grid.at(vertices[frame.faces].mean(axis=1))
        near = frame.faces[within][self._region.ravel()[node]]
        area = float(triangle_areas(vertices, near).sum())
        return area, float(open_space.sum()) * SPACING**3


def pocket_over_time(
    surface: Surface, coords: np.ndarray, radius: float = RADIUS, selection: str = "the atoms"
) -> PocketOverTime:
    """Measure the surface and the open space near atoms in every frame that is there.

    Args:
        surface: The surface.
        coords: Atoms, in the coordinates of the surface [Å], (atoms, 3).
        radius: How near is near [Å].
        selection: What the atoms are called.

    Raises:
        UserError: If there is no frame, or the region is too large.
    """
    work = pocket_steps(surface, coords, radius, selection, Report(surface.name, True))
    try:
        while True:
            next(work)
    except StopIteration as end:
        return end.value


def pocket_steps(
    surface: Surface, coords: np.ndarray, radius: float, selection: str, report: Report
) -> Work:
    """The same as :func:`pocket_over_time`, one frame a step."""
    frames, probe = present(surface), PocketProbe(coords, radius)
    found = []
    for k, frame in enumerate(frames):
        report.update("measuring", k, len(frames))
        yield
        inside = probe.inside(frame)
        yield
        found.append(probe.sizes(frame, inside))
    area, volume = np.array(found).T
    return PocketOverTime(surface.name, selection, radius, area, volume)
