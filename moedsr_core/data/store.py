"""Prepared surfaces: one HDF5 file per ensemble and replicate, read frame by frame.

Points are float16 in units of Ω: their error is at most half a unit in the last place, 2⁻¹² of Ω
where |x| ≥ 1/2, which is 0.008 Å at 32 Å per unit. Normals are int8 per component and are
normalised anew when read: they turn by at most √3/2 / 127 = 0.4°. The order of the points within
a frame is random, so that any first n of them are spread evenly too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float

from moedsr_core.data.journal import differences
from moedsr_core.data.store_format import FORMAT, FORMAT_NUMBER, StoreInfo
from moedsr_core.data.store_writer import StoreWriter
from moedsr_core.errors import InputError
from moedsr_core.structure import Structure
from moedsr_core.wording import reason

__all__ = ["StoreInfo", "StoreWriter", "SurfaceStore", "is_finished", "open_store"]

_DAMAGE = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError)
"""What reading a damaged or foreign HDF5 file may raise."""


class SurfaceStore:
    """Surfaces and atoms of every frame, in the canonical pose of frame 0.

    All frames are superposed on frame 0 by Cα. Open one per process; sent to another process, it
    opens the file there anew.

    Attributes:
        path: The file.
        name: Ensemble.
        replicate: Which of several independent trajectories; None where there is one.
        structure: Frame 0, heavy polymer atoms, canonical pose [Å].
        scale: Length of one unit of Ω [Å].
        lags_ps: Time of every frame after the first [ps].
        frames: Number of frames.
        points: Surface points of each frame.
        recipe: What the frames were made from and how.
        versions: Of the programs that made them.

    Raises:
        InputError: If the file is missing, damaged, foreign, or of a newer format.
    """

    name: str
    replicate: str | None
    structure: Structure
    scale: float
    lags_ps: Float[np.ndarray, " frames"]
    frames: int
    points: int
    recipe: dict
    versions: dict[str, str]

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"there is no store {self.path}; make it with prepare_atlas.py")
        try:
            # A finished store never changes, and some cluster file systems have no locks.
            self._file = h5py.File(self.path, "r", locking=False)
        except OSError as error:
            raise _unusable(self.path, error) from error
        try:
            self._read_head()
        except InputError:
            self.close()
            raise
        except _DAMAGE as error:
            self.close()
            raise _unusable(self.path, error) from error

    def _read_head(self) -> None:
        head = self._file.attrs
        if head.get("format") != FORMAT:
            raise InputError(f"{self.path} holds no surfaces of ours; give a store")
        if int(head["format_number"]) > FORMAT_NUMBER:
            raise InputError(
                f"{self.path} is of format {head['format_number']}, this version reads up to "
                f"{FORMAT_NUMBER}; update moedsr"
            )
        self.name, self.replicate = str(head["name"]), str(head["replicate"]) or None
        self.scale = float(head["scale"])
        self.recipe, self.versions = json.loads(head["recipe"]), json.loads(head["versions"])
        self.lags_ps = self._file["lags_ps"][:]
        self.structure = Structure(
            **{f.name: _read_column(self._file["structure"][f.name]) for f in fields(Structure)}
        )
        self.frames, self.points = self._file["points"].shape[:2]
        expected = {
            "points": (self.frames, self.points, 3),
            "normals": (self.frames, self.points, 3),
            "coords": (self.frames, len(self.structure), 3),
            "lags_ps": (self.frames,),
        }
        for name, shape in expected.items():
            if self._file[name].shape != shape:
                raise ValueError(f"{name} of shape {self._file[name].shape} instead of {shape}")

    def __len__(self) -> int:
        """Number of frames."""
        return self.frames

    def __enter__(self) -> SurfaceStore:
        """The store itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Close the file."""
        self.close()

    def __reduce__(self) -> tuple[Callable[[Path], SurfaceStore], tuple[Path]]:
        """Another process opens the file for itself."""
        return open_store, (self.path,)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def surface(
        self, k: int
    ) -> tuple[Float[np.ndarray, "points 3"], Float[np.ndarray, "points 3"]]:
        """Points [units of Ω] and outward unit normals of a frame, float32.

        Raises:
            InputError: If there is no such frame, or it is damaged.
        """
        points = self._row("points", k).astype(np.float32)
        normals = self._row("normals", k).astype(np.float32)
        return points, normals / np.linalg.norm(normals, axis=1, keepdims=True)

    def coords(self, k: int) -> Float[np.ndarray, "atoms 3"]:
        """Atoms of a frame [Å], canonical pose, float32.

        Raises:
            InputError: If there is no such frame, or it is damaged.
        """
        return self._row("coords", k)

    def _row(self, name: str, k: int) -> np.ndarray:
        if not 0 <= k < self.frames:
            raise InputError(f"{self.path} holds frames 0 to {self.frames - 1}, not {k}")
        try:
            return self._file[name][k]
        except _DAMAGE as error:
            raise _unusable(self.path, error) from error


def open_store(path: str | Path) -> SurfaceStore:
    """Open prepared surfaces.

    Raises:
        InputError: If the file is missing, damaged, foreign, or of a newer format.
    """
    return SurfaceStore(path)


def is_finished(path: Path, recipe: dict) -> bool:
    """Whether a store is there already, made with this recipe.

    Raises:
        InputError: If a file of that name is damaged, foreign, or made with another recipe.
    """
    if not path.exists():
        return False
    with open_store(path) as store:
        if store.recipe != recipe:
            raise InputError(
                f"{path} was made with {differences(store.recipe, recipe)}; "
                "give another folder, or remove it"
            )
    return True


def _read_column(dataset: h5py.Dataset) -> np.ndarray:
    column = dataset[:]
    return np.char.decode(column, "utf-8") if column.dtype.kind == "S" else column


def _unusable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is no store, or a damaged one ({reason(error)}); prepare it anew")
