"""A profile in the B-factors of its molecule, and what stood there before.

PyMOL cannot undo ``alter``, so the values that were there are kept until they are put back.
"""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from .profile import Profile

_ATOM = "(segi, chain, resi, resn, name, alt)"
Kept = dict[tuple, float]
"""B-factor of every atom of an object, before we changed any."""


def write_bfactors(profile: Profile, kept: dict[str, Kept], _self: Any) -> int:
    """Give every atom of a residue its motion as B-factor.

    Residues of the polymer without a part of the surface get 0. Ligands, ions and water keep what
    they have. What was there is kept, once, whatever is written afterwards.

    Args:
        profile: What is written.
        kept: Where earlier values are kept, by the object's name.
        _self: PyMOL.

    Returns:
        Residues that were given a value.

    Raises:
        UserError: If the molecule is gone.
    """
    name = _present(profile.molecule, _self)
    if name not in kept:
        old: Kept = {}
        _self.iterate(f"({name})", f"old[{_ATOM}] = b", space={"old": old}, quiet=1)
        kept[name] = old
    places = zip(profile.chain.tolist(), profile.resi.tolist())  # noqa: B905
    values = dict(zip(places, profile.value.tolist()))  # noqa: B905
    space = {"values": values}
    _self.alter(
        f"({name}) and polymer", "b = values.get((chain or segi, resi), 0.0)", space=space, quiet=1
    )
    return len(values)


def restore_bfactors(molecule: str, kept: dict[str, Kept], _self: Any) -> None:
    """Put back what stood there before the first profile.

    Raises:
        UserError: If nothing was changed, or the molecule is gone.
    """
    name = _present(molecule, _self)
    if name not in kept:
        raise UserError(f"no B-factors of '{name}' were changed, so there are none to put back")
    space = {"old": kept.pop(name)}
    _self.alter(f"({name})", f"b = old.get({_ATOM}, b)", space=space, quiet=1)


def _present(molecule: str, _self: Any) -> str:
    if molecule and molecule in _self.get_names("objects"):
        return molecule
    there = f"'{molecule}' is not there any more" if molecule else "its molecule is not known"
    raise UserError(f"{there}, so there are no B-factors to change; load the molecule again")
