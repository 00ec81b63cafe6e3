"""A whole result in one file, put together without ever holding it in memory."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from moedsr_core import __version__
from moedsr_core.backend.jobstore import Job
from moedsr_core.backend.spool import Spool
from moedsr_core.backend.wire.frames import FrameState, decode
from moedsr_core.errors import BackendError
from moedsr_core.frame import TimeMap
from moedsr_core.mesh_trajectory import FORMAT
from moedsr_core.models.config import config_from_dict

_COLUMNS = {"vertices": (3,), "normals": (3,), "displacement": ()}
"""Arrays with a row for each vertex of each frame, and the shape of a row."""


@dataclass
class _Parts:
    """Arrays that grow on disk, and what is small enough for memory."""

    files: dict[str, IO[bytes]]
    vertex_counts: list[int] = field(default_factory=list)
    face_counts: list[int] = field(default_factory=list)
    topology: list[int] = field(default_factory=list)
    attributes: dict[str, np.ndarray] = field(default_factory=dict)
    last_faces: np.ndarray | None = None

    def add_frame(self, arrays: dict[str, np.ndarray]) -> None:
        for name in _COLUMNS:
            self.files[name].write(arrays[name].tobytes())
        self.vertex_counts.append(len(arrays["vertices"]))
        if arrays["faces"] is not self.last_faces:
            self.last_faces = arrays["faces"]
            self.face_counts.append(len(arrays["faces"]))
            self.files["faces"].write(np.asarray(arrays["faces"], "<i4").tobytes())
        self.topology.append(len(self.face_counts) - 1)


def write_result(job: Job, spool: Spool, path: Path) -> None:
    """Write what :meth:`moedsr_core.mesh_trajectory.MeshTrajectory.save` would.

    Args:
        job: A job that is done.
        spool: Its records.
        path: File to write, beside which there must be as much space again.

    Raises:
        BackendError: If a record is gone or damaged.
        OSError: If there is no space.
    """
    with _growing(path.parent) as files:
        parts = _Parts(files)
        state: FrameState | None = None
        for head, data in spool.contents(job.records):
            if head["type"] == "frame":
                arrays, state = _decoded(data, state)
                parts.add_frame(arrays)
            else:
                with np.load(BytesIO(data), allow_pickle=False) as archive:
                    parts.attributes |= {name: archive[name] for name in archive.files}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, shape in _COLUMNS.items():
                _copy(archive, name, files[name], (sum(parts.vertex_counts), *shape), "<f4")
            _copy(archive, "faces", files["faces"], (sum(parts.face_counts), 3), "<i4")
            for name, array in _small_arrays(job, parts).items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def _decoded(data: bytes, state: FrameState | None) -> tuple[dict[str, np.ndarray], FrameState]:
    try:
        return decode(data, state)
    except ValueError as error:
        raise BackendError("a frame of this job is damaged; run it again") from error


_TIME = ("time", "last_time")
"""Entries of a summary that become the frames' times."""


def _small_arrays(job: Job, parts: _Parts) -> dict[str, Any]:
    """Everything whose size does not grow with vertices times frames."""
    times = np.linspace(-1.0, job.summary.get("last_time", 1.0), len(parts.topology))
    first = parts.vertex_counts[0]
    still = np.zeros(first, np.float32)  # a surface at rest has no motion and no experts
    summary = {name: value for name, value in job.summary.items() if name not in _TIME}
    metadata = {"program": "moedsr", "version": __version__, "options": job.options, **summary}
    arrays = {
        "times": times,
        "fluctuation": still,
        "mean_displacement": still,
        "expert": np.zeros((first, 0), np.float32),
        **parts.attributes,
        "format": np.array(FORMAT),
        "metadata": np.array(json.dumps(metadata)),
        "vertex_counts": np.array(parts.vertex_counts),
        "face_counts": np.array(parts.face_counts),
        "topology": np.array(parts.topology),
    }
    if "time" in job.summary:
        lags = config_from_dict(TimeMap, job.summary["time"]).to_ps(times)
        if lags is not None:
            arrays["lags_ps"] = lags
    return arrays


@contextmanager
def _growing(folder: Path) -> Iterator[dict[str, IO[bytes]]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(tempfile.TemporaryFile(dir=folder))
            for name in (*_COLUMNS, "faces")
        }


def _copy(
    archive: zipfile.ZipFile, name: str, source: IO[bytes], shape: tuple[int, ...], dtype: str
) -> None:
    """Add an array whose bytes are in a file."""
    source.seek(0)
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        shutil.copyfileobj(source, member, 1 << 20)
