"""Where a simulation starts: a structure file, made complete by PDBFixer."""

from __future__ import annotations

import hashlib
import io
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from moedsr_core.chemistry import parent_residue
from moedsr_core.data.chain_links import backbone_links, chain_breaks, same_chain
from moedsr_core.errors import InputError
from moedsr_core.simulation.options import PH
from moedsr_core.simulation.packages import force_field, openmm_and_pdbfixer
from moedsr_core.structure import Structure, check_complete, polymer_heavy_mask
from moedsr_core.structure_io import read_structure
from moedsr_core.wording import counted, reason

_CAPS = frozenset({"ACE", "NME"})
_WATER = frozenset({"HOH", "WAT", "DOD", "H2O", "TIP", "TIP3", "SOL"})
_NAMED = 6
"""Residues that a note names one by one."""


@dataclass(frozen=True)
class Start:
    """A complete molecule.

    Attributes:
        topology: OpenMM's, with hydrogens.
        positions: OpenMM's [nm].
        notes: What was left out, replaced or added; one sentence each.
    """

    topology: Any
    positions: Any
    notes: tuple[str, ...]

    def without_hydrogens(self) -> Start:
        """Its heavy atoms."""
        app = openmm_and_pdbfixer()[0].app
        modeller = app.Modeller(self.topology, self.positions)
        modeller.delete([atom for atom in self.topology.atoms() if _is_hydrogen(atom)])
        return Start(modeller.topology, modeller.positions, self.notes)

    def pdb_text(self) -> str:
        """As a PDB file, with the source's chains and residue numbers."""
        text = io.StringIO()
        app = openmm_and_pdbfixer()[0].app
        app.PDBFile.writeFile(self.topology, self.positions, text, keepIds=True)
        return text.getvalue()


def complete(path: Path) -> Start:
    """Read a structure file, leave out all but the polymer, and add what is missing.

    Hydrogens are all set anew, at pH 7. Missing residues are not built: the ends of a gap become
    ends of chains.

    Raises:
        InputError: If the file cannot be used, or holds residues unknown to the force field.
        BackendError: If OpenMM or PDBFixer is not installed.
    """
    openmm, pdbfixer = openmm_and_pdbfixer()
    everything = read_structure(path)
    polymer = everything.select(polymer_heavy_mask(everything))
    check_complete(polymer)
    try:
        fixer = pdbfixer.PDBFixer(
            pdbfile=io.StringIO(_pdb_text(polymer, pdbfixer)),
            platform=openmm.Platform.getPlatformByName("CPU"),
        )
        fixer.topology.setPeriodicBoxVectors(None)
        replaced = _replace_forms(fixer)
        _refuse_strangers(fixer, path)
        added = _add_atoms(fixer)
        with _same_random_numbers():
            fixer.addMissingHydrogens(PH)
        force_field().createSystem(fixer.topology)
    except (ValueError, KeyError, openmm.OpenMMException) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} cannot be simulated with amber14 ({reason(error)}); mend it or leave it out"
        ) from error
    breaks = chain_breaks(polymer, polymer.coords[None])
    ends = [f"{text}; the two ends were left open, as ends of chains" for text in breaks]
    notes = (*_left_out(everything), *replaced, *ends, *added, *_bridges(fixer.topology))
    return Start(fixer.topology, fixer.positions, notes)


def load_start(path: Path) -> Start:
    """A start that was written before (:meth:`Start.pdb_text`)."""
    file = openmm_and_pdbfixer()[0].app.PDBFile(str(path))
    return Start(file.topology, file.positions, ())


