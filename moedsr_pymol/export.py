"""Surfaces as files: all frames as npz or GLB, one each as PLY or OBJ, values as a table.

Files appear complete or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from .atoms import Atoms
from .errors import UserError
from .glb import Shape, glb
from .measure.chart import Table, csv_text
from .measure.files import check_file
from .placement import moved, object_matrix
from .steps import Report, Work
from .surface import Frame, Surface
from .whole_files import Content, write_in_thread

PLY_VERTEX = np.dtype([
    ("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("nx", "<f4"), ("ny", "<f4"), ("nz", "<f4"),
    ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("displacement", "<f4"),
])  # fmt: skip
_PLY_TYPES = {"<f4": "float", "|u1": "uchar"}


def save_steps(surface: Surface, path: str, sequence: bool, report: Report, _self: Any) -> Work:
    """Write a surface where PyMOL draws it; the ending of the file chooses the format.

    Args:
        surface: What to write.
        path: File name; frames that have a file each are numbered from 0001 before the ending.
        sequence: Whether a format that can hold all frames has a file for each all the same.
        report: Told how far it is.
        _self: PyMOL.

    Returns:
        The files.

    Raises:
        UserError: If the ending is unknown, or a file cannot be written.
    """
    target = check_file(path, tuple(_WRITERS))
    writer = _WRITERS[target.suffix.lower()]
    if not surface.frames:
        raise UserError(f"'{surface.name}' has no frame yet; wait for the first")
    frames, matrix = list(surface.frames), object_matrix(surface.name, _self)
    order = Order(surface, frames, target, matrix, sequence, frames_per_second(_self))
    if target.suffix.lower() in COLOURED:
        for k in range(len(frames)):
            report.update("colouring", k, len(frames))
            order.colors.append(surface.coloring.colors(surface, k, _self))
            yield
    jobs = writer(order)
    report.update("writing", 0, 0)
    yield from write_in_thread(target, jobs)
    return [file for file, _ in jobs]


@dataclass
class Order:
    """What is to be written, all of it read from PyMOL.

    Attributes:
        surface: The surface.
        frames: Its frames, as many as were there.
        target: The file that was named.
        matrix: What carries it to where it is drawn, (4, 4).
        sequence: Whether each frame is to have its own file.
        rate: Frames that are shown in a second.
        colors: Red, green, blue of each frame's points, for formats that hold colours.
    """

    surface: Surface
    frames: list[Frame]
    target: Path
    matrix: np.ndarray
    sequence: bool
    rate: float
    colors: list[np.ndarray] = field(default_factory=list)


def frames_per_second(_self: Any) -> float:
    """How fast PyMOL plays, as far as it is set."""
    rate = float(_self.get_setting_float("movie_fps"))
    return rate if rate > 0 else 30.0


def _numbered(order: Order, write: Callable[..., None]) -> list[tuple[Path, Content]]:
    """A file for each frame."""

    def content(k: int) -> Content:
        return lambda file: write(file, _moved(order.frames[k], order.matrix), order.colors[k])

    target, count = order.target, len(order.frames)
    names = [f"{target.stem}_{k + 1:04d}{target.suffix}" for k in range(count)]
    files = [target] if count == 1 else [target.with_name(name) for name in names]
    return [(file, content(k)) for k, file in enumerate(files)]


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


def _glb(order: Order) -> list[tuple[Path, Content]]:
    """One file that plays all frames, or one for each."""
    if order.sequence:
        return _numbered(order, _write_glb)

    def write(file: IO[bytes]) -> None:
        shapes = [
            _shape(_moved(frame, order.matrix), colors)
            for frame, colors in zip(order.frames, order.colors)  # noqa: B905
        ]
        for piece in glb(order.surface.name, shapes, order.rate):
            file.write(piece)

    return [(order.target, write)]


def _write_glb(file: IO[bytes], placed: tuple, colors: np.ndarray) -> None:
    for piece in glb("surface", [_shape(placed, colors)], 1.0):
        file.write(piece)


def _shape(placed: tuple, colors: np.ndarray) -> Shape:
    vertices, normals, frame = placed
    return Shape(vertices, normals, frame.faces, colors)


def _csv(order: Order) -> list[tuple[Path, Content]]:
    """Values at the points of the first frame, all in one table."""

    def write(file: IO[bytes]) -> None:
        file.write(csv_text(point_table(order.surface, order.matrix)).encode("utf-8"))

    return [(order.target, write)]


def point_table(surface: Surface, matrix: np.ndarray) -> Table:
    """What is known of each point of the first frame, where it is drawn.

    Residues are named where the surface knows its atoms; what has not come is left empty.
    """
    vertices, normals, _ = _moved(surface.frames[0], matrix)
    unknown = np.full(len(vertices), np.nan)
    columns: dict[str, np.ndarray] = {
        **dict(zip(("x_A", "y_A", "z_A"), vertices.T)),  # noqa: B905
        **dict(zip(("nx", "ny", "nz"), normals.T)),  # noqa: B905
    }
    for name in ("fluctuation", "mean_displacement"):
        columns[f"{name}_A"] = surface.attributes.get(name, unknown)
    atom = surface.attributes.get("atom")
    if atom is not None and isinstance(surface.atoms, Atoms):
        for head, names in (("chain", "chain_ids"), ("residue", "residue_ids"),
                            ("name", "residue_names"), ("atom", "atom_names")):  # fmt: skip
            columns[head] = getattr(surface.atoms, names)[atom]
    shares = surface.attributes.get("expert", np.zeros((len(vertices), 0)))
    columns |= {f"expert{k + 1}": share for k, share in enumerate(shares.T)}
    return [list(columns), *map(list, zip(*(c.tolist() for c in columns.values())))]  # noqa: B905


def _npz(order: Order) -> list[tuple[Path, Content]]:
    return [
        (
            order.target,
            lambda file: _savez(file, trajectory_arrays(order.surface, order.matrix)),
        )
    ]


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


COLOURED = (".ply", ".obj", ".glb")
_WRITERS: dict[str, Callable[[Order], list[tuple[Path, Content]]]] = {
    ".npz": _npz,
    ".ply": lambda order: _numbered(order, _write_ply),
    ".obj": lambda order: _numbered(order, _write_obj),
    ".glb": _glb,
    ".csv": _csv,
}
