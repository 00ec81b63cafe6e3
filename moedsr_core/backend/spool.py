"""What a job has made so far, on disk, so that it can be read again from any frame."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moedsr_core.backend.wire import ATTRIBUTE_DTYPES, FRAME_DTYPES, pack_arrays
from moedsr_core.errors import BackendError, InputError
from moedsr_core.files import whole_file


@dataclass(frozen=True, kw_only=True)
class Record:
    """One npz file of a spool."""

    index: int | None
    """Frame that it holds; None for attributes."""
    path: Path
    """Where it lies."""
    size: int
    """Its length [bytes]."""


class Spool:
    """Records of one job in the order in which they are streamed, one file each.

    A file appears whole or not at all. Faces are written only where they differ from those of
    the frame before.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: list[Record] = []
        self.n_frames = 0
        self._faces: np.ndarray | None = None
        with _disk_errors(folder):
            folder.mkdir(parents=True)

    def add_frame(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Append the next frame.

        Args:
            arrays: ``vertices`` [Å], ``normals``, ``displacement`` [Å] and ``faces``, which may
                be left out where they are those of the frame before.

        Raises:
            BackendError: If the file cannot be written.
        """
        arrays = dict(arrays)
        faces = arrays.get("faces")
        if faces is not None and self._faces is not None and np.array_equal(faces, self._faces):
            del arrays["faces"]
        self._add(
            f"frame_{self.n_frames:05d}.npz", self.n_frames, pack_arrays(arrays, FRAME_DTYPES)
        )
        self._faces = self._faces if faces is None else faces
        self.n_frames += 1

    def add_attributes(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Append arrays that belong to the vertices of the first frame.

        Raises:
            BackendError: If the file cannot be written.
        """
        name = f"attributes_{len(self.records) - self.n_frames}.npz"
        self._add(name, None, pack_arrays(arrays, ATTRIBUTE_DTYPES))

    def remove(self) -> None:
        """Delete everything; a file that is being read on Windows goes with the parent folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _add(self, name: str, index: int | None, data: bytes) -> None:
        path = self.folder / name
        with _disk_errors(path):
            with whole_file(path) as file:
                file.write(data)
        self.records.append(Record(index=index, path=path, size=len(data)))


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, InputError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        reason = getattr(cause, "strerror", None) or cause
        raise BackendError(
            f"could not write {path} ({reason}); free some space there or start "
            "the backend with another --jobs-dir"
        ) from error
