"""The atoms of a selection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymol import CmdException

from .arguments import counted
from .errors import UserError
from .placement import matrix_mode, molecule_ttt, moved, state_matrix

MAX_ATOMS = 50_000
"""Largest polymer that is sent; a surface of so many atoms is a million triangles."""
_CAPS = "ACE+NME+NMA+NH2+FOR"
_POLYMER = f"(polymer or resn {_CAPS} or (byres name N) and (byres name CA) and (byres name C))"
"""The core's polymer: PyMOL's leaves out caps, and last residues whose oxygens it does not know."""
_FIELDS = "(x, y, z, elem, name, resn, resi, chain, segi, alt, q, rank)"
_ELEMENT, _NAME, _RESIDUE_NAME, _ALT, _OCCUPANCY, _RANK = 3, 4, 5, 9, 10, 11
_RESIDUE = slice(6, 9)


@dataclass(frozen=True)
class Molecule:
    """What a surface must know of the molecule that it lies on.

    Attributes:
        object_name: Its object in PyMOL; empty where that is not known.
        state: The state of it that was sent, from 1.
        chain_ids: Chain of every atom that was sent; segment where there is no chain. Empty where
            that is not known.
        history: Matrix that had been applied to the coordinates, (4, 4).
    """

    object_name: str
    state: int
    chain_ids: np.ndarray
    history: np.ndarray


@dataclass(frozen=True)
class Atoms(Molecule):
    """Heavy polymer atoms of one state of one object, in the order of their file.

    Attributes:
        coords: Positions as stored, before the object's matrix [Å], (atoms, 3).
        elements: Element symbols in capitals.
        atom_names: Atom names.
        residue_names: Residue name of every atom.
        residue_ids: Residue number and insertion code of every atom.
        residue_index: Residue of every atom, from 0.
    """

    coords: np.ndarray
    elements: np.ndarray
    atom_names: np.ndarray
    residue_names: np.ndarray
    residue_ids: np.ndarray
    residue_index: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """What the backend is sent."""
        names = (
            "coords", "elements", "atom_names", "residue_names", "residue_ids", "chain_ids",
            "residue_index",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}


def polymer_atoms(selection: str, state: int, _self: Any) -> Atoms:
    """Read the polymer of a selection as the core reads a file.

    That is one conformer of each residue, without hydrogens, in the order of the file, which for
    the same structure gives the same surface to the bit.

    Args:
        selection: A PyMOL selection within one object.
        state: State of the object from 1; -1 is the one shown.

    Raises:
        UserError: If there is no such selection, object, state or polymer, or too much of it.
    """
    name = single_object(selection, _self)
    state = object_state(name, state, _self)
    rows: list[tuple] = []
    polymer = f"({selection}) and ({name}) and {_POLYMER}"
    _self.iterate_state(state, polymer, f"rows.append({_FIELDS})", space={"rows": rows})
    rows = [row for row in _one_conformer(rows) if row[_ELEMENT].strip().upper() not in ("H", "D")]
    if not rows:
        raise UserError(
            f"'{selection}' holds no protein or nucleic acid in state {state}; select a polymer"
        )
    if len(rows) > MAX_ATOMS:
        raise UserError(
            f"'{selection}' holds {len(rows):,} heavy polymer atoms, at most {MAX_ATOMS:,} are "
            "predicted at once; select fewer chains"
        )
    return _atoms(_as_in_the_file(rows), name, state, _self)


def single_object(selection: str, _self: Any) -> str:
    """Name of the object that a selection lies in.

    Raises:
        UserError: If the selection is unknown, empty, or spans several objects.
    """
    names = selected_objects(selection, _self)
    if len(names) > 1:
        raise UserError(
            f"'{selection}' spans {len(names)} objects ({', '.join(names[:4])}), but a surface "
            f"follows one; select within one object, as in '{names[0]} and polymer'"
        )
    return names[0]


def selected_objects(selection: str, _self: Any) -> list[str]:
    """Names of the objects that a selection lies in.

    Raises:
        UserError: If the selection is unknown or empty.
    """
    try:
        names = _self.get_object_list(f"({selection})")
    except Exception as error:  # PyMOL raises different types from version to version
        _refuse_reserved(selection, _self)
        raise UserError(
            f"'{selection}' is neither an object nor a selection; type 'get_names' for those there "
            "are"
        ) from error
    if not names:
        raise UserError(f"'{selection}' holds no atoms; select part of a molecule")
    return names


def _refuse_reserved(selection: str, _self: Any) -> None:
    """Say where a word of a selection is one of PyMOL's own, and an object was renamed for it.

    PyMOL loads ``q.pdb`` as ``q_``, for ``q`` alone means the occupancy in a selection.

    Raises:
        UserError: If there is such a word.
    """
    names = _self.get_names("all")
    for word in re.findall(r"[\w.+-]+", selection):
        if f"{word}_" in names and _self.get_legal_name(word) == f"{word}_":
            raise UserError(
                f"'{word}' is a word of PyMOL's selection language, so that PyMOL has called your "
                f"object '{word}_'; type that"
            )


def object_state(name: str, state: int, _self: Any) -> int:
    """State of an object, from 1; -1 asks for the one shown.

    Raises:
        UserError: If it has no such state.
    """
    count = _self.count_states(name)
    if state == -1:
        return min(max(_state_shown(name, count, _self), 1), count)
    if not 1 <= state <= count:
        raise UserError(
            f"state must be -1 (the one shown) or from 1 to {count} for '{name}', got {state}"
        )
    return state


def _state_shown(name: str, count: int, _self: Any) -> int:
    try:
        return int(_self.get_object_state(name))
    except CmdException as error:  # PyMOL is at a state that this object has not
        raise UserError(
            f"'{name}' has {counted(count, 'state')} and shows none at the present frame; go to "
            "one, as with 'frame 1'"
        ) from error


def _one_conformer(rows: list[tuple]) -> list[tuple]:
    """One alternate location of each residue, chosen as the core does for files.

    It is the one with the highest mean occupancy, the first in the file of equal ones, together
    with others of the same residue name that share no atom with it.
    """
    residues: dict[tuple, list[tuple]] = {}
    for row in rows:
        if row[_ALT]:
            residues.setdefault(row[_RESIDUE], [])
    for row in rows:
        if row[_RESIDUE] in residues:
            residues[row[_RESIDUE]].append(row)
    kept = {row for site in residues.values() for row in _conformer(site)}
    return [row for row in rows if row[_RESIDUE] not in residues or row in kept]


def _conformer(site: list[tuple]) -> list[tuple]:
    lettered = {row[_NAME] for row in site if row[_ALT]}
    conformers: dict[str, list[tuple]] = {}
    for row in sorted(site, key=lambda row: row[_RANK]):
        if row[_NAME] in lettered:
            conformers.setdefault(row[_ALT], []).append(row)
    occupancy = {
        letter: round(float(np.mean([row[_OCCUPANCY] for row in rows])), 4)
        for letter, rows in conformers.items()
    }
    best = sorted(conformers, key=lambda letter: -occupancy[letter])
    residue = conformers[best[0]][0][_RESIDUE_NAME]
    letters: set[str] = set()
    names: set[str] = set()
    for letter in best:
        own = {row[_NAME] for row in conformers[letter] if row[_RESIDUE_NAME] == residue}
        if own and not own & names:
            letters.add(letter)
            names |= own
    return [row for row in site if row[_NAME] not in lettered or row[_ALT] in letters]


def _as_in_the_file(rows: list[tuple]) -> list[tuple]:
    """Rows in the order of the file; as they are where they are not all of one."""
    ranks = {row[_RANK] for row in rows}
    return sorted(rows, key=lambda row: row[_RANK]) if len(ranks) == len(rows) else rows


def _atoms(rows: list[tuple], name: str, state: int, _self: Any) -> Atoms:
    coords = np.array([row[:3] for row in rows], np.float64)
    if not np.isfinite(coords).all():
        raise UserError(f"'{name}' holds coordinates that are no numbers; check the structure")
    text = [np.array([str(row[k]).strip() for row in rows], np.str_) for k in range(3, 9)]
    elements, atom_names, residue_names, residue_ids, chains, segments = text
    residues = [(row[8], row[7], row[6]) for row in rows]
    first = [k == 0 or residues[k] != residues[k - 1] for k in range(len(rows))]
    return Atoms(
        object_name=name,
        state=state,
        coords=coords,
        elements=np.char.upper(elements),
        atom_names=atom_names,
        residue_names=residue_names,
        residue_ids=residue_ids,
        chain_ids=np.where(chains == "", segments, chains),
        residue_index=np.cumsum(first) - 1,
        history=state_matrix(name, state, _self),
    )


def drawn_positions(selection: str, _self: Any) -> np.ndarray:
    """Where PyMOL draws the atoms of a selection, each object in the state that it shows.

    Returns:
        Positions [Å], (atoms, 3).

    Raises:
        UserError: If the selection is unknown or empty.
    """
    found = []
    for name in selected_objects(selection, _self):
        rows: list[tuple] = []
        state = object_state(name, -1, _self)
        within = f"({selection}) and ({name})"
        _self.iterate_state(state, within, "rows.append((x, y, z))", space={"rows": rows})
        matrix = molecule_ttt(name, state, _self)
        if matrix_mode(name, _self) > 0:
            matrix = matrix @ state_matrix(name, state, _self)
        found.append(moved(np.array(rows, np.float64).reshape(-1, 3), matrix))
    coords = np.concatenate(found)
    if not len(coords):
        raise UserError(f"'{selection}' holds no atoms in the state that is shown")
    return coords
