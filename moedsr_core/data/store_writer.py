"""Making a store of surfaces, frame by frame."""

from __future__ import annotations

import io
import json
import math
import os
from contextlib import AbstractContextManager
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float

from moedsr_core.data.journal import Journal
from moedsr_core.data.store_format import FORMAT, FORMAT_NUMBER, StoreInfo
from moedsr_core.errors import InputError
from moedsr_core.files import whole_file, writing
from moedsr_core.structure import Structure
from moedsr_core.versions import versions
from moedsr_core.wording import counted

_LARGEST = 127
"""int8 that a normal's component of 1 becomes."""
_FILTERS = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
"""Measured: see docs/data.md. gzip's own checksum makes damage an error, not a number."""
_PACKAGES = ("numpy", "scipy", "scikit-image", "mdtraj", "h5py")


class StoreWriter(AbstractContextManager["StoreWriter"]):
    """Makes a store, frame by frame, and goes on where an earlier writer was stopped.

    Frames are kept in ``NAME.h5.part`` beside the store, which appears once it is whole.

    Args:
        path: The store to make.
        info: What holds for all frames.
        n_points: Surface points of each frame.

    Raises:
        InputError: If the file was begun with another recipe, is in use by another process,
            damaged or foreign, or cannot be written.
    """

    def __init__(self, path: str | Path, info: StoreInfo, n_points: int) -> None:
        self.path = Path(path)
        self.info = info
        self._layout = (
            ("points", np.dtype("<f2"), (n_points, 3)),
            ("normals", np.dtype("i1"), (n_points, 3)),
            ("coords", np.dtype("<f4"), (len(info.structure), 3)),
        )
        length = sum(kind.itemsize * math.prod(shape) for _, kind, shape in self._layout)
        self._journal = Journal(part_of(self.path), info.recipe, length)

    def __exit__(self, *raised: object) -> None:
        """Let go of the unfinished store, which keeps its frames."""
        self.close()

    def close(self) -> None:
        """Let go of the unfinished store, which keeps its frames."""
        self._journal.close()

    @property
    def missing(self) -> list[int]:
        """Frames still to be appended."""
        return [k for k in range(len(self.info.lags_ps)) if k not in self._journal]

    def append(
        self,
        k: int,
        points: Float[np.ndarray, "points 3"],
        normals: Float[np.ndarray, "points 3"],
        coords: Float[np.ndarray, "atoms 3"],
    ) -> None:
        """Add a frame, in any order; once this returns, a kill does not take it away.

        Args:
            k: Frame.
            points: Surface points [units of Ω].
            normals: Outward unit normals.
            coords: Atoms [Å], canonical pose.

        Raises:
            InputError: If the frame is unknown, there already, of other shapes, not finite,
                outside Ω, without unit normals, or the disk is full.
        """
        for (name, _, shape), array in zip(self._layout, (points, normals, coords), strict=True):
            if array.shape != shape or not np.isfinite(array).all():
                raise InputError(f"{name} of frame {k} must be {shape} finite numbers")
        if k not in range(len(self.info.lags_ps)):
            raise InputError(f"frames are 0 to {len(self.info.lags_ps) - 1}, got {k}")
        if np.abs(points).max() > 1:
            raise InputError(f"frame {k} leaves Ω: a coordinate is {np.abs(points).max():.3f}")
        if np.abs(np.linalg.norm(normals, axis=1) - 1).max() > 0.01:
            raise InputError(f"normals of frame {k} must be unit vectors")
        columns = (points, np.rint(_LARGEST * normals), coords)
        body = b"".join(
            column.astype(kind).tobytes()
            for (_, kind, _), column in zip(self._layout, columns, strict=True)
        )
        self._journal.append(k, body)

    def finish(self) -> Path:
        """Gather all frames into the store and give it its name.

        Raises:
            InputError: If frames are missing, or the disk is full.
        """
        if self.missing:
            raise InputError(
                f"{self.path} still lacks {counted(len(self.missing), 'frame')}; append all"
            )
        for stale in self.path.parent.glob(f".{self.path.name}.????????"):
            stale.unlink(missing_ok=True)
        image = self._image()
        with whole_file(self.path) as file:
            file.write(image.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        self.close()
        with writing(self.path):
            part_of(self.path).unlink(missing_ok=True)
        return self.path

    def _image(self) -> io.BytesIO:
        """The HDF5 file in memory: HDF5 itself does not get over a disk that is full."""
        image = io.BytesIO()
        with h5py.File(image, "w") as file:
            self._write_head(file)
            self._write_frames(file)
        return image

    def _write_head(self, file: h5py.File) -> None:
        info = self.info
        file.attrs.update(
            format=FORMAT,
            format_number=FORMAT_NUMBER,
            name=info.name,
            replicate=info.replicate or "",
            scale=info.scale,
            recipe=json.dumps(info.recipe),
            versions=json.dumps({"hdf5": h5py.version.hdf5_version, **versions(_PACKAGES)}),
        )
        file["lags_ps"] = np.asarray(info.lags_ps, np.float64)
        group = file.create_group("structure")
        for field in fields(Structure):
            column = getattr(info.structure, field.name)
            group[field.name] = (
                np.char.encode(column, "utf-8") if column.dtype.kind == "U" else column
            )

    def _write_frames(self, file: h5py.File) -> None:
        n = len(self.info.lags_ps)
        for name, kind, shape in self._layout:
            file.create_dataset(name, (n, *shape), kind, chunks=(1, *shape), **_FILTERS)
        for k in range(n):
            body, start = self._journal.read(k), 0
            for name, kind, shape in self._layout:
                column = np.frombuffer(body, kind, math.prod(shape), start).reshape(shape)
                file[name][k] = column
                start += column.nbytes


def part_of(path: Path) -> Path:
    """Where the frames of an unfinished store are kept."""
    return path.with_name(f"{path.name}.part")
