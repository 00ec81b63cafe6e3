"""One conformation of a molecule, and how it is read.

Coordinates are Å; the readers (:mod:`moedsr_core.structure_io`) convert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from moedsr_core.chemistry import (
    ELEMENTS,
    POLYMER_ELEMENTS,
    UNKNOWN_ELEMENT,
    guess_element,
    is_polymer_residue,
    residue_kind,
    side_chain_depth,
    vdw_radii,
)
from moedsr_core.errors import InputError
from moedsr_core.wording import counted

MAX_ATOMS = 60_000
"""Largest molecule that is taken on; a ribosomal subunit passes it, a solvated box may not."""
_LEAST_PER_RESIDUE = 3.5
"""Heavy atoms per residue below which a polymer is a trace; glycine has four."""
_COINCIDENT = 0.05
"""Atoms nearer to each other than this are at one place [Å]."""
_FEW = 0.02
"""Share of atoms at one place with another that a careless file may have."""


@dataclass(frozen=True)
class Structure:
    """Atoms of one conformation, in file order.

    Attributes:
        coords: Positions [Å], float64.
        elements: Element symbols in capitals (``"C"``, ``"ZN"``).
        atom_names: Atom names (``"CA"``).
        residue_names: Residue name of every atom (``"LYS"``).
        residue_ids: Label of every atom's residue: number and insertion code (``"52A"``).
        chain_ids: Chain of every atom; may be empty strings.
        residue_index: 0-based residue of every atom, consecutive along the atoms.
    """

    coords: Float[np.ndarray, "atoms 3"]
    elements: np.ndarray
    atom_names: np.ndarray
    residue_names: np.ndarray
    residue_ids: np.ndarray
    chain_ids: np.ndarray
    residue_index: Int[np.ndarray, " atoms"]

    def __post_init__(self) -> None:
        """Refuse arrays that do not describe the same, finite, not too many atoms."""
        n = len(self.coords)
        if self.coords.shape != (n, 3):
            raise InputError(
                f"coordinates must be three numbers for each atom, got shape {self.coords.shape}"
            )
        refuse_too_many(n)
        for name in (
            "elements", "atom_names", "residue_names", "residue_ids", "chain_ids", "residue_index",
        ):  # fmt: skip
            if len(getattr(self, name)) != n:
                raise InputError(
                    f"{name} must name all {n} atoms, got {len(getattr(self, name))} entries"
                )
        if not np.isfinite(self.coords).all():
            bad = int((~np.isfinite(self.coords).all(axis=1)).sum())
            raise InputError(
                f"coordinates must be finite numbers; {bad} of {n} atoms hold NaN or infinity"
            )
        self._refuse_residue_gaps()

    def _refuse_residue_gaps(self) -> None:
        index = self.residue_index
        if len(index) and (index.min() < 0 or (np.bincount(index) == 0).any()):
            raise InputError(
                "residue_index must number residues 0, 1, 2 … without a gap, got "
                f"{index.min()} to {index.max()} with {len(np.unique(index))} different values"
            )

    def __len__(self) -> int:
        """Number of atoms."""
        return len(self.coords)

    def select(self, mask: Bool[np.ndarray, " atoms"]) -> Structure:
        """The atoms where ``mask`` is true, with residues numbered anew."""
        _, index = np.unique(self.residue_index[mask], return_inverse=True)
        return replace(
            self,
            coords=self.coords[mask],
            elements=self.elements[mask],
            atom_names=self.atom_names[mask],
            residue_names=self.residue_names[mask],
            residue_ids=self.residue_ids[mask],
            chain_ids=self.chain_ids[mask],
            residue_index=index,
        )

    def with_coords(self, coords: Float[np.ndarray, "atoms 3"]) -> Structure:
        """The same molecule in another conformation [Å]."""
        return replace(self, coords=np.asarray(coords, np.float64))

    @property
    def n_residues(self) -> int:
        """Number of residues."""
        return int(self.residue_index.max()) + 1 if len(self) else 0

    @property
    def radii(self) -> Float[np.ndarray, " atoms"]:
        """Van der Waals radii [Å]."""
        return vdw_radii(self.elements)

    @property
    def is_hydrogen(self) -> Bool[np.ndarray, " atoms"]:
        """Which atoms are hydrogen or deuterium."""
        return np.isin(self.elements, ("H", "D"))

    @property
    def depths(self) -> Int[np.ndarray, " atoms"]:
        """Bonds between each atom and its backbone (:func:`chemistry.side_chain_depth`)."""
        return side_chain_depth(self.atom_names)

    @property
    def residue_kinds(self) -> Int[np.ndarray, " residues"]:
        """Index of each residue's name in :data:`chemistry.RESIDUE_KINDS`."""
        return residue_kind(self.residue_names[self._first_atoms])

    @property
    def residue_positions(self) -> Float[np.ndarray, "residues 3"]:
        """Cα of each residue [Å]; C1' or the centroid where there is none."""
        counts = np.bincount(self.residue_index)
        positions = np.stack(
            [np.bincount(self.residue_index, self.coords[:, k]) / counts for k in range(3)], axis=1
        )
        for name in ("C1*", "C1'", "CA"):
            found = (self.atom_names == name) & (self.elements == "C")
            positions[self.residue_index[found]] = self.coords[found]
        return positions

    @property
    def is_polymer(self) -> Bool[np.ndarray, " atoms"]:
        """Which atoms belong to protein or nucleic acid, modified residues and caps included."""
        unique, inverse = np.unique(self.residue_names, return_inverse=True)
        known = np.array([is_polymer_residue(name) for name in unique], bool)[inverse]
        index = self.residue_index
        has = [np.isin(index, index[self.atom_names == name]) for name in ("N", "CA", "C")]
        return known | np.logical_and.reduce(has)

    @property
    def polymer(self) -> Structure:
        """The heavy atoms of the polymer (:func:`polymer_heavy_atoms`)."""
        return polymer_heavy_atoms(self)

    @property
    def _first_atoms(self) -> Int[np.ndarray, " residues"]:
        return np.unique(self.residue_index, return_index=True)[1]


