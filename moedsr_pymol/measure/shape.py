"""Area and volume of a surface at every frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..surface import Frame, Surface
from .chart import Chart, Measurement, Series, Table


@dataclass(frozen=True)
class ShapeOverTime(Measurement):
    """How large a surface is.

    Attributes:
        surface: Its name.
        area: Area of every frame, closed voids included [Å²], (frames,).
        volume: Volume that it encloses, closed voids left out [Å³], (frames,).
    """

    surface: str
    area: np.ndarray
    volume: np.ndarray

    def charts(self) -> tuple[Chart, ...]:
        """Volume and area over the states."""
        return (
            over_states(f"{self.surface}: volume", "volume [Å³]", self.volume),
            over_states(f"{self.surface}: area", "area [Å²]", self.area),
        )

    def table(self) -> Table:
        """A row for each frame."""
        rows = zip(range(1, len(self.area) + 1), self.area.tolist(), self.volume.tolist())  # noqa: B905
        return [["state", "area_A2", "volume_A3"], *(list(row) for row in rows)]


def shape_over_time(surface: Surface) -> ShapeOverTime:
    """Measure every frame that is there.

    Raises:
        UserError: If there is none.
    """
    frames = present(surface)
    return ShapeOverTime(
        surface=surface.name,
        area=np.array([area(frame) for frame in frames]),
        volume=np.array([volume(frame) for frame in frames]),
    )


def present(surface: Surface) -> list[Frame]:
    """Frames that are there now.

    Raises:
        UserError: If there is none.
    """
    if not surface.frames:
        raise UserError(f"'{surface.name}' has no frame yet; wait for the first")
    return list(surface.frames)


def area(frame: Frame) -> float:
    """Area of a mesh [Å²]."""
    return float(triangle_areas(frame.vertices.astype(np.float64), frame.faces).sum())


def triangle_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area of each triangle [Å²], (faces,)."""
    a, b, c = vertices[faces.T]
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2.0


def volume(frame: Frame) -> float:
    """Volume of a closed mesh, by the divergence theorem [Å³]."""
    vertices = frame.vertices.astype(np.float64)
    a, b, c = (vertices - vertices.mean(axis=0))[frame.faces.T]
    return float(np.einsum("nd,nd->", np.cross(a, b), c)) / 6.0


def over_states(title: str, y_label: str, *values: np.ndarray, labels: tuple = ("",)) -> Chart:
    """A chart of values over the states of a surface."""
    states = np.arange(1, len(values[0]) + 1)
    return Chart(
        title=title,
        x_label="state",
        y_label=y_label,
        series=tuple(Series(label, states, y) for label, y in zip(labels, values)),  # noqa: B905
    )
