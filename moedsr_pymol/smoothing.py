"""Surfaces smoothed for the eye, over time and along the mesh; the prediction itself stays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .surface import Frame

SHRINK, GROW = 0.5, -0.53
"""Steps of a pass along the mesh: one inwards and one back, which keeps the volume (Taubin 1995,
"A signal processing approach to fair surface design", with k_PB = 0.11)."""


@dataclass(frozen=True)
class Smoothing:
    """How a surface is smoothed where it is drawn.

    Attributes:
        window: Frames that are averaged, an odd number; 1 for none.
        passes: Passes along the mesh; 0 for none.
    """

    window: int = 1
    passes: int = 0

    def neighbours(self, frames: list[Frame], k: int) -> range:
        """Frames that are averaged for frame ``k``: around it, as far as points correspond."""
        half = self.window // 2
        first = last = k
        while first > max(k - half, 0) and frames[first - 1].faces is frames[k].faces:
            first -= 1
        while last < min(k + half, len(frames) - 1) and frames[last + 1].faces is frames[k].faces:
            last += 1
        reach = min(k - first, last - k)  # as many before as after, so that nothing is dragged
        return range(k - reach, k + reach + 1)

    def smooth(self, frames: list[Frame], k: int) -> Frame:
        """Frame ``k`` as it is drawn; its displacement is the prediction's."""
        frame, near = frames[k], self.neighbours(frames, k)
        if len(near) == 1 and not self.passes:
            return frame
        vertices = np.mean([frames[i].vertices for i in near], axis=0)
        if self.passes:
            vertices = _along_mesh(vertices, frame.faces, self.passes)
        vertices = vertices.astype(np.float32)
        return replace(frame, vertices=vertices, normals=vertex_normals(vertices, frame.faces))


def _along_mesh(vertices: np.ndarray, faces: np.ndarray, passes: int) -> np.ndarray:
    """Move every vertex towards the mean of its neighbours and back."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    start, end = np.concatenate([edges, edges[:, ::-1]]).T
    count = np.bincount(start, minlength=len(vertices))[:, None]
    for _ in range(passes):
        for step in (SHRINK, GROW):
            mean = _sums(start, vertices[end], len(vertices)) / np.maximum(count, 1)
            vertices = vertices + step * np.where(count > 0, mean - vertices, 0.0)
    return vertices


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Outward unit normals of a mesh, weighted by the triangles' areas, float32 (n, 3)."""
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    across = np.cross(b - a, c - a)
    total = _sums(faces.T.ravel(), np.tile(across, (3, 1)), len(vertices))
    length = np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return (total / length).astype(np.float32)


def _sums(index: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Sum of the values of each index, (n, 3)."""
    return np.stack([np.bincount(index, values[:, k], n) for k in range(3)], axis=1)
