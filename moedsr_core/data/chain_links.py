"""Where residues hang together, and where a chain is broken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from moedsr_core.structure import Structure
from moedsr_core.wording import counted

_LINKS = (("C", "N", 2.5), ("CA", "CA", 4.5), ("O3'", "P", 2.5), ("O3*", "P", 2.5))
"""Atoms that join a residue to the next, and how far apart they may be [Å].

Peptide bonds are 1.33 Å and phosphodiester bonds 1.61 Å long, and Cα of neighbours lie 3.8 Å apart
(Engh and Huber 1991, doi:10.1107/S0108767391001071); the rest is room for heat.
"""
_ANCHORS = ("CA", "C1'", "C1*", "C", "P")
"""Atoms that stand for their residue, the first that it has."""
_NAMED = 4
"""Broken links that are named one by one."""


@dataclass(frozen=True)
class Links:
    """Neighbours along the chains.

    Attributes:
        first: Atom on the earlier residue of each link.
        second: Atom on the later residue.
        limit: How far apart they may be [Å].
    """

    first: Int[np.ndarray, " links"]
    second: Int[np.ndarray, " links"]
    limit: Float[np.ndarray, " links"]

    def lengths(
        self, coords: Float[np.ndarray, "frames atoms 3"]
    ) -> Float[np.ndarray, "frames links"]:
        """Length of every link in every frame [Å]."""
        return np.linalg.norm(coords[:, self.second] - coords[:, self.first], axis=-1)


def backbone_links(structure: Structure) -> Links:
    """Links between residues that follow each other in one chain."""
    joined = same_chain(structure)
    first = np.full(len(joined), -1)
    second, limit = first.copy(), np.zeros(len(joined))
    for name, next_name, length in _LINKS:
        here, there = _atom_of(structure, name)[:-1], _atom_of(structure, next_name)[1:]
        new = joined & (first < 0) & (here >= 0) & (there >= 0)
        first[new], second[new], limit[new] = here[new], there[new], length
    found = first >= 0
    return Links(first[found], second[found], limit[found])


def same_chain(structure: Structure) -> Bool[np.ndarray, " pairs"]:
    """Whether each residue and the next belong to one chain."""
    _, atoms = np.unique(structure.residue_index, return_index=True)
    chains = structure.chain_ids[atoms]
    return np.asarray(chains[1:] == chains[:-1], bool)


def anchor_atoms(structure: Structure) -> Int[np.ndarray, " residues"]:
    """One atom that stands for each residue: Cα, C1', or the first it has."""
    _, anchors = np.unique(structure.residue_index, return_index=True)
    for name in reversed(_ANCHORS):
        named = _atom_of(structure, name)
        anchors = np.where(named >= 0, named, anchors)
    return anchors


def chain_breaks(structure: Structure, coords: Float[np.ndarray, "frames atoms 3"]) -> list[str]:
    """Say where neighbours in a chain are not joined in the first frame, or come apart later.

    Args:
        structure: Names the atoms.
        coords: Frames [Å].
    """
    links = backbone_links(structure)
    lengths = links.lengths(coords)
    apart = np.flatnonzero((lengths > links.limit).any(axis=0))
    notes = [_describe(structure, links, lengths, k) for k in apart[:_NAMED].tolist()]
    if len(apart) > _NAMED:
        more = counted(
            len(apart) - _NAMED, "more link between residues is", "more links between residues are"
        )
        notes.append(f"{more} broken")
    return notes


def residue_label(structure: Structure, atom: int) -> str:
    """Chain, name and number of an atom's residue."""
    parts = (structure.chain_ids[atom], structure.residue_names[atom], structure.residue_ids[atom])
    return " ".join(str(part) for part in parts if str(part))


def _describe(
    structure: Structure, links: Links, lengths: Float[np.ndarray, "frames links"], k: int
) -> str:
    here, there = int(links.first[k]), int(links.second[k])
    names = f"{structure.atom_names[here]}-{structure.atom_names[there]}"
    where = f"{residue_label(structure, here)} and {residue_label(structure, there)}"
    broken = lengths[:, k] > links.limit[k]
    if broken.all():
        return f"the chain is broken between {where} ({names} {lengths[0, k]:.1f} Å)"
    return (
        f"the chain comes apart between {where} in {broken.sum()} of {len(broken)} frames "
        f"({names} up to {lengths[:, k].max():.1f} Å)"
    )


def _atom_of(structure: Structure, name: str) -> Int[np.ndarray, " residues"]:
    """Index of the atom of this name in every residue; -1 where there is none."""
    found = np.flatnonzero(structure.atom_names == name)[::-1]
    index = np.full(structure.n_residues, -1)
    index[structure.residue_index[found]] = found
    return index
