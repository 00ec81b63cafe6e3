"""Some atoms of a molecule, by which one sees whether it was moved as a whole, or bent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

COUNT = 24
"""Anchors of a molecule."""
FEWEST = 3
STEP = 2e-3
"""Movement of an anchor that counts [Å]; stored coordinates are float32."""
NOISE = 5e-4
"""Rounding that a rigid move may show, root mean square [Å]."""
BENT = 0.02
"""Share of a move that may be left over after the best rigid one."""
_KEY = "(segi, chain, resi, resn, name, alt)"
_BACKBONE = "name CA+P"


class Anchors:
    """Atoms of one object, spread over it.

    Args:
        keys: Segment, chain, residue number and name, name and alternate location of each.
        coords: Where they were last seen, (anchors, 3) [Å]; in which frame is the owner's matter.
    """

    def __init__(self, keys: list[tuple[str, ...]], coords: np.ndarray) -> None:
        self.keys, self.coords = keys, coords
        self._index: dict[int, tuple[str, ...]] = {}
        self._of = ""

    @classmethod
    def choose(
        cls, name: str, state: int, belongs: Callable[[tuple[str, ...]], bool], _self: Any
    ) -> Anchors | None:
        """Take backbone atoms of an object's polymer, evenly; others where there are none.

        Args:
            name: The object.
            state: Its state, from 1.
            belongs: Whether the surface is of an atom with this key; all count if none does.
            _self: PyMOL.

        Returns:
            None if it holds fewer than three atoms.
        """
        for which in (f"polymer and {_BACKBONE}", "polymer", "all"):
            there = _rows(f"({name}) and {which}", state, _self)
            rows = [row for row in there if belongs(row[1])] or there
            if len(rows) >= FEWEST:
                break
        else:
            return None
        spread = np.unique(np.linspace(0, len(rows) - 1, COUNT).round().astype(int))
        found = cls([rows[k][1] for k in spread], np.array([rows[k][2] for k in spread]))
        found._index = {rows[k][0]: rows[k][1] for k in spread}
        found._of = name
        return found

    def places(self, name: str, state: int, _self: Any) -> np.ndarray:
        """Stored coordinates of the anchors in an object, (anchors, 3); NaN where one is gone."""
        rows = self._at_hand(name, state, _self)
        if rows is None:
            rows = _rows(f"({name})", state, _self)
            wanted = set(self.keys)
            self._of, self._index = name, {row[0]: row[1] for row in rows if row[1] in wanted}
        found = {key: place for _, key, place in rows}
        gone = (np.nan,) * 3
        return np.array([found.get(key, gone) for key in self.keys], np.float64).reshape(-1, 3)

    def _at_hand(self, name: str, state: int, _self: Any) -> list[tuple] | None:
        """The anchors by their indices, unless the object has changed meanwhile."""
        if name != self._of or not self._index:
            return None
        wanted = "+".join(map(str, self._index))
        rows = _rows(f"({name}) and index {wanted}", state, _self)
        same = len(rows) == len(self.keys) and all(self._index[k] == key for k, key, _ in rows)
        return rows if same else None


def _rows(selection: str, state: int, _self: Any) -> list[tuple]:
    rows: list[tuple] = []
    _self.iterate_state(
        state, selection, f"rows.append((index, {_KEY}, (x, y, z)))", space={"rows": rows}
    )
    return rows


def rigid_move(before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    """The rigid move between two sets of places (Kabsch 1976), (4, 4).

    Args:
        before: Places, (n, 3) [Å].
        after: The same atoms later, (n, 3) [Å].

    Returns:
        The unit matrix where nothing moved, None where it was no rigid move.
    """
    step = after - before
    if len(before) < FEWEST or np.abs(step).max() < STEP:
        return np.eye(4)
    middle, later = before.mean(axis=0), after.mean(axis=0)
    u, _, vt = np.linalg.svd((before - middle).T @ (after - later))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    matrix = np.eye(4)
    matrix[:3, :3] = (u @ flip @ vt).T
    matrix[:3, 3] = later - matrix[:3, :3] @ middle
    left = after - carried(matrix, before)
    allowed = NOISE + BENT * np.sqrt((step**2).sum(axis=1).mean())
    return matrix if np.sqrt((left**2).sum(axis=1).mean()) <= allowed else None


def carried(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points where a matrix (4, 4) carries them."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]
