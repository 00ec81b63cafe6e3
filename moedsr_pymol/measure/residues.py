"""Which residue each point of a surface belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..atoms import Atoms, polymer_atoms
from ..errors import UserError
from ..surface import Surface

_PER_ATOM = (
    "coords", "elements", "atom_names", "residue_names", "residue_ids", "chain_ids",
    "residue_index",
)  # fmt: skip


@dataclass(frozen=True)
class Residues:
    """Residues of the atoms that a surface was made of.

    Attributes:
        chain: Chain of each; its segment where there is no chain.
        resi: Number and insertion code of each.
        resn: Name of each.
        of_atom: Residue of every atom, from 0.
    """

    chain: np.ndarray
    resi: np.ndarray
    resn: np.ndarray
    of_atom: np.ndarray

    @property
    def names(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Chain, number and name of each."""
        return self.chain, self.resi, self.resn

    def of_points(self, surface: Surface, k: int) -> np.ndarray:
        """Residue nearest to each point of frame ``k``.

        Raises:
            UserError: If the surface does not know its points' atoms.
        """
        atom = surface.at_vertices("atom", k)
        if atom is None:
            raise UserError(
                f"'{surface.name}' does not say which atom its points belong to; predict it again"
            )
        return self.of_atom[atom]


def residues_of(surface: Surface, _self: Any) -> Residues:
    """Residues under a surface, read anew from its molecule where they are not known.

    Raises:
        UserError: If its molecule is gone, or is not the one that it was made of.
    """
    atoms = atoms_of(surface, _self)
    first = np.unique(atoms.residue_index, return_index=True)[1]
    return Residues(
        chain=atoms.chain_ids[first],
        resi=atoms.residue_ids[first],
        resn=atoms.residue_names[first],
        of_atom=np.unique(atoms.residue_index, return_inverse=True)[1],
    )


def atoms_of(surface: Surface, _self: Any) -> Atoms:
    """Atoms that a surface was made of.

    A surface of an earlier session knows their chains alone. It was made of its molecule's
    polymer, or of some chains of it, if their atoms are as many and lie in the same chains.

    Raises:
        UserError: If its molecule is gone, or is not the one that it was made of.
    """
    known = surface.atoms
    if isinstance(known, Atoms):
        return known
    name = known.object_name
    if not name or name not in _self.get_names("objects"):
        there = f"'{name}' is not there any more" if name else "its molecule is not known"
        raise UserError(
            f"the residues of '{surface.name}' cannot be told, for {there}; load the molecule and "
            "fetch the surface again with object=NAME"
        )
    state = min(known.state, max(_self.count_states(name), 1))
    whole = polymer_atoms(name, state, _self)
    chosen = _in_chains(whole, set(known.chain_ids.tolist()))
    if len(known.chain_ids) and np.array_equal(chosen.chain_ids, known.chain_ids):
        return chosen
    raise UserError(
        f"'{name}' holds other atoms than '{surface.name}' was made of ({len(chosen.chain_ids):,} "
        f"in place of {len(known.chain_ids):,}), so its residues cannot be told; predict it again"
    )


def _in_chains(atoms: Atoms, chains: set[str]) -> Atoms:
    kept = np.array([chain in chains for chain in atoms.chain_ids.tolist()], bool)
    return replace(atoms, **{name: getattr(atoms, name)[kept] for name in _PER_ATOM})


def residue_selection(molecule: str, chain: str, resi: str) -> str:
    """PyMOL's selection of one residue.

    Args:
        molecule: The object; empty for any.
        chain: Its chain, or its segment where it has no chain.
        resi: Its number and insertion code.
    """
    chain = re.sub(r"([+*])", r"\\\1", chain)  # which part lists, and match any letters
    place = f'(chain "{chain}" or (chain "" and segi "{chain}"))' if chain else 'chain ""'
    number = f"\\{resi}" if resi.startswith("-") else resi
    within = f"({molecule}) and " if molecule else ""
    return f"{within}{place} and resi {number}"
