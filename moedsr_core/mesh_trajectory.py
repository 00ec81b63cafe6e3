"""A surface that moves: one mesh per frame, and what is known of each point."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from moedsr_core.errors import InputError
from moedsr_core.files import whole_file, whole_folder
from moedsr_core.mesh_io import WRITERS, read_ply, write_mesh
from moedsr_core.surface.mesh import Mesh

FORMAT = 1
"""Version of the files that :meth:`MeshTrajectory.save` writes."""
_LEAST_COLOUR_RANGE = 0.5
"""Displacement that is never drawn in the strongest colours [Å]."""


@dataclass(frozen=True)
class Frame(Mesh):
    """The surface at one time, in the input's pose.

    Attributes:
        displacement: Signed distance of every vertex from the first surface [Å], positive
            outward, float32.
    """

    displacement: Float[np.ndarray, " vertices"]


@dataclass(frozen=True, kw_only=True)
class MeshTrajectory:
    """Frames of a moving surface.

    Attributes:
        frames: One mesh per time; those of one topology share one ``faces`` array.
        times: Model time of each frame, in [-1, 1].
        lags_ps: Time after the input structure [ps]; None where the model knows none.
        fluctuation: Surface RMSF at each vertex of the first frame [Å].
        mean_displacement: Mean displacement there [Å], positive outward.
        atom: Index of the input atom nearest to it.
        expert: Share of each expert there.
        metadata: Anything JSON can hold about how it was made.
    """

    frames: tuple[Frame, ...]
    times: Float[np.ndarray, " frames"]
    lags_ps: Float[np.ndarray, " frames"] | None
    fluctuation: Float[np.ndarray, " first"]
    mean_displacement: Float[np.ndarray, " first"]
    atom: Int[np.ndarray, " first"]
    expert: Float[np.ndarray, "first experts"]
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        if not self.frames:
            raise InputError("a mesh trajectory needs at least one frame, got none")
        counts = {len(self.frames), len(self.times)}
        if self.lags_ps is not None:
            counts.add(len(self.lags_ps))
        if len(counts) != 1:
            raise InputError(f"frames, times and lags must be equally many, got {sorted(counts)}")
        first = len(self.frames[0].vertices)
        for name in _ATTRIBUTES:
            if len(getattr(self, name)) != first:
                raise InputError(
                    f"{name} must describe the {first} vertices of the first frame, "
                    f"got {len(getattr(self, name))}"
                )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.frames)

    @property
    def topologies(self) -> int:
        """Number of times that the mesh was made anew, the first included."""
        return len({id(frame.faces) for frame in self.frames})

    @property
    def colour_range(self) -> float:
        """Displacement of the strongest colours [Å]: nearly all vertices stay below it."""
        moved = np.concatenate([np.abs(frame.displacement) for frame in self.frames])
        return max(float(np.percentile(moved, 98)), _LEAST_COLOUR_RANGE)

    def save(self, path: str | Path) -> None:
        """Write everything to one ``.npz``; each topology is stored once, and no pickle.

        Raises:
            InputError: If the file cannot be written; nothing is left behind then.
        """
        if Path(path).suffix != ".npz":
            raise InputError(f"a trajectory file must end in .npz, got {Path(path).name!r}")
        with whole_file(path) as file:
            np.savez(file, **self._arrays())

    def _arrays(self) -> dict[str, Any]:
        order = {id(frame.faces): frame.faces for frame in self.frames}
        place = {key: k for k, key in enumerate(order)}
        arrays: dict[str, Any] = {name: getattr(self, name) for name in ("times", *_ATTRIBUTES)}
        if self.lags_ps is not None:
            arrays["lags_ps"] = self.lags_ps
        for name in _PER_VERTEX:
            arrays[name] = np.concatenate([getattr(frame, name) for frame in self.frames])
        return arrays | {
            "format": np.array(FORMAT),
            "metadata": np.array(json.dumps(self.metadata)),
            "vertex_counts": np.array([len(frame.vertices) for frame in self.frames]),
            "faces": np.concatenate(list(order.values())),
            "face_counts": np.array([len(faces) for faces in order.values()]),
            "topology": np.array([place[id(frame.faces)] for frame in self.frames]),
        }

    def save_sequence(self, folder: str | Path, kind: str = "ply") -> None:
        """Write one file per frame, ``frame_0000.ply`` and on, coloured by displacement.

        Args:
            folder: Where to; made if missing.
            kind: ply, obj or glb.

        Raises:
            InputError: If the kind is unknown or the folder cannot be written to.
        """
        if f".{kind}" not in WRITERS:
            raise InputError(
                f"frames can be written as {', '.join(WRITERS)}, got {kind!r}".replace(".", "")
            )
        largest = self.colour_range
        with whole_folder(folder) as scratch:
            for k, frame in enumerate(self.frames):
                write_mesh(scratch / f"frame_{k:04d}.{kind}", frame, frame.displacement, largest)


_PER_VERTEX = ("vertices", "normals", "displacement")
_ATTRIBUTES = ("fluctuation", "mean_displacement", "atom", "expert")


def load_trajectory(path: str | Path) -> MeshTrajectory:
    """Read what :meth:`MeshTrajectory.save` wrote.

    Raises:
        InputError: If the file is missing, damaged or of another make.
    """
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise InputError(f"could not read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"expected a trajectory written by moedsr in {path}, got {error}"
        ) from error
    except (AttributeError, TypeError) as error:
        raise InputError(f"expected an npz archive in {path}, got a single array") from error
    try:
        return _from_arrays(arrays)
    except (KeyError, IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a trajectory of moedsr, or is damaged: {error}") from error


def _from_arrays(arrays: dict[str, Any]) -> MeshTrajectory:
    if int(arrays["format"]) != FORMAT:
        raise InputError(
            f"this trajectory has format {arrays['format']}, this moedsr reads {FORMAT}; update it"
        )
    faces = np.split(arrays["faces"], np.cumsum(arrays["face_counts"])[:-1])
    cuts = np.cumsum(arrays["vertex_counts"])[:-1]
    parts = {name: np.split(arrays[name], cuts) for name in _PER_VERTEX}
    frames = tuple(
        Frame(faces=faces[topology], **{name: parts[name][k] for name in _PER_VERTEX})
        for k, topology in enumerate(arrays["topology"])
    )
    return MeshTrajectory(
        frames=frames,
        times=arrays["times"],
        lags_ps=arrays.get("lags_ps"),
        metadata=json.loads(str(arrays["metadata"])),
        **{name: arrays[name] for name in _ATTRIBUTES},
    )


def load_sequence(folder: str | Path) -> tuple[Frame, ...]:
    """Frames of a folder of PLY files, in order of their names; equal faces become one array.

    Raises:
        InputError: If there is none, or one cannot be read.
    """
    paths = sorted(Path(folder).glob("frame_*.ply"))
    if not paths:
        raise InputError(f"expected files frame_*.ply in {folder}, found none")
    frames: list[Frame] = []
    for path in paths:
        mesh, displacement = read_ply(path)
        faces = mesh.faces
        if frames and np.array_equal(frames[-1].faces, faces):
            faces = frames[-1].faces
        frames.append(Frame(mesh.vertices, faces, mesh.normals, displacement))
    return tuple(frames)
