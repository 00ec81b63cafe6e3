"""Surfaces as files: one npz of all frames, or one PLY or OBJ per frame.

Files appear complete or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np

from .arguments import unquoted
from .atoms import moved, object_matrix
from .errors import UserError
from .surface import Frame, Surface

PLY_VERTEX = np.dtype([
    ("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("nx", "<f4"), ("ny", "<f4"), ("nz", "<f4"),
    ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("displacement", "<f4"),
])  # fmt: skip
_PLY_TYPES = {"<f4": "float", "|u1": "uchar"}


def save_surface(surface: Surface, path: str, _self: Any) -> list[Path]:
    """Write a surface where PyMOL draws it; the ending of the file chooses the format.

    Args:
        surface: What to write.
        path: File name; frames of PLY and OBJ are numbered from 0001 before the ending.

    Returns:
        The files.

    Raises:
        UserError: If the ending is unknown or a file cannot be written.
    """
    target = Path(os.path.expandvars(unquoted(path))).expanduser()
    writer = _WRITERS.get(target.suffix.lower())
    if writer is None:
        raise UserError(f"the file must end in {', '.join(_WRITERS)}, got '{target.name}'")
    matrix = object_matrix(surface.name, _self)
    jobs = writer(surface, target, matrix, _self)
    with writing(target):
        _write_all(jobs)
    return [file for file, _ in jobs]


def write_whole(target: Path, content: bytes | Callable[[IO[bytes]], Any]) -> None:
    """Write one file, whole or not at all.

    Args:
        target: The file.
        content: What is in it, or what writes it.

    Raises:
        UserError: If it cannot be written.
    """
    with writing(target):
        write = content if callable(content) else lambda file: file.write(content)
        _write_all([(target, write)])


def write_together(contents: dict[Path, bytes]) -> None:
    """Write several files, all of them or none.

    Raises:
        UserError: If one cannot be written.
    """
    with writing(next(iter(contents))):
        _write_all([
            (target, lambda file, data=data: file.write(data)) for target, data in contents.items()
        ])  # fmt: skip


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn failures to write into one sentence.

    Raises:
        UserError: In place of any :class:`OSError`.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"'{target}' cannot be written ({error.strerror or error}); choose another folder"
        ) from error


def _write_all(jobs: list[tuple[Path, Callable[[IO[bytes]], Any]]]) -> None:
    """Write everything under other names, and rename only when all of it is there."""
    written: list[tuple[Path, Path]] = []
    try:
        for path, write in jobs:
            temporary = path.with_name(f".moedsr-{uuid4().hex}")
            with temporary.open("xb") as file:  # its mode follows the umask
                written.append((temporary, path))
                write(file)
        while written:
            os.replace(*written[0])
            written.pop(0)
    finally:
        for temporary, _ in written:
            temporary.unlink()


def _numbered(
    surface: Surface, target: Path, write: Callable, matrix: np.ndarray, _self: Any
) -> list:
    single = len(surface.frames) == 1
    return [
        (
            target if single else target.with_name(f"{target.stem}_{k + 1:04d}{target.suffix}"),
            lambda file, k=k: write(
                file, _moved(surface.frames[k], matrix), surface.coloring.colors(surface, k, _self)
            ),
        )
        for k in range(len(surface.frames))
    ]


def _moved(frame: Frame, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, Frame]:
    vertices = moved(frame.vertices, matrix)
    return vertices.astype(np.float32), (frame.normals @ matrix[:3, :3].T).astype(np.float32), frame


def _write_ply(file: IO[bytes], placed: tuple, colors: np.ndarray) -> None:
    vertices, normals, frame = placed
    rows = np.empty(len(vertices), PLY_VERTEX)
    rows["x"], rows["y"], rows["z"] = vertices.T
    rows["nx"], rows["ny"], rows["nz"] = normals.T
    rows["red"], rows["green"], rows["blue"] = np.rint(255 * colors).astype(np.uint8).T
    rows["displacement"] = frame.displacement
    faces = np.empty(len(frame.faces), np.dtype([("count", "u1"), ("corners", "<i4", 3)]))
    faces["count"], faces["corners"] = 3, frame.faces
    properties = [
        f"property {_PLY_TYPES[PLY_VERTEX[name].str]} {name}" for name in PLY_VERTEX.names or ()
    ]
    header = [
        "ply", "format binary_little_endian 1.0", "comment units: angstrom",
        f"element vertex {len(rows)}", *properties,
        f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header\n",
    ]  # fmt: skip
    file.write("\n".join(header).encode() + rows.tobytes() + faces.tobytes())


def _write_obj(file: IO[bytes], placed: tuple, colors: np.ndarray) -> None:
    vertices, normals, frame = placed
    lines = ["# units: angstrom"]
    for (x, y, z), (r, g, b) in zip(vertices.tolist(), colors.tolist()):  # noqa: B905
        lines.append(f"v {x:.4f} {y:.4f} {z:.4f} {r:.3f} {g:.3f} {b:.3f}")
    lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in normals.tolist()]
    lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (frame.faces + 1).tolist()]
    file.write(("\n".join(lines) + "\n").encode())


def _npz(surface: Surface, target: Path, matrix: np.ndarray, _self: Any) -> list:
    return [(target, lambda file: _savez(file, trajectory_arrays(surface, matrix)))]


def _savez(file: IO[bytes], arrays: dict[str, Any]) -> None:
    np.savez_compressed(file, **arrays)


def trajectory_arrays(surface: Surface, matrix: np.ndarray) -> dict[str, np.ndarray]:
    """All that is known of a surface, in the layout of moedsr_core's trajectory files.

    Vertices of all frames stand one after another, each topology's faces once. Values that have
    not come, as after a cancelled job, are NaN, and -1 for atoms.
    """
    frames, count = surface.frames, len(surface.frames)
    topologies = {id(frame.faces): frame.faces for frame in frames}
    place = {key: k for k, key in enumerate(topologies)}
    placed = [_moved(frame, matrix) for frame in frames]
    first = len(frames[0].vertices)
    unknown = {
        "fluctuation": np.full(first, np.nan, np.float32),
        "mean_displacement": np.full(first, np.nan, np.float32),
        "atom": np.full(first, -1, np.int32),
        "expert": np.zeros((first, 0), np.float32),
    }
    return {
        **unknown,
        **surface.attributes,
        "times": model_times(surface)[:count],
        "vertices": np.concatenate([vertices for vertices, _, _ in placed]),
        "normals": np.concatenate([normals for _, normals, _ in placed]),
        "displacement": np.concatenate([frame.displacement for frame in frames]),
        "vertex_counts": np.array([len(frame.vertices) for frame in frames]),
        "faces": np.concatenate(list(topologies.values())),
        "face_counts": np.array([len(faces) for faces in topologies.values()]),
        "topology": np.array([place[id(frame.faces)] for frame in frames]),
        "format": np.array(1),
        "metadata": np.array(json.dumps(surface.summary)),
    }


def model_times(surface: Surface) -> np.ndarray:
    """Model time of every frame that was asked for."""
    last = float(surface.summary.get("last_time", 1.0))
    return np.linspace(-1.0, last, max(surface.planned, len(surface.frames), 2))


_WRITERS: dict[str, Callable[..., list]] = {
    ".npz": _npz,
    ".ply": lambda surface, target, *more: _numbered(surface, target, _write_ply, *more),
    ".obj": lambda surface, target, *more: _numbered(surface, target, _write_obj, *more),
}
