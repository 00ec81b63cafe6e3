"""The atoms of a selection, and where PyMOL draws them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import UserError
from .marks import mark_of

MAX_ATOMS = 50_000
"""Largest polymer that is sent; a surface of so many atoms is a million triangles."""
_CAPS = "ACE+NME+NMA+NH2+FOR"
_POLYMER = f"(polymer or resn {_CAPS} or (byres name N) and (byres name CA) and (byres name C))"
"""The core's polymer: PyMOL's leaves out caps, and last residues whose oxygens it does not know."""
TELLS_TTT = 3.0
"""Version of PyMOL that tells an object's TTT matrix; 2.5 crashes where it is asked."""
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
        return min(max(_self.get_object_state(name), 1), count)
    if not 1 <= state <= count:
        raise UserError(
            f"state must be -1 (the one shown) or from 1 to {count} for '{name}', got {state}"
        )
    return state


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
        history=_state_matrix(name, state, _self),
    )


def placement(molecule: Molecule, _self: Any) -> np.ndarray:
    """Matrix that carries coordinates as they were sent to where PyMOL draws them now, (4, 4).

    An object is drawn at ``T · x``, with T its TTT matrix and x its stored coordinates, unless
    ``matrix_mode`` is 1 or 2: then at ``T · S · x`` with S its state's matrix. In mode 0, S is
    the history of what has been applied to x already (``align``, ``transform_object``), so a
    change of S since the atoms were read is a move to follow.
    """
    if molecule.object_name not in _self.get_names("objects"):
        return np.eye(4)
    drawn, applied = matrices(molecule, _self)
    return drawn @ applied


def matrices(molecule: Molecule, _self: Any) -> tuple[np.ndarray, np.ndarray]:
    """Matrices of a molecule that is there, each (4, 4).

    Returns:
        What carries its stored coordinates to where PyMOL draws them, and what PyMOL has noted
        that it applied to stored coordinates since they were sent.
    """
    name = molecule.object_name
    shown = state_there(molecule, _self)
    matrix, state = _molecule_ttt(name, shown, _self), _state_matrix(name, shown, _self)
    if _matrix_mode(name, _self) > 0:
        return matrix @ state, np.eye(4)
    return matrix, state @ np.linalg.inv(molecule.history)


def state_there(molecule: Molecule, _self: Any) -> int:
    """The state that was sent, or the last one where there are fewer now."""
    return min(molecule.state, max(_self.count_states(molecule.object_name), 1))


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
        matrix = _molecule_ttt(name, state, _self)
        if _matrix_mode(name, _self) > 0:
            matrix = matrix @ _state_matrix(name, state, _self)
        found.append(moved(np.array(rows, np.float64).reshape(-1, 3), matrix))
    coords = np.concatenate(found)
    if not len(coords):
        raise UserError(f"'{selection}' holds no atoms in the state that is shown")
    return coords


def moved(coords: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Positions that a matrix (4, 4) carries to where they are drawn, (n, 3)."""
    return coords @ matrix[:3, :3].T + matrix[:3, 3]


def place(name: str, matrix: np.ndarray, _self: Any) -> None:
    """Draw a surface where ``matrix`` carries it."""
    _self.set_object_ttt(name, [float(value) for value in np.asarray(matrix).ravel()])
    remember_place(name, matrix, _self)


def remember_place(name: str, matrix: np.ndarray, _self: Any) -> None:
    """Note where a surface is drawn, for a PyMOL that does not tell it."""
    _placed(_self)[mark_of(name, _self)] = np.array(matrix, np.float64)


def object_matrix(name: str, _self: Any) -> np.ndarray:
    """Matrix that a surface is drawn with, (4, 4); in PyMOL 2 the one it was last placed with."""
    if _self.get_version()[1] < TELLS_TTT:
        return _placed(_self).get(mark_of(name, _self), np.eye(4))
    ttt = _self.get_object_ttt(name)
    if ttt is None:
        return np.eye(4)
    matrix = np.array(ttt, np.float64).reshape(4, 4)
    matrix[:3, 3] += matrix[:3, :3] @ matrix[3, :3]  # its last row is a shift before the rotation
    matrix[3] = 0.0, 0.0, 0.0, 1.0
    return matrix


def _placed(_self: Any) -> dict[str, np.ndarray]:
    """Matrices of surfaces by their marks, for a PyMOL that does not tell them."""
    holder = _self._pymol
    if not hasattr(holder, "_moedsr_placed"):
        holder._moedsr_placed = {}
    placed: dict[str, np.ndarray] = holder._moedsr_placed
    return placed


def _molecule_ttt(name: str, state: int, _self: Any) -> np.ndarray:
    """TTT matrix of a molecule as a plain one, (4, 4), without the matrix of its state."""
    both = _state_matrix(name, state, _self, incl_ttt=1)
    return both @ np.linalg.inv(_state_matrix(name, state, _self))


def _state_matrix(name: str, state: int, _self: Any, incl_ttt: int = 0) -> np.ndarray:
    matrix = _self.get_object_matrix(name, state, incl_ttt=incl_ttt)
    return np.eye(4) if matrix is None else np.array(matrix, np.float64).reshape(4, 4)


def _matrix_mode(name: str, _self: Any) -> int:
    return int(_self.get_setting_int("matrix_mode", name))
