"""Compact frames: whole steps instead of floats, each told by how it differs from its neighbour.

A record is an npz archive without pickle, a few tens of kilobytes where the plain arrays take
hundreds. Vertices are counted in steps of :data:`VERTEX_STEP` and moved by at most half of one
along each axis, 0.0068 Å in all. The steps are whole numbers on both sides, so nothing adds up
from frame to frame, and what is read is the same to the bit on every machine.

This file imports numpy and the standard library only: the plugin carries a copy of it.

Members, all of them byte planes (:func:`to_planes`) unless said otherwise:

    vertices       3n differences, all x, then y, then z. Each vertex is told by the difference
                   from its parent, a neighbour below its own number (:func:`_parents`); of its move
                   since the frame before, or where ``origin`` is present of its place
    origin         int64 (3,): lowest steps of the mesh; the frame needs no frame before it
    displacement   n differences from the parent's displacement, in steps of DISPLACEMENT_STEP
    stars          n counts of triangles that begin at each vertex. Absent, with ``faces``, where
                   the triangles are those of the frame before
    faces          2m: second corners less the one of the triangle before or of the first corner,
                   then third corners less first ones
    turned         numbers of vertices whose normal is not the mesh's own, as differences
    turned_normals int16 (k, 2): those normals, by octahedral coordinates
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .frame_archive import Damaged, from_planes, pack, to_planes, unpack, unzigzag, zigzag

VERTEX_STEP = 2.0**-7
"""Distance between the places that a vertex can have, along each axis [Å]. A power of two, so that
steps become float32 exactly as far as float32 can hold them (131 kÅ), and where it cannot, its own
numbers are whole steps."""
DISPLACEMENT_STEP = 2.0**-8
"""The same for displacements [Å]."""
NORMAL_TOLERANCE = 2.0
"""A normal that the mesh itself gives within this angle is not sent [degrees]."""
MAX_VERTICES = 2**22
"""Most vertices of a frame; a molecule of 60,000 atoms at 0.7 Å has a tenth."""
MAX_FACES = 2 * MAX_VERTICES

_LARGEST = 2**31 - 1
_OCTAHEDRON = 32767
_FACE_PLANES = 4
_MEMBERS = {
    "origin": "<i8",
    "vertices": "|u1",
    "displacement": "|u1",
    "stars": "|u1",
    "faces": "|u1",
    "turned": "|u1",
    "turned_normals": "<i2",
}


@dataclass(frozen=True, eq=False)
class FrameState:
    """What both sides remember of a frame to write or read the next one.

    Attributes:
        steps: Vertices in steps of :data:`VERTEX_STEP`, int32 (n, 3).
        faces: Triangles, each from its lowest corner on, in rising order; int32 (m, 3).
        parents: Of each vertex a neighbour below its own number, or -1; (n,).
    """

    steps: np.ndarray
    faces: np.ndarray
    parents: np.ndarray


def encode(
    arrays: Mapping[str, np.ndarray], last: FrameState | None = None
) -> tuple[bytes, FrameState]:
    """Write a frame.

    Args:
        arrays: ``vertices`` [Å] and ``normals`` (n, 3), ``displacement`` [Å] (n,), ``faces``
            (m, 3). The triangles arrive in another order, each with its winding.
        last: What :func:`encode` returned with the frame before; None writes a frame that can be
            read without it.

    Returns:
        The record, and what the next frame is written against. It depends on this frame alone.

    Raises:
        ValueError: If the arrays are no mesh, or hold numbers that are not finite or too large.
    """
    vertices, displacement, normals, faces = _checked(arrays)
    steps = _steps(vertices, VERTEX_STEP, "vertices")
    members: dict[str, np.ndarray] = {}
    if last is not None and len(last.steps) == len(steps) and np.array_equal(last.faces, faces):
        faces, parents = last.faces, last.parents
        moved = steps - last.steps
    else:
        parents = _parents(faces, len(steps))
        origin = steps.min(axis=0) if len(steps) else np.zeros(3, np.int64)
        moved = steps - origin
        members["origin"] = origin
        members["stars"], members["faces"] = _pack_faces(faces, len(steps))
    members["vertices"] = to_planes(zigzag(_less_parent(moved, parents).T.ravel()))
    shown = _steps(displacement, DISPLACEMENT_STEP, "displacement")
    members["displacement"] = to_planes(zigzag(_less_parent(shown, parents)))
    members.update(_pack_normals(normals, steps, faces))
    return pack(members, _MEMBERS), FrameState(steps.astype(np.int32), faces, parents)


def decode(data: bytes, last: FrameState | None = None) -> tuple[dict[str, np.ndarray], FrameState]:
    """Read a frame.

    Args:
        data: A record of :func:`encode`.
        last: What :func:`decode` returned with the frame before, if there was one.

    Returns:
        ``vertices`` [Å], ``normals``, ``displacement`` [Å], float32, and ``faces``, int32, the
        same array as before where they did not change; and what the next frame is read against.

    Raises:
        ValueError: If the bytes are no record, or one that follows another frame than ``last``.
    """
    try:
        return _decode(data, last)
    except Damaged as error:
        raise ValueError(f"expected a compact frame, got {error}; ask for it again") from None
    except Exception as error:  # a hostile archive can fail in any way
        kind = type(error).__name__
        raise ValueError(
            f"expected a compact frame, got bytes that cannot be read ({kind}); ask for it again"
        ) from error


def _decode(data: bytes, last: FrameState | None) -> tuple[dict[str, np.ndarray], FrameState]:
    members = unpack(data, _MEMBERS)
    if not {"vertices", "displacement"} <= set(members):
        raise Damaged("one without vertices or displacements")
    n, rest = divmod(members["vertices"].shape[-1], 3)
    if rest or n > MAX_VERTICES or members["displacement"].shape[-1] != n:
        raise Damaged(f"one of {n} vertices whose parts do not fit together")
    if ("origin" in members) != ("faces" in members) or ("faces" in members) != (
        "stars" in members
    ):
        raise Damaged("one with half of its triangles")
    if "faces" in members:
        faces = _unpack_faces(members["stars"], members["faces"], n)
        start, parents = _origin(members["origin"]), _parents(faces, n)
    elif last is None or len(last.steps) != n:
        raise Damaged("one that follows a frame which is not at hand")
    else:
        faces, start, parents = last.faces, last.steps.astype(np.int64), last.parents
    moved = unzigzag(from_planes(members["vertices"])).reshape(3, n).T
    steps = _in_range(start + _plus_parents(moved, parents)).astype(np.int32)
    shown = _in_range(_plus_parents(unzigzag(from_planes(members["displacement"])), parents))
    arrays = {
        "vertices": (steps * VERTEX_STEP).astype(np.float32),
        "normals": _unpack_normals(members, steps, faces),
        "faces": faces,
        "displacement": (shown * DISPLACEMENT_STEP).astype(np.float32),
    }
    return arrays, FrameState(steps, faces, parents)


def _checked(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Vertices, displacement, normals and sorted faces, known to belong together."""
    vertices, normals, displacement = (
        np.asarray(arrays[name], np.float64) for name in ("vertices", "normals", "displacement")
    )
    n, faces = len(vertices), np.asarray(arrays["faces"])
    if vertices.shape != (n, 3) or normals.shape != (n, 3) or displacement.shape != (n,):
        raise ValueError(
            "a frame needs vertices (n, 3), normals (n, 3) and displacement (n,), got "
            f"{vertices.shape}, {normals.shape} and {displacement.shape}"
        )
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
        raise ValueError(f"faces must be integers (m, 3), got {faces.dtype} {faces.shape}")
    if n > MAX_VERTICES or len(faces) > MAX_FACES:
        raise ValueError(
            f"a frame holds at most {MAX_VERTICES} vertices and {MAX_FACES} triangles, got {n} and "
            f"{len(faces)}; choose a larger spacing"
        )
    if len(faces) and (faces.min() < 0 or faces.max() >= n):
        raise ValueError(f"faces must name {n} vertices from 0, got {faces.min()} to {faces.max()}")
    if not np.isfinite(normals).all():
        raise ValueError("normals must be finite numbers, got NaN or infinity")
    return vertices, displacement, normals, _sorted_faces(faces)