def heavy_atoms(start: Start) -> Int[np.ndarray, " heavy"]:
    """Where the heavy atoms stand among all."""
    return np.flatnonzero([not _is_hydrogen(atom) for atom in start.topology.atoms()])


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pdb_text(polymer: Structure, pdbfixer: Any) -> str:
    """The polymer as PDBFixer is to see it: gaps end chains, forms have their parents' names."""
    ends = _chain_ends(polymer)
    chains = polymer.chain_ids
    if any(len(chain) != 1 for chain in np.unique(chains)):
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        _, which = np.unique(chains, return_inverse=True)
        chains = np.array([letters[k % len(letters)] for k in which])
    lines = []
    for i, (x, y, z) in enumerate(polymer.coords):
        atom, element = str(polymer.atom_names[i]), str(polymer.elements[i])
        name = str(polymer.residue_names[i])
        known = name if name in pdbfixer.pdbfixer.substitutions else parent_residue(name)
        number, insertion = _number(str(polymer.residue_ids[i]), int(polymer.residue_index[i]))
        padded = atom if len(atom) > 3 or len(element) > 1 else f" {atom}"
        lines.append(
            f"ATOM  {(i + 1) % 100000:5d} {padded:<4s} {known:>3s} {chains[i]}{number:4d}"
            f"{insertion}   {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element:>2s}"
        )
        if i in ends:
            lines.append("TER")
    return "\n".join([*lines, "END", ""])


def _chain_ends(polymer: Structure) -> set[int]:
    """Last atoms of all residues that are not joined to the next one."""
    links = backbone_links(polymer)
    whole = links.lengths(polymer.coords[None])[0] <= links.limit
    joined = np.zeros(polymer.n_residues, bool)
    joined[polymer.residue_index[links.first[whole]]] = True
    joined[:-1] &= same_chain(polymer)
    last = np.flatnonzero(np.diff(polymer.residue_index, append=polymer.n_residues))
    return set(last[~joined].tolist())


def _number(label: str, index: int) -> tuple[int, str]:
    """Residue number and insertion code, as far as the PDB format has room for them."""
    found = re.fullmatch(r"(-?\d+)([A-Za-z]?)", label)
    if not found or not -999 <= int(found[1]) <= 9999:
        return (index + 1) % 10000, " "
    return int(found[1]), found[2] or " "


def _replace_forms(fixer: Any) -> list[str]:
    """Modified residues become the standard ones that they come from."""
    fixer.findNonstandardResidues()
    found = [
        f"{old.chain.id} {old.name} {old.id} → {new}" for old, new in fixer.nonstandardResidues
    ]
    fixer.replaceNonstandardResidues()
    return [f"modified residues were replaced: {_some(found)}"] if found else []


def _refuse_strangers(fixer: Any, path: Path) -> None:
    known = _CAPS.union(fixer.templates)
    strange = [
        f"{residue.chain.id} {residue.name} {residue.id}"
        for residue in fixer.topology.residues()
        if residue.name not in known
    ]
    if strange:
        raise InputError(
            f"{path} holds residues that amber14 does not know: {_some(strange)}; replace them or "
            "leave the structure out"
        )


def _add_atoms(fixer: Any) -> list[str]:
    fixer.findMissingResidues()
    fixer.missingResidues = {}
    fixer.findMissingAtoms()
    inner = {residue: [a.name for a in atoms] for residue, atoms in fixer.missingAtoms.items()}
    fixer.addMissingAtoms(seed=1)
    said = [
        f"{residue.chain.id} {residue.name} {residue.id} ({', '.join(names)})"
        for residue, names in inner.items()
    ]
    return [f"missing heavy atoms were added: {_some(said)}"] if said else []


def _left_out(everything: Structure) -> list[str]:
    heavy = ~everything.is_hydrogen & ~everything.is_polymer
    names = [str(name) for name in np.unique(everything.residue_names[heavy])]
    said = [name for name in names if name.upper() not in _WATER]
    return [f"left out, as not protein or nucleic acid: {_some(said)}"] if said else []


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """OpenMM sets hydrogens with Python's random numbers; one file is to give one start."""
    state = random.getstate()
    random.seed(0)
    try:
        yield
    finally:
        random.setstate(state)


def _bridges(topology: Any) -> list[str]:
    count = sum(a.name == "SG" and b.name == "SG" for a, b in topology.bonds())
    return [f"{counted(count, 'disulfide bridge')}"] if count else []


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _is_hydrogen(atom: Any) -> bool:
    return atom.element is not None and atom.element.symbol == "H"