def polymer_heavy_atoms(structure: Structure) -> Structure:
    """Heavy atoms of protein and nucleic acid, without water, ions, ligands and virtual sites.

    A residue belongs to the polymer if its name is an amino acid's, a nucleotide's, a modified
    form's or a cap's, or if it has atoms N, CA and C.

    Raises:
        InputError: If there is none.
    """
    return structure.select(polymer_heavy_mask(structure))


def polymer_heavy_mask(structure: Structure) -> Bool[np.ndarray, " atoms"]:
    """Which atoms :func:`polymer_heavy_atoms` takes.

    Raises:
        InputError: If there is none.
    """
    light = structure.is_hydrogen | (structure.elements == UNKNOWN_ELEMENT)
    mask = structure.is_polymer & ~light
    if not mask.any():
        raise InputError(
            f"expected protein or nucleic acid, got {counted(len(structure), 'atom')} without any; "
            "load or select a polymer"
        )
    return mask


def check_complete(polymer: Structure) -> None:
    """Refuse atoms that enclose no molecule.

    Raises:
        InputError: If most heavy atoms are missing, as in a Cα trace, or many lie on each other.
    """
    per_residue = len(polymer) / polymer.n_residues
    if polymer.n_residues > 2 and per_residue < _LEAST_PER_RESIDUE:
        raise InputError(
            f"expected all heavy atoms of the polymer, got {len(polymer)} in "
            f"{counted(polymer.n_residues, 'residue')}; rebuild the missing ones first, for "
            "example with PDBFixer"
        )
    if len(polymer) < 2:
        return
    from scipy.spatial import cKDTree  # a quarter of the start of a server

    apart, _ = cKDTree(polymer.coords).query(polymer.coords, k=[2])
    together = int((apart < _COINCIDENT).sum())
    if together > _FEW * len(polymer):
        raise InputError(
            f"expected atoms at different places, got {together} of {len(polymer)} that lie on "
            "another one; remove the duplicates"
        )


