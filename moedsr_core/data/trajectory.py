"""Frames as a trajectory file holds them: heavy atoms of the polymer, time stamps and box."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import mdtraj
import numpy as np
from jaxtyping import Float

from moedsr_core.errors import InputError
from moedsr_core.structure import Structure, polymer_heavy_atoms
from moedsr_core.structure_io import read_structure, reading
from moedsr_core.wording import counted

_SMALLEST_BOX = 12.0
"""Boxes narrower than this [Å] are placeholders, such as the 1 Å cube of the PDB format."""


@dataclass(frozen=True)
class RawFrames:
    """What a trajectory file says, in file order.

    Attributes:
        structure: The first frame, heavy atoms of the polymer.
        coords: Every frame, as written [Å].
        stamps: Time stamps as written [ps].
        box: Edge vectors of the periodic box of every frame, as rows [Å]; None where there is none.
        notes: What is odd about the file; one sentence each.
    """

    structure: Structure
    coords: Float[np.ndarray, "frames atoms 3"]
    stamps: Float[np.ndarray, " frames"]
    box: Float[np.ndarray, "frames 3 3"] | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.coords)


def read_frames(topology: str | Path, trajectory: str | Path) -> RawFrames:
    """Read all frames of one trajectory.

    Raises:
        InputError: If a file is missing or damaged, topology and trajectory differ in atoms, or
            the file holds fewer than two frames.
    """
    first = read_structure(trajectory, topology=topology)
    _refuse_cut_xtc(Path(trajectory))
    with reading(Path(trajectory), len(first)):
        frames = mdtraj.load(
            str(trajectory), top=str(topology), atom_indices=_polymer_indices(first)
        )
        box = frames.unitcell_vectors
    if len(frames) < 2:
        raise InputError(
            f"{trajectory} holds {counted(len(frames), 'frame')}; motion needs at least two"
        )
    return RawFrames(
        structure=polymer_heavy_atoms(first),
        coords=np.multiply(frames.xyz, 10.0, out=frames.xyz),
        stamps=np.asarray(frames.time, np.float64),
        box=None if box is None else _usable_box(10.0 * np.asarray(box, np.float64)),
        notes=_cut_dcd_notes(Path(trajectory), len(frames)),
    )


def _refuse_cut_xtc(path: Path) -> None:
    """Refuse an XTC file with a torn word at its end, which its readers pass over.

    XTC is made of words of four bytes (External Data Representation, RFC 4506 section 3).
    """
    if path.suffix.lower() == ".xtc" and path.stat().st_size % 4:
        raise InputError(f"{path} could not be read: it breaks off in the middle of a frame")


def _cut_dcd_notes(path: Path, n_frames: int) -> tuple[str, ...]:
    """Say where a DCD file holds fewer frames than its header promises."""
    if path.suffix.lower() != ".dcd":
        return ()
    with path.open("rb") as file:
        head = file.read(12)
    order: Literal["little", "big"] = "little" if head[0] else "big"
    promised = int.from_bytes(head[8:12], order)
    if promised <= n_frames:
        return ()
    return (
        f"the file's header promises {promised} frames but it holds {n_frames}; "
        "it may have been cut off",
    )


def _usable_box(box: Float[np.ndarray, "frames 3 3"]) -> Float[np.ndarray, "frames 3 3"] | None:
    """The box, unless it is flat, absurdly small or not a number in any frame."""
    if not np.isfinite(box).all():
        return None
    widths = np.linalg.svd(box, compute_uv=False)
    return None if widths.min() < _SMALLEST_BOX else box


def _polymer_indices(structure: Structure) -> np.ndarray:
    """Where the atoms that :func:`polymer_heavy_atoms` keeps stand in a structure."""
    numbers = np.zeros((len(structure), 3))
    numbers[:, 0] = np.arange(len(structure))
    return polymer_heavy_atoms(structure.with_coords(numbers)).coords[:, 0].astype(int)
