"""Compiled graphics objects from meshes.

A state is a list of floats: per corner ``COLOR r g b, NORMAL x y z, VERTEX x y z`` between
``BEGIN`` and ``END``. The opcodes of a mesh stay the same from frame to frame, so they are laid
out once per topology and only the numbers are filled in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from .strips import triangle_strips

BEGIN, END, VERTEX, NORMAL, COLOR, TRIANGLE_STRIP = 2.0, 3.0, 4.0, 5.0, 6.0, 5.0
CORNER = np.array([COLOR, 0, 0, 0, NORMAL, 0, 0, 0, VERTEX, 0, 0, 0], np.float32)

_RENAMES = "auto_rename_duplicate_objects"


@dataclass(frozen=True)
class Layout:
    """Where a mesh's numbers go in the float list of its states.

    Attributes:
        template: The list with its opcodes and zeros, float32.
        corners: Vertex of each corner, in the list's order.
        slots: Where each corner starts in the list.
    """

    template: np.ndarray
    corners: np.ndarray
    slots: np.ndarray

    @classmethod
    def of(cls, faces: np.ndarray) -> Layout:
        """Lay out one topology.

        Args:
            faces: Vertex indices of each triangle, int (faces, 3).
        """
        strips = triangle_strips(faces)
        lengths = np.array([len(strip) for strip in strips], np.int64)
        corners = np.fromiter((v for strip in strips for v in strip), np.int64, lengths.sum())
        return cls.of_strips(corners, lengths)

    @classmethod
    def of_strips(cls, corners: np.ndarray, lengths: np.ndarray) -> Layout:
        """Lay out strips.

        Args:
            corners: Vertices of all strips, one after another.
            lengths: Corners of each strip.
        """
        strip = np.repeat(np.arange(len(lengths)), lengths)
        slots = np.arange(len(corners)) * len(CORNER) + 3 * strip + 2
        template = np.zeros(len(corners) * len(CORNER) + 3 * len(lengths), np.float32)
        starts = np.concatenate([[0], np.cumsum(lengths * len(CORNER) + 3)])[:-1]
        template[starts] = BEGIN
        template[starts + 1] = TRIANGLE_STRIP
        template[starts + 2 + lengths * len(CORNER)] = END
        template[slots[:, None] + np.arange(len(CORNER))] = CORNER
        return cls(template=template, corners=corners, slots=slots)

    @property
    def lengths(self) -> np.ndarray:
        """Corners of each strip."""
        return np.bincount((self.slots - 2 - len(CORNER) * np.arange(len(self.slots))) // 3)

    def floats(self, vertices: np.ndarray, normals: np.ndarray, colors: np.ndarray) -> list[float]:
        """Fill in one frame.

        Args:
            vertices: Positions [Å], (vertices, 3).
            normals: Outward unit normals, (vertices, 3).
            colors: Red, green, blue in 0 … 1, (vertices, 3).

        Returns:
            What ``cmd.load_cgo`` takes; Python floats, because it ignores any other list.
        """
        rows = np.tile(CORNER, (len(vertices), 1))
        rows[:, 1:4], rows[:, 5:8], rows[:, 9:12] = colors, normals, vertices
        filled = self.template.copy()
        filled[self.slots[:, None] + np.arange(len(CORNER))] = rows[self.corners]
        return filled.tolist()


def load_state(floats: list[float], name: str, state: int, _self: Any) -> None:
    """Show one frame as state ``state`` (from 1) of object ``name``; the view is left alone."""
    with _names_as_given(_self):
        _self.load_cgo(floats, name, state, zoom=0, quiet=1)


@contextmanager
def _names_as_given(_self: Any) -> Iterator[None]:
    """Let a second state go where the first one is, also where PyMOL is to rename duplicates."""
    renames = _self.get_setting_boolean(_RENAMES)
    if renames:
        _self.set(_RENAMES, 0, quiet=1, updates=0)
    try:
        yield
    finally:
        if renames:
            _self.set(_RENAMES, 1, quiet=1, updates=0)
