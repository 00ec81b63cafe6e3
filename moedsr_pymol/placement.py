"""Where PyMOL draws molecules and surfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .marks import mark_of

if TYPE_CHECKING:
    from .atoms import Molecule

TELLS_TTT = 3.0
"""Version of PyMOL that tells an object's TTT matrix; 2.5 crashes where it is asked."""


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
    matrix, state = molecule_ttt(name, shown, _self), state_matrix(name, shown, _self)
    if matrix_mode(name, _self) > 0:
        return matrix @ state, np.eye(4)
    return matrix, state @ np.linalg.inv(molecule.history)


def state_there(molecule: Molecule, _self: Any) -> int:
    """The state that was sent, or the last one where there are fewer now."""
    return min(molecule.state, max(_self.count_states(molecule.object_name), 1))


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


def molecule_ttt(name: str, state: int, _self: Any) -> np.ndarray:
    """TTT matrix of a molecule as a plain one, (4, 4), without the matrix of its state."""
    both = state_matrix(name, state, _self, incl_ttt=1)
    return both @ np.linalg.inv(state_matrix(name, state, _self))


def state_matrix(name: str, state: int, _self: Any, incl_ttt: int = 0) -> np.ndarray:
    """Matrix of an object's state, (4, 4), with its TTT matrix if asked for."""
    matrix = _self.get_object_matrix(name, state, incl_ttt=incl_ttt)
    return np.eye(4) if matrix is None else np.array(matrix, np.float64).reshape(4, 4)


def matrix_mode(name: str, _self: Any) -> int:
    """Setting that says whether states are drawn with matrices of their own."""
    return int(_self.get_setting_int("matrix_mode", name))
