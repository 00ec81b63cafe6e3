"""Meshes drawn by matplotlib, for pictures where no molecular viewer is at hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from moedsr_core.surface.mesh import Mesh

_LIGHT = np.array([-0.4, -0.5, 0.77])
_AMBIENT = 0.35
"""Share of the colour that faces turned away from the light keep."""


def draw_mesh(axes: Any, mesh: Mesh, colour: tuple[float, float, float], radius: float) -> None:
    """Draw a mesh as lit triangles, seen along y from a little above, with the x axis across.

    Args:
        axes: Three-dimensional axes of matplotlib.
        mesh: What to draw.
        colour: Red, green and blue from 0 to 1.
        radius: Of the ball around the origin that is shown whole, in the mesh's units.
    """
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    shades = _shades(mesh)[:, None] * np.array(colour)
    axes.add_collection3d(
        Poly3DCollection(mesh.vertices[mesh.faces], facecolors=shades, edgecolors=shades, lw=0.1)
    )
    for limit in (axes.set_xlim, axes.set_ylim, axes.set_zlim):
        limit(-radius, radius)
    axes.set_box_aspect((1, 1, 1), zoom=1.5)
    axes.set_axis_off()
    axes.view_init(elev=20, azim=-70)


def _shades(mesh: Mesh) -> Float[np.ndarray, " faces"]:
    """Brightness of each triangle, by Lambert's law."""
    across = mesh.face_vectors
    length = np.maximum(np.linalg.norm(across, axis=1), 1e-12)
    lit = np.clip(across @ _LIGHT / np.linalg.norm(_LIGHT) / length, 0.0, 1.0)
    return _AMBIENT + (1.0 - _AMBIENT) * lit