def from_arrays(
    coords: Float[np.ndarray, "atoms 3"],
    *,
    elements: Sequence[str] | np.ndarray | None = None,
    atom_names: Sequence[str] | np.ndarray | None = None,
    residue_names: Sequence[str] | np.ndarray | None = None,
    residue_ids: Sequence[str] | np.ndarray | None = None,
    chain_ids: Sequence[str] | np.ndarray | None = None,
    residue_index: Sequence[int] | np.ndarray | None = None,
) -> Structure:
    """Structure from what is known of its atoms.

    Elements that are missing, unknown, or impossible in an amino acid or nucleotide are guessed
    from the atom names; without names every atom is a carbon. A new residue begins where chain,
    residue label or residue name change.

    Args:
        coords: Positions [Å].
        elements: Element symbols, in any case; empty strings where unknown.
        atom_names: Atom names; by default the elements.
        residue_names: Residue names; by default ``UNK``.
        residue_ids: Residue number and insertion code; by default ``1``.
        chain_ids: Chains; by default empty.
        residue_index: 0-based residue of every atom.

    Raises:
        InputError: If the arrays disagree in length or the coordinates are unusable.
    """
    coords = np.asarray(coords, np.float64)
    n = len(coords)
    symbols = np.char.upper(_labels("elements", elements, "C" if atom_names is None else "", n))
    names = symbols if atom_names is None else _labels("atom_names", atom_names, "", n)
    residues = _labels("residue_names", residue_names, "UNK", n)
    ids = _labels("residue_ids", residue_ids, "1", n)
    chains = _labels("chain_ids", chain_ids, "", n)
    if residue_index is None:
        index = _residue_index(chains, ids, residues)
    else:
        index = np.asarray(residue_index, np.int64)
        if index.shape != (n,):
            raise InputError(f"residue_index must name all {n} atoms, got shape {index.shape}")
    given = Structure(coords, symbols, names, residues, ids, chains, index)
    return replace(given, elements=_complete_elements(given))


def refuse_too_many(n_atoms: int) -> None:
    """Raise InputError where a molecule passes :data:`MAX_ATOMS`."""
    if n_atoms > MAX_ATOMS:
        raise InputError(
            f"a structure may hold up to {MAX_ATOMS:,} atoms, got at least {n_atoms:,}; "
            "leave out solvent or select fewer chains"
        )


def _labels(
    field: str, values: Sequence[str] | np.ndarray | None, default: str, n: int
) -> np.ndarray:
    if values is None:
        return np.full(n, default, dtype="U4")
    labels = np.char.strip(np.asarray(values, dtype=str))
    if labels.shape != (n,):
        raise InputError(f"{field} must name all {n} atoms, got shape {labels.shape}")
    return labels


def _residue_index(*labels: np.ndarray) -> Int[np.ndarray, " atoms"]:
    n = len(labels[0])
    change = np.zeros(n, bool)
    for column in labels:
        change[1:] |= column[1:] != column[:-1]
    return np.cumsum(change)


def _complete_elements(structure: Structure) -> np.ndarray:
    """Elements with the missing and the impossible ones guessed from the atom names."""
    out, organic = structure.elements.astype("U2"), structure.is_polymer
    single = np.bincount(structure.residue_index)[structure.residue_index] == 1
    unknown = ~np.isin(out, [*ELEMENTS, UNKNOWN_ELEMENT])
    for i in np.flatnonzero(unknown | (organic & ~np.isin(out, list(POLYMER_ELEMENTS)))):
        name, residue = str(structure.atom_names[i]), str(structure.residue_names[i])
        alone = bool(single[i]) and residue.upper().startswith(name.upper().rstrip("0123456789+-"))
        out[i] = guess_element(name, organic=bool(organic[i]), alone=alone)
    return out
