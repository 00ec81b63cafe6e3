"""Structures from files: PDB, mmCIF, and every topology and trajectory that mdtraj reads."""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mdtraj
import numpy as np
from jaxtyping import Float

from moedsr_core.atom_table import read_cif, read_pdb, refuse_frame
from moedsr_core.errors import InputError
from moedsr_core.structure import Structure, from_arrays
from moedsr_core.wording import counted

_OWN_READERS = {
    ".pdb": read_pdb, ".ent": read_pdb, ".pdb.gz": read_pdb, ".ent.gz": read_pdb,
    ".cif": read_cif, ".mmcif": read_cif, ".cif.gz": read_cif, ".mmcif.gz": read_cif,
}  # fmt: skip
STRUCTURE_SUFFIXES = tuple(_OWN_READERS)
"""Endings of PDB and mmCIF files."""
_WITH_TOPOLOGY = frozenset({".gro", ".h5", ".hdf5", ".lh5", ".mol2", ".hoomdxml", ".gsd", ".arc"})
"""Formats that name their atoms as well as placing them."""
_READ_WHOLE = frozenset({".gro", ".mol2", ".hoomdxml", ".rst7", ".restrt", ".inpcrd", ".ncrst"})
"""Formats of which mdtraj cannot read one frame by itself."""


def read_structure(
    path: str | Path, *, topology: str | Path | None = None, frame: int = 0
) -> Structure:
    """One frame of a structure file or trajectory.

    Of alternate locations each residue keeps the most occupied, else the first. Insertion codes
    become part of ``residue_ids``. Atoms stay in file order; nothing else is left out.

    Args:
        path: PDB, mmCIF (either may be gzipped), or any structure or trajectory mdtraj reads.
        topology: File that names the atoms, where ``path`` holds coordinates only.
        frame: Model or frame, counted from 0.

    Raises:
        InputError: If a file is missing, unreadable or of another format, the frame does not
            exist, topology and coordinates differ in atoms, there are more than
            :data:`structure.MAX_ATOMS` atoms, or a coordinate is not a finite number.
    """
    path = _checked(path)
    if frame < 0:
        raise InputError(f"frames are numbered from 0, got {frame}")
    if topology is None:
        return _self_described(path, frame)
    atoms = _atoms_of(_checked(topology))
    if _suffix(path) in _OWN_READERS:
        coords = _own(path, frame).coords
    else:
        coords = _trajectory_coords(path, _bare_topology(len(atoms)), frame)
    if len(coords) != len(atoms):
        raise InputError(_mismatch(path, len(coords), len(atoms)))
    return atoms.with_coords(coords)


def from_mdtraj(topology: mdtraj.Topology, coords: Float[np.ndarray, "atoms 3"]) -> Structure:
    """Structure from an mdtraj topology and positions [Å].

    Raises:
        InputError: If they differ in atoms, or the coordinates are unusable.
    """
    atoms = list(topology.atoms)
    residues = [atom.residue for atom in atoms]
    return from_arrays(
        coords,
        elements=[getattr(atom.element, "symbol", "") for atom in atoms],
        atom_names=[atom.name for atom in atoms],
        residue_names=[residue.name for residue in residues],
        residue_ids=[str(residue.resSeq) for residue in residues],
        chain_ids=[residue.chain.chain_id or residue.segment_id or "" for residue in residues],
        residue_index=[residue.index for residue in residues],
    )


def _self_described(path: Path, frame: int) -> Structure:
    suffix = _suffix(path)
    if suffix in _OWN_READERS:
        return _own(path, frame)
    if suffix not in _WITH_TOPOLOGY:
        if suffix in mdtraj.FormatRegistry.loaders:
            raise InputError(f"{path} holds coordinates only; give its topology file too")
        raise InputError(
            f"{path} is of no known format; give PDB, mmCIF, or a topology and trajectory"
        )
    with reading(path):
        names = mdtraj.load_topology(str(path))
    return from_mdtraj(names, _trajectory_coords(path, names, frame))


