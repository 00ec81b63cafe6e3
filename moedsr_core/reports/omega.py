"""Level sets of fields in Ω, closed at its faces."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from moedsr_core.errors import InputError
from moedsr_core.levelset.extract import LevelSetExtractor
from moedsr_core.levelset.grid import Field
from moedsr_core.surface.mesh import Mesh
from moedsr_core.surface.ses import SolventExcludedSurface


def level_set(field: Field, t: float, scale: float, nodes: int, level: float = 0.0) -> Mesh | None:
    """Level set of a field by marching cubes [units of Ω]; None where there is none.

    What lies beyond Ω is cut off at its faces, so that the mesh is closed.

    Args:
        field: Signed distance in the canonical pose [Å].
        t: Model time.
        scale: Length of one unit of Ω [Å].
        nodes: Grid nodes along each edge of Ω.
        level: Value of the level set [units of Ω].

    Raises:
        InputError: If there are too many nodes.
    """
    spacing = 2.0 * scale / (nodes - 1)
    reach = np.full(3, scale + 2.0 * spacing)
    cut = CutField(field, scale, level * scale)
    search = LevelSetExtractor(cut, (-reach, reach), spacing, level=level * scale)
    try:
        mesh = search.marching_cubes(t)
    except InputError:  # a cut level set cannot leave the box, so that there is none
        return None
    return in_omega(mesh, scale)


def in_omega(mesh: Mesh, scale: float) -> Mesh:
    """A mesh of the canonical pose [Å] in units of Ω."""
    return Mesh((mesh.vertices / scale).astype(np.float32), mesh.faces, mesh.normals)


class CutField:
    """A field that ends at the faces of Ω: the larger of its value and the depth beyond them.

    Args:
        field: For points in the canonical pose [Å].
        half_width: Of Ω [Å].
        level: Level set to be cut [Å].
    """

    def __init__(self, field: Field, half_width: float, level: float) -> None:
        self._field, self._half_width, self._level = field, half_width, level
        self.evaluations = 0

    def prepare(self, points: Float[np.ndarray, "n 3"]) -> dict[str, Any]:
        """Time-independent part at points [Å], with their distance beyond the faces of Ω."""
        beyond = np.abs(points).max(axis=1) - self._half_width + self._level
        return self._field.prepare(points) | {"beyond": torch.as_tensor(beyond)}

    def values(self, rows: dict[str, Any], t: float) -> Float[np.ndarray, " n"]:
        """Signed distance [Å] at prepared points and time t."""
        self.evaluations += len(rows["beyond"])
        inner = {name: value for name, value in rows.items() if name != "beyond"}
        cut = rows["beyond"].numpy().astype(np.float32)
        return np.maximum(self._field.values(inner, t), cut)


class AtomField:
    """The exact distance to a surface of atoms, at all times."""

    def __init__(self, surface: SolventExcludedSurface) -> None:
        self._surface, self.evaluations = surface, 0

    def prepare(self, points: Float[np.ndarray, "n 3"]) -> dict[str, Any]:
        """The points themselves [Å]."""
        return {"x": torch.as_tensor(points)}

    def values(self, rows: dict[str, Any], t: float) -> Float[np.ndarray, " n"]:
        """Signed distance [Å] at prepared points."""
        self.evaluations += len(rows["x"])
        return self._surface.signed_distance(rows["x"].numpy())
