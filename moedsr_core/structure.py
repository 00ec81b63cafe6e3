"""One conformation of a molecule, and how it is read.

Coordinates are Å; the readers convert.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from moedsr_core.chemistry import residue_kind, side_chain_depth, vdw_radii
from moedsr_core.errors import InputError


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
        """Refuse arrays that do not describe the same, finite atoms."""
        n = len(self.coords)
        for name in (
            "elements", "atom_names", "residue_names", "residue_ids", "chain_ids", "residue_index",
        ):  # fmt: skip
            if len(getattr(self, name)) != n:
                raise InputError(
                    f"{name} must name all {n} atoms, got {len(getattr(self, name))} entries"
                )
        if not np.isfinite(self.coords).all():
            bad = int((~np.isfinite(self.coords).all(axis=1)).sum())
            raise InputError(f"coordinates must be finite numbers; {bad} of {n} atoms hold NaN")

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
        for name in ("C1'", "CA"):
            found = (self.atom_names == name) & (self.elements == "C")
            positions[self.residue_index[found]] = self.coords[found]
        return positions

    @property
    def _first_atoms(self) -> Int[np.ndarray, " residues"]:
        return np.unique(self.residue_index, return_index=True)[1]