def _steps(values: np.ndarray, step: float, name: str) -> np.ndarray:
    if not (np.abs(values) < _LARGEST * step).all():
        raise ValueError(
            f"{name} must be finite and within {_LARGEST * step:.3g} Å, got NaN, infinity or more"
        )
    return np.rint(values / step).astype(np.int64)


def _sorted_faces(faces: np.ndarray) -> np.ndarray:
    """Each triangle from its lowest corner on, and all of them in rising order."""
    turn = (faces.argmin(axis=1)[:, None] + np.arange(3)) % 3
    turned = np.take_along_axis(faces, turn, axis=1)
    return turned[np.lexsort(turned.T[::-1])].astype(np.int32)


def _pack_faces(faces: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    first, second, third = faces.astype(np.int64).T
    before = np.concatenate([first[:1], second[:-1]])
    opens = np.diff(first, prepend=-1) > 0
    steps = second - np.where(opens, first, before)
    stars = np.bincount(first, minlength=n)
    return to_planes(stars), to_planes(np.concatenate([steps, third - first]))


def _unpack_faces(stars: np.ndarray, packed: np.ndarray, n: int) -> np.ndarray:
    m, rest = divmod(packed.shape[-1], 2)
    if rest or m > MAX_FACES or stars.shape[-1] != n or max(len(stars), len(packed)) > _FACE_PLANES:
        raise Damaged(f"one of {m} triangles whose parts do not fit together")
    counts = from_planes(stars)
    if counts.sum() != m:
        raise Damaged(f"one of {m} triangles that counts {counts.sum()}")
    steps, third = from_planes(packed).reshape(2, m)
    first = np.repeat(np.arange(n), counts)
    run = np.concatenate([[0], np.cumsum(steps)])
    opened = run[np.cumsum(counts) - counts]
    second = first + run[1:] - np.repeat(opened, counts)
    faces = np.stack([first, second, first + third], axis=1)
    if faces.max(initial=-1) >= n:
        raise Damaged(f"one of {n} vertices whose triangles name others")
    return faces.astype(np.int32)


def _parents(faces: np.ndarray, n: int) -> np.ndarray:
    """Of each vertex a neighbour below its own number, the same on both sides; or -1.

    Faces are in rising order, so the last neighbour met along each side of them is high.
    """
    parents = np.full(n, -1, np.int64)
    for one, other in ((0, 1), (1, 2), (2, 0)):
        low = np.minimum(faces[:, one], faces[:, other])
        high = np.maximum(faces[:, one], faces[:, other])
        proper = low < high
        last = np.full(n, -1, np.int64)
        last[high[proper]] = low[proper]
        np.maximum(parents, last, out=parents)
    return parents


def _less_parent(values: np.ndarray, parents: np.ndarray) -> np.ndarray:
    child = parents >= 0
    result = values.copy()
    result[child] -= values[parents[child]]
    return result


def _plus_parents(values: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Undo :func:`_less_parent`: sums up to the root, by paths that double in length."""
    total, ahead = values.copy(), parents
    while True:
        under = np.flatnonzero(ahead >= 0)
        if not len(under):
            return total
        jump = ahead[under]
        total[under] += total[jump]
        further = ahead.copy()
        further[under] = ahead[jump]
        ahead = further


def _mesh_normals(steps: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals weighted by area, float64 (n, 3); zero where there is no triangle."""
    x, y, z = steps.astype(np.float64).T
    first, second, third = faces.T
    a, b, c = (axis[second] - axis[first] for axis in (x, y, z))
    u, v, w = (axis[third] - axis[first] for axis in (x, y, z))
    total = np.zeros((len(steps), 3))
    for axis, crossed in enumerate((b * w - c * v, c * u - a * w, a * v - b * u)):
        for corner in faces.T:
            total[:, axis] += np.bincount(corner, crossed, minlength=len(steps))
    return _unit(total)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Of length one, by operations that every machine rounds alike; zero stays zero."""
    x, y, z = vectors.T
    length = np.sqrt(x * x + y * y + z * z)
    return vectors / np.where(length > 0, length, 1.0)[:, None]


def _pack_normals(
    normals: np.ndarray, steps: np.ndarray, faces: np.ndarray
) -> dict[str, np.ndarray]:
    wanted = _unit(normals)
    agreement = (wanted * _mesh_normals(steps, faces)).sum(axis=1)
    turned = np.flatnonzero(
        (agreement < math.cos(math.radians(NORMAL_TOLERANCE))) & wanted.any(axis=1)
    )
    if not len(turned):
        return {}
    return {
        "turned": to_planes(np.diff(turned, prepend=0)),
        "turned_normals": _to_octahedron(wanted[turned]),
    }


def _unpack_normals(
    members: Mapping[str, np.ndarray], steps: np.ndarray, faces: np.ndarray
) -> np.ndarray:
    normals = _mesh_normals(steps, faces)
    sent = members.get("turned_normals")
    if ("turned" in members) != (sent is not None):
        raise Damaged("one with half of its normals")
    if sent is not None:
        planes = members["turned"]
        if len(planes) > _FACE_PLANES or sent.shape != (planes.shape[-1], 2):
            raise Damaged("one whose normals do not fit together")
        if len(sent) > len(steps):
            raise Damaged(f"one of {len(steps)} vertices with {len(sent)} normals")
        turned = np.cumsum(from_planes(planes))
        if turned.max(initial=-1) >= len(steps):
            raise Damaged(f"one of {len(steps)} vertices with normals of others")
        normals[turned] = _from_octahedron(sent)
    return normals.astype(np.float32)


def _to_octahedron(units: np.ndarray) -> np.ndarray:
    """Unit vectors on the octahedron |x| + |y| + |z| = 1, unfolded (Cigolle et al. 2014), int16."""
    flat = units / np.abs(units).sum(axis=1, keepdims=True)
    folded = (1.0 - np.abs(flat[:, 1::-1])) * np.where(flat[:, :2] < 0, -1.0, 1.0)
    square = np.where(flat[:, 2:] < 0, folded, flat[:, :2])
    return np.rint(square * _OCTAHEDRON).astype("<i2")


def _from_octahedron(square: np.ndarray) -> np.ndarray:
    x, y = square.astype(np.float64).T / _OCTAHEDRON
    z = 1.0 - np.abs(x) - np.abs(y)
    beyond = np.maximum(-z, 0.0)
    x, y = (v - np.where(v < 0, -beyond, beyond) for v in (x, y))
    return _unit(np.stack([x, y, z], axis=1))


def _origin(origin: np.ndarray) -> np.ndarray:
    if origin.shape != (3,):
        raise Damaged(f"one with an origin of shape {origin.shape}")
    return origin


def _in_range(steps: np.ndarray) -> np.ndarray:
    if steps.min(initial=0) < -_LARGEST or steps.max(initial=0) > _LARGEST:
        raise Damaged("one with places beyond all molecules")
    return steps
