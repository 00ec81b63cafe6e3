"""A profile in the B-factors of its molecule, and what stood there before.

PyMOL cannot undo ``alter``, so the values that were there are kept until they are put back. Atoms
are known by what stays when residues are renumbered and objects renamed.
"""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from .profile import Profile

_ATOM = "(ID, rank, resn, name, alt)"
Kept = dict[tuple, list[float]]
"""B-factors of an object's atoms before we changed any; of atoms that look alike, in order."""


def write_bfactors(profile: Profile, kept: dict[str, Kept], _self: Any) -> int:
    """Give every atom of a residue its motion as B-factor.

    Residues that were predicted and have no part of the surface get 0; all else keeps what it has.
    What was there is kept, of each atom once, whatever is written afterwards.

    Args:
        profile: What is written.
        kept: Where earlier values are kept, by the object's name.
        _self: PyMOL.

    Returns:
        Residues that were given a value.

    Raises:
        UserError: If the molecule is gone, or holds less than half of the residues.
    """
    name = _present(profile.molecule, _self)
    places = zip(profile.chain.tolist(), profile.resi.tolist(), profile.resn.tolist())  # noqa: B905
    values = {**dict.fromkeys(profile.buried, 0.0), **dict(zip(places, profile.value.tolist()))}  # noqa: B905
    there: set[tuple] = set()
    place = "(chain or segi, resi, resn)"
    _self.iterate(f"({name})", f"there.add({place})", space={"there": there}, quiet=1)
    found = len(there & set(values))
    if 2 * found < len(values):
        raise UserError(
            f"'{name}' holds {found} of the {len(values)} residues that '{profile.surface}' was "
            "made of, as if it had been renumbered or replaced; predict it again"
        )
    known = _known_as(name, kept, _self)
    kept[name] = {**_read(name, _self), **(kept.pop(known) if known else {})}
    _self.alter(f"({name})", f"b = values.get({place}, b)", space={"values": values}, quiet=1)
    return found


def restore_bfactors(molecule: str, kept: dict[str, Kept], _self: Any) -> tuple[int, int]:
    """Put back what stood there before the first profile.

    Returns:
        Atoms that have their old value again, and atoms that were not there then.

    Raises:
        UserError: If nothing was changed, or the molecule is gone.
    """
    name = _present(molecule, _self)
    known = _known_as(name, kept, _self)
    if known is None:
        raise UserError(f"no B-factors of '{name}' were changed, so there are none to put back")
    old = {atom: list(values) for atom, values in kept.pop(known).items()}
    count = [0, 0]

    def before(atom: tuple, now: float) -> float:
        values = old.get(atom)
        count[0 if values else 1] += 1
        return values.pop(0) if values else now

    _self.alter(f"({name})", f"b = before({_ATOM}, b)", space={"before": before}, quiet=1)
    return count[0], count[1]


def _read(name: str, _self: Any) -> Kept:
    rows: list[tuple] = []
    _self.iterate(f"({name})", f"rows.append(({_ATOM}, b))", space={"rows": rows}, quiet=1)
    found: Kept = {}
    for atom, value in rows:
        found.setdefault(atom, []).append(value)
    return found


def _known_as(name: str, kept: dict[str, Kept], _self: Any) -> str | None:
    """Name under which an object's values are kept: its own, or that before it was renamed."""
    if name in kept:
        return name
    names, atoms = _self.get_names("objects"), set(_read(name, _self))
    return next((old for old in kept if old not in names and atoms <= set(kept[old])), None)


def _present(molecule: str, _self: Any) -> str:
    if molecule and molecule in _self.get_names("objects"):
        return molecule
    there = f"'{molecule}' is not there any more" if molecule else "its molecule is not known"
    raise UserError(f"{there}, so there are no B-factors to change; load the molecule again")
