"""A surface follows its molecule: whatever moves the molecule as a whole moves the surface along.

What is followed is the molecule's last move, so a surface that somebody has dragged aside stays
there, and keeps that distance. A molecule is moved by matrices (dragging, ``translate object=``,
``align``), which are read, or by its coordinates alone (``translate`` of a selection), which some
of its atoms tell. A molecule that was bent leaves its surface where it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .anchors import FEWEST, Anchors, carried, rigid_move
from .atoms import Atoms, Molecule
from .placement import matrices, object_matrix, place, placement, state_there

if TYPE_CHECKING:
    from .surface import Surface

TOGETHER = 0.01
"""Distance below which surface and molecule have made the same move [Å], as in a group."""
SAME_PLACE = 0.05
"""The same for the atoms of a molecule that bears another name now [Å]."""

REST = 100.0
"""Time without reading atoms after a reading, in times of what that took."""


@dataclass
class Hold:
    """Where a molecule and its surface were last seen.

    Attributes:
        placement: Matrix that carried the atoms, as they were sent, to where they were drawn.
        anchors: Atoms to look at; their coordinates are in the pose that was sent.
        matrix: The surface's own matrix.
        seen: What would have changed, had the molecule moved.
        due: When its atoms are to be read again in any case, by the monotonic clock [s].
        searched: Objects among which the molecule was not found.
        beside: Objects that were there when the molecule was last seen; None before that.
    """

    placement: np.ndarray
    anchors: Anchors
    matrix: np.ndarray = field(default_factory=lambda: np.eye(4))
    seen: tuple = ()
    due: float = 0.0
    searched: tuple = ()
    beside: tuple | None = None

    @classmethod
    def of(cls, molecule: Molecule, _self: Any) -> Hold | None:
        """Look at a molecule; None if it is not there."""
        name = molecule.object_name
        if not _is_molecule(name, _self):
            return None
        state = state_there(molecule, _self)
        anchors = Anchors.choose(name, state, _belongs(molecule), _self)
        if anchors is None:
            return None
        anchors.coords = _as_sent(anchors.coords, molecule, _self)
        beside = tuple(_self.get_names("objects"))
        return cls(placement(molecule, _self), anchors, beside=beside)

    def lie(self, matrix: np.ndarray) -> None:
        """The surface lies there now."""
        self.matrix = matrix

    def plain(self) -> dict[str, Any]:
        """As numbers and texts."""
        return {
            "placement": self.placement.ravel().tolist(),
            "matrix": self.matrix.ravel().tolist(),
            "keys": self.anchors.keys,
            "coords": self.anchors.coords.tolist(),
        }

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Hold:
        """Undo :meth:`plain`."""
        keys = [tuple(map(str, key)) for key in plain["keys"]]
        coords = np.array(plain["coords"], np.float64).reshape(len(keys), 3)
        placement, matrix = (
            np.array(plain[name], np.float64).reshape(4, 4) for name in ("placement", "matrix")
        )
        return cls(placement, Anchors(keys, coords), matrix)


def follow(surface: Surface, _self: Any, *, lightly: bool = False) -> bool:
    """Move a surface as its molecule has moved since the last look.

    Args:
        surface: The surface.
        _self: PyMOL.
        lightly: Whether to read atoms only where matrices or the extent tell of a move, or where
            it was long ago; a part that is bent within the extent is then seen later.

    Returns:
        Whether it was moved.
    """
    hold = surface.hold
    if hold is None:
        return False
    before, hold.matrix = hold.matrix, object_matrix(surface.name, _self)
    if not _is_molecule(surface.atoms.object_name, _self):
        return False
    seen = _signature(surface.atoms, _self)
    begin = time.monotonic()
    if lightly and seen == hold.seen and begin < hold.due:
        return False
    hold.seen = seen
    moved, points = _move(surface.atoms, hold, _self)
    hold.due = begin + REST * (time.monotonic() - begin)
    if moved is None or np.abs(carried(moved, points) - points).max() < 1e-4:
        return False
    own = hold.matrix @ np.linalg.inv(before)
    if np.abs(carried(own, points) - carried(moved, points)).max() < TOGETHER:
        return False
    hold.matrix = moved @ hold.matrix
    place(surface.name, hold.matrix, _self)
    return True


def _move(molecule: Molecule, hold: Hold, _self: Any) -> tuple[np.ndarray | None, np.ndarray]:
    """How a molecule was moved, and where its anchors had been drawn.

    Returns:
        The matrix; None if another molecule bears the name.
    """
    stored = hold.anchors.places(molecule.object_name, state_there(molecule, _self), _self)
    now = _as_sent(stored, molecule, _self)
    there = np.isfinite(now).all(axis=1) & np.isfinite(hold.anchors.coords).all(axis=1)
    points = carried(hold.placement, hold.anchors.coords[there])
    if there.sum() < min(FEWEST, len(there)) or not there.any():
        return None, points
    turn = rigid_move(hold.anchors.coords[there], now[there])
    matrix = placement(molecule, _self)
    moved = matrix @ (np.eye(4) if turn is None else turn) @ np.linalg.inv(hold.placement)
    hold.placement = matrix
    if turn is None or not np.array_equal(turn, np.eye(4)):
        hold.anchors.coords = np.where(there[:, None], now, hold.anchors.coords)
    return moved, points


def _as_sent(stored: np.ndarray, molecule: Molecule, _self: Any) -> np.ndarray:
    """Stored coordinates without what PyMOL has noted that it applied since they were sent."""
    return carried(np.linalg.inv(matrices(molecule, _self)[1]), stored)


def _signature(molecule: Molecule, _self: Any) -> tuple:
    """What changes when a molecule moves; far cheaper to have than its atoms."""
    name, state = molecule.object_name, state_there(molecule, _self)
    drawn, applied = matrices(molecule, _self)
    return name, drawn.tobytes(), applied.tobytes(), str(_self.get_extent(name, state))


def find_renamed(surfaces: list[Surface], _self: Any) -> None:
    """Let surfaces go on following molecules that bear other names now.

    Such a molecule has the anchors, and lies where it was; or it is the only object of this shape
    that has appeared since the last look, and that no surface of another molecule follows.
    """
    names = tuple(_self.get_names("objects"))
    followed: dict[str, str] = {}
    lost: list[tuple[Surface, Hold, str]] = []
    for surface in surfaces:
        name, hold = surface.atoms.object_name, surface.hold
        if _is_molecule(name, _self):
            followed[name] = name
            if hold is not None:
                hold.beside = names
        elif hold is not None and hold.searched != names:
            hold.searched = names
            lost.append((surface, hold, name))
    for surface, _, former in lost:
        if lay_on_one_of(names, surface, _self):
            followed[surface.atoms.object_name] = former
    for surface, hold, former in lost:
        if surface.atoms.object_name != former:
            continue
        new = set(names).difference(names if hold.beside is None else hold.beside)
        free = [name for name in new if followed.get(name, former) == former]
        shaped = _of_its_shape(free, surface, hold, _self)
        if len(shaped) == 1:
            surface.atoms = shaped[0]
            followed[surface.atoms.object_name] = former


def lay_on_one_of(names: Iterable[str], surface: Surface, _self: Any) -> bool:
    """Let a surface follow the first of some objects that is its molecule, just where it was."""
    hold = surface.hold
    if hold is None:
        return False
    drawn = carried(hold.placement, hold.anchors.coords)
    for renamed, stored in _under(names, surface, hold, _self):
        apart = np.abs(carried(matrices(renamed, _self)[0], stored) - drawn)
        if (apart < SAME_PLACE).all():
            surface.atoms = renamed
            return True
    return False


def _of_its_shape(names: Iterable[str], surface: Surface, hold: Hold, _self: Any) -> list[Molecule]:
    """Objects that may be a surface's molecule, wherever they lie."""
    found = []
    for renamed, stored in _under(names, surface, hold, _self):
        moved = rigid_move(hold.anchors.coords, stored)
        if moved is None:
            continue
        apart = np.abs(carried(moved, hold.anchors.coords) - stored)
        if (apart < SAME_PLACE).all():
            found.append(renamed)
    return found


def _under(
    names: Iterable[str], surface: Surface, hold: Hold, _self: Any
) -> Iterator[tuple[Molecule, np.ndarray]]:
    """A surface's molecule under each of some names that has all anchors, and their coordinates."""
    for name in names:
        if _is_molecule(name, _self):
            renamed = replace(surface.atoms, object_name=name)
            stored = hold.anchors.places(name, state_there(renamed, _self), _self)
            if np.isfinite(stored).all():
                yield renamed, stored


def _belongs(molecule: Molecule) -> Callable[[tuple[str, ...]], bool]:
    """Whether an atom, by its key, is of the part of a molecule that was sent."""
    chains = set(molecule.chain_ids.tolist())
    if isinstance(molecule, Atoms):
        residues = set(zip(molecule.chain_ids.tolist(), molecule.residue_ids.tolist()))  # noqa: B905
        return lambda key: (key[1] or key[0], key[2]) in residues
    return lambda key: (key[1] or key[0]) in chains


def _is_molecule(name: str, _self: Any) -> bool:
    return name in _self.get_names("objects") and _self.get_type(name) == "object:molecule"
