"""Mesh files: PLY, OBJ and GLB, all in Å."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import trimesh
from jaxtyping import Float, UInt8

from moedsr_core.errors import InputError
from moedsr_core.files import whole_file
from moedsr_core.surface.mesh import Mesh

_VERTEX = np.dtype(
    [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz", "displacement")]
    + [(name, "u1") for name in ("red", "green", "blue")]
)
_FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
_LONGEST_HEADER = 4096
_BLUE, _WHITE, _RED = (np.array(c, np.float64) for c in ((33, 102, 172), (247,) * 3, (178, 24, 43)))
"""Ends and middle of the diverging scale RdBu of ColorBrewer."""


def write_mesh(
    path: str | Path,
    mesh: Mesh,
    displacement: Float[np.ndarray, " vertices"] | None = None,
    largest: float = 1.0,
) -> None:
    """Write a mesh in the format that the file's name ends in.

    Args:
        path: Ends in one of :data:`WRITERS`.
        mesh: What to write.
        displacement: Colours every vertex, and is a property of its own in PLY [Å].
        largest: Displacement of the strongest colours [Å]; red is outward.

    Raises:
        InputError: If the ending is unknown or the file cannot be written.
    """
    suffix = mesh_format(path)
    if displacement is None:
        displacement = np.zeros(len(mesh.vertices), np.float32)
    with whole_file(path) as file:
        WRITERS[suffix](file, mesh, displacement, displacement_colours(displacement, largest))


def mesh_format(path: str | Path) -> str:
    """Ending of a mesh file's name, a key of :data:`WRITERS`.

    Raises:
        InputError: If the ending is unknown.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise InputError(
            f"a mesh file must end in one of {', '.join(WRITERS)}, got {Path(path).name!r}"
        )
    return suffix


def displacement_colours(
    displacement: Float[np.ndarray, " n"], largest: float
) -> UInt8[np.ndarray, "n 3"]:
    """Blue (inward) over white to red (outward)."""
    share = np.clip(displacement / max(largest, 1e-6), -1.0, 1.0)[:, None].astype(np.float64)
    ends = np.where(share < 0, _BLUE, _RED)
    return np.rint(_WHITE + np.abs(share) * (ends - _WHITE)).astype(np.uint8)


def _write_ply(
    file: BinaryIO,
    mesh: Mesh,
    displacement: Float[np.ndarray, " v"],
    colours: UInt8[np.ndarray, "v 3"],
) -> None:
    vertices = np.empty(len(mesh.vertices), _VERTEX)
    for k, axis in enumerate("xyz"):
        vertices[axis], vertices[f"n{axis}"] = mesh.vertices[:, k], mesh.normals[:, k]
        vertices[("red", "green", "blue")[k]] = colours[:, k]
    vertices["displacement"] = displacement
    faces = np.empty(len(mesh.faces), _FACE)
    faces["count"], faces["corners"] = 3, mesh.faces
    file.write(_ply_header(len(vertices), len(faces)) + vertices.tobytes() + faces.tobytes())


def _ply_header(n_vertices: int, n_faces: int) -> bytes:
    kinds = {"<f4": "float", "|u1": "uchar"}
    lines = ["ply", "format binary_little_endian 1.0", "comment moedsr; positions in Angstrom"]
    lines += [f"element vertex {n_vertices}"]
    lines += [f"property {kinds[_VERTEX[name].str]} {name}" for name in _VERTEX.names or ()]
    lines += [f"element face {n_faces}", "property list uchar int vertex_indices", "end_header"]
    return ("\n".join(lines) + "\n").encode("ascii")


def read_ply(path: str | Path) -> tuple[Mesh, Float[np.ndarray, " vertices"]]:
    """Mesh and displacement [Å] from a PLY file that :func:`write_mesh` wrote.

    Raises:
        InputError: If it cannot be read, is of another make, or is cut short.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"could not read {path}: {error.strerror or error}") from error
    end = data.find(b"end_header\n", 0, _LONGEST_HEADER) + len(b"end_header\n")
    counts = [
        int(w[2]) for line in data[:end].splitlines() if (w := line.split())[:1] == [b"element"]
    ]
    if len(counts) != 2 or data[:end] != _ply_header(*counts):
        raise InputError(f"expected a PLY file written by moedsr, got something else in {path}")
    sizes = [counts[0] * _VERTEX.itemsize, counts[1] * _FACE.itemsize]
    if len(data) != end + sum(sizes):
        raise InputError(f"{path} is cut short or damaged; write it again")
    v = np.frombuffer(data, _VERTEX, counts[0], end)
    faces = np.frombuffer(data, _FACE, counts[1], end + sizes[0])["corners"]
    if faces.size and not 0 <= faces.min() <= faces.max() < len(v):
        raise InputError(f"{path} is damaged: its faces name vertices that are not there")
    positions, normals = (
        np.stack([v[name] for name in names], axis=1).astype(np.float32)
        for names in (("x", "y", "z"), ("nx", "ny", "nz"))
    )
    return Mesh(positions, faces.astype(np.int32), normals), v["displacement"].astype(np.float32)


def _write_obj(
    file: BinaryIO,
    mesh: Mesh,
    displacement: Float[np.ndarray, " v"],
    colours: UInt8[np.ndarray, "v 3"],
) -> None:
    placed = np.concatenate([mesh.vertices, colours / 255.0], axis=1)
    corners = np.repeat(mesh.faces + 1, 2, axis=1)
    for line, rows in (
        ("v %.4f %.4f %.4f %.3f %.3f %.3f\n", placed),
        ("vn %.4f %.4f %.4f\n", mesh.normals),
        ("f %d//%d %d//%d %d//%d\n", corners),
    ):
        file.write((line * len(rows) % tuple(rows.ravel().tolist())).encode("ascii"))


def _write_glb(
    file: BinaryIO,
    mesh: Mesh,
    displacement: Float[np.ndarray, " v"],
    colours: UInt8[np.ndarray, "v 3"],
) -> None:
    solid = trimesh.Trimesh(
        mesh.vertices,
        mesh.faces,
        vertex_normals=mesh.normals,
        vertex_colors=colours,
        process=False,
    )
    data = solid.export(file_type="glb", include_normals=True)
    assert isinstance(data, bytes)
    file.write(data)


WRITERS: dict[str, Callable[[BinaryIO, Mesh, np.ndarray, np.ndarray], None]] = {
    ".ply": _write_ply,
    ".obj": _write_obj,
    ".glb": _write_glb,
}
"""Formats by the ending of the file's name."""
