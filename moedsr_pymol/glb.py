"""Surfaces as glTF 2.0 in one binary file, moving or not.

Each state is a mesh of its own, and an animation shows one at a time by stepping the scale of its
node between 1 and 0. Morph targets would be smaller, but need one topology for all states, cannot
change colours, and stop at four or eight targets in many players. A player that does not animate
shows the first state alone. The specification is https://registry.khronos.org/glTF/specs/2.0.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

UNIT = 0.1
"""Length of an Å in the scene, whose unit is the metre: a nanometre becomes a metre."""
MAGIC, VERSION, JSON, BIN = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
UNSIGNED_SHORT, UNSIGNED_INT, FLOAT = 5123, 5125, 5126
_TYPES: dict[int, Any] = {
    UNSIGNED_SHORT: np.dtype("<u2"),
    UNSIGNED_INT: np.dtype("<u4"),
    FLOAT: np.dtype("<f4"),
}
_KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}
_LARGEST_SHORT = 65535
"""Vertices that short indices can name; 65535 itself is reserved."""


class Shape(NamedTuple):
    """One state.

    Attributes:
        vertices: Positions [Å], (n, 3).
        normals: Outward unit normals, (n, 3).
        faces: Vertices of each triangle, (m, 3); the same array for states of one topology.
        colors: Red, green, blue in 0 … 1 as screens show them, (n, 3).
    """

    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    colors: np.ndarray


def glb(name: str, shapes: list[Shape], frames_per_second: float) -> Iterator[bytes]:
    """A GLB file in pieces.

    Args:
        name: Of the surface.
        shapes: Its states.
        frames_per_second: States that are shown in a second, if there are several.
    """
    scene = _Scene(name, shapes[0].vertices.mean(axis=0, dtype=np.float64))
    for shape in shapes:
        scene.add(shape)
    if len(shapes) > 1:
        scene.animate(frames_per_second)
    yield from scene.pieces()


class _Scene:
    """A glTF document that grows, and its one buffer.

    Positions are about the first state's middle, to which hidden states shrink, so that they lie
    within the box that players fit into their window.
    """

    def __init__(self, name: str, middle: np.ndarray) -> None:
        self._middle = middle
        self._buffer: list[bytes] = []
        self._size = 0
        self._indices: dict[int, int] = {}
        self._kept: list[np.ndarray] = []
        self._document: dict[str, Any] = {
            "asset": {
                "version": "2.0",
                "generator": "moedsr",
                "extras": {"unit": "nanometre", "positions": "angstrom"},
            },
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [
                {
                    "name": name,
                    "translation": (UNIT * middle).tolist(),
                    "scale": [UNIT] * 3,
                    "children": [],
                }
            ],
            "meshes": [],
            "materials": [
                {
                    "name": "surface",
                    "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.6},
                    "doubleSided": True,
                }
            ],
            "accessors": [],
            "bufferViews": [],
        }

    def add(self, shape: Shape) -> None:
        """Add a state; all but the first are hidden until the animation shows them."""
        document = self._document
        k = len(document["meshes"])
        linear = np.hstack([_linear(shape.colors), np.ones((len(shape.colors), 1))])
        attributes = {
            "POSITION": self._accessor(
                shape.vertices - self._middle, FLOAT, ARRAY_BUFFER, bounds=True
            ),
            "NORMAL": self._accessor(_unit(shape.normals), FLOAT, ARRAY_BUFFER),
            "COLOR_0": self._accessor(
                np.rint(65535 * linear), UNSIGNED_SHORT, ARRAY_BUFFER, normalized=True
            ),
        }
        primitive = {"attributes": attributes, "indices": self._faces(shape), "material": 0}
        document["meshes"].append({"name": f"state_{k + 1:04d}", "primitives": [primitive]})
        node = {"name": f"state_{k + 1:04d}", "mesh": k}
        if k:
            node["scale"] = [0.0] * 3
        document["nodes"][0]["children"].append(len(document["nodes"]))
        document["nodes"].append(node)

    def animate(self, frames_per_second: float) -> None:
        """Show one state after another."""
        count, step = len(self._document["meshes"]), 1.0 / frames_per_second
        samplers, channels = [], []
        for k in range(count):
            keys = sorted({0, k, min(k + 1, count), count})
            times = np.array(keys, np.float64)[:, None] * step
            shown = np.array([[float(key == k or (k == key - 1 == count - 1))] for key in keys])
            samplers.append(
                {
                    "input": self._accessor(times, FLOAT, None, bounds=True),
                    "output": self._accessor(np.repeat(shown, 3, axis=1), FLOAT, None),
                    "interpolation": "STEP",
                }
            )
            channels.append({"sampler": k, "target": {"node": k + 1, "path": "scale"}})
        self._document["animations"] = [
            {"name": "motion", "samplers": samplers, "channels": channels}
        ]

    def pieces(self) -> Iterator[bytes]:
        """The file."""
        self._document["buffers"] = [{"byteLength": self._size}]
        text = json.dumps(self._document, separators=(",", ":")).encode("ascii")
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + self._size
        yield struct.pack("<III", MAGIC, VERSION, total)
        yield struct.pack("<II", len(text), JSON) + text
        yield struct.pack("<II", self._size, BIN)
        yield from self._buffer

    def _faces(self, shape: Shape) -> int:
        """Indices of a topology, which its states share."""
        if id(shape.faces) not in self._indices:
            kind = UNSIGNED_SHORT if len(shape.vertices) <= _LARGEST_SHORT else UNSIGNED_INT
            flat = shape.faces.reshape(-1, 1)
            accessor = self._accessor(flat, kind, ELEMENT_ARRAY_BUFFER)
            self._indices[id(shape.faces)] = accessor
            self._kept.append(shape.faces)  # so that its id stays its own
        return self._indices[id(shape.faces)]

    def _accessor(
        self,
        values: np.ndarray,
        kind: int,
        target: int | None,
        *,
        bounds: bool = False,
        normalized: bool = False,
    ) -> int:
        """Put numbers (n, components) into the buffer; the accessor's index."""
        rows = np.ascontiguousarray(values).astype(_TYPES[kind])
        data = rows.tobytes()
        view = {"buffer": 0, "byteOffset": self._size, "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        padding = -len(data) % 4
        self._buffer.append(data + bytes(padding))
        self._size += len(data) + padding
        accessor: dict[str, Any] = {
            "bufferView": len(self._document["bufferViews"]),
            "componentType": kind,
            "count": len(rows),
            "type": _KINDS[rows.shape[1]],
        }
        if normalized:
            accessor["normalized"] = True
        if bounds:
            accessor["min"] = rows.min(axis=0).astype(float).tolist()
            accessor["max"] = rows.max(axis=0).astype(float).tolist()
        self._document["bufferViews"].append(view)
        self._document["accessors"].append(accessor)
        return len(self._document["accessors"]) - 1


def _unit(normals: np.ndarray) -> np.ndarray:
    """Normals of length 1, which glTF insists on; upward where there is none."""
    rows = normals.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > 1e-6, rows / np.maximum(length, 1e-6), [0.0, 0.0, 1.0])


def _linear(colors: np.ndarray) -> np.ndarray:
    """Colours of a screen (sRGB, IEC 61966-2-1) as amounts of light, which glTF wants."""
    shown = np.clip(colors, 0.0, 1.0)
    return np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