def _atoms_of(path: Path) -> Structure:
    """Atoms that a topology file names; the positions are zero where it has none."""
    if _suffix(path) in _OWN_READERS:
        return _own(path, 0)
    with reading(path):
        names = mdtraj.load_topology(str(path))
    return from_mdtraj(names, np.zeros((names.n_atoms, 3)))


def _own(path: Path, frame: int) -> Structure:
    try:
        return _OWN_READERS[_suffix(path)](path, frame)
    except InputError:
        raise
    except (OSError, EOFError, zlib.error) as err:
        raise InputError(_unreadable(path, err)) from err


def _trajectory_coords(
    path: Path, topology: mdtraj.Topology, frame: int
) -> Float[np.ndarray, "atoms 3"]:
    """Positions [Å] of one frame, by mdtraj."""
    n_frames = _count_frames(path)
    if n_frames is not None:
        refuse_frame(path, frame, n_frames)
    suffix = _suffix(path)
    named = {} if suffix in _WITH_TOPOLOGY else {"top": topology}
    with reading(path, topology.n_atoms):
        if suffix in _READ_WHOLE:
            trajectory = mdtraj.load(str(path), **named)
            refuse_frame(path, frame, trajectory.n_frames)
            coords_nm = trajectory.xyz[frame]
        else:
            trajectory = mdtraj.load_frame(str(path), frame, **named)
            if trajectory.n_frames == 0:
                raise InputError(f"{path} ends before frame {frame}; frames are numbered from 0")
            coords_nm = trajectory.xyz[0]
    return 10.0 * coords_nm.astype(np.float64)


def _count_frames(path: Path) -> int | None:
    """Number of frames, where the format tells it without reading them all."""
    try:
        with _quiet(), mdtraj.open(str(path)) as stream:
            return len(stream)
    except Exception:
        return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep mdtraj's advice on faster libraries and guessed cells from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _bare_topology(n_atoms: int) -> mdtraj.Topology:
    """A topology that only counts: the names come from our own reader."""
    topology = mdtraj.Topology()
    residue = topology.add_residue("UNK", topology.add_chain())
    for _ in range(n_atoms):
        topology.add_atom("X", None, residue)
    return topology


@contextmanager
def reading(path: Path, n_atoms: int | None = None) -> Iterator[None]:
    """Turn whatever mdtraj raises, which may be anything, into one sentence about the file.

    Its warnings are kept from the user: advice on faster libraries, guessed unit cells.

    Raises:
        InputError: In place of any exception.
    """
    try:
        with _quiet():
            yield
    except InputError:
        raise
    except Exception as err:
        other = re.search(r"You supplied +\(\d+, (\d+), 3\)", str(err))
        if other and n_atoms is not None:
            raise InputError(_mismatch(path, int(other[1]), n_atoms)) from err
        raise InputError(_unreadable(path, err)) from err


def _checked(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if path.is_dir():
        raise InputError(f"expected a structure file, got the folder {path}")
    if not path.exists():
        raise InputError(f"there is no file {path}; check the path")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; give a structure file")
    return path


def _suffix(path: Path) -> str:
    """Ending of a file name in lower case, with what precedes a ``.gz``."""
    endings = [ending.lower() for ending in path.suffixes[-2:]]
    return "".join(endings) if endings[-1:] == [".gz"] else "".join(endings[-1:])


def _unreadable(path: Path, err: Exception) -> str:
    reason = " ".join(str(err).split()) or type(err).__name__
    return f"{path} could not be read; it may be damaged or of another format ({reason[:200]})"


def _mismatch(path: Path, n_coords: int, n_atoms: int) -> str:
    return (
        f"{path} places {counted(n_coords, 'atom')} but the topology names {n_atoms}; "
        "give the topology that the trajectory was written with"
    )
