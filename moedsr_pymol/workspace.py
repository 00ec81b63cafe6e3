"""The surfaces and jobs of one PyMOL."""

from __future__ import annotations

from typing import Any

from .errors import UserError
from .jobs import Job
from .surface import Surface


class Workspace:
    """What this plugin has made in one PyMOL; use :meth:`of`."""

    def __init__(self) -> None:
        self.surfaces: dict[str, Surface] = {}
        self.jobs: dict[str, Job] = {}

    @classmethod
    def of(cls, _self: Any) -> Workspace:
        """The workspace of a PyMOL, which forgets objects that were deleted."""
        holder = _self._pymol
        if not isinstance(getattr(holder, "_moedsr", None), cls):
            holder._moedsr = cls()
        workspace: Workspace = holder._moedsr
        names = set(_self.get_names("objects"))
        workspace.surfaces = {k: v for k, v in workspace.surfaces.items() if k in names}
        return workspace

    def surface(self, name: str) -> Surface:
        """One of our surfaces.

        Raises:
            UserError: If there is none of that name.
        """
        if name not in self.surfaces:
            ours = ", ".join(self.surfaces) or "none so far; make one with moedsr_predict"
            raise UserError(f"'{name}' is not a surface of this plugin; there are: {ours}")
        return self.surfaces[name]

    def free_name(self, wanted: str, molecule: str, _self: Any) -> str:
        """Name for a new surface.

        Args:
            wanted: What the user asked for; empty takes the molecule's with ``_surf``.
            molecule: Object that the surface belongs to.

        Raises:
            UserError: If it is the name of an object that is not ours.
        """
        name = _self.get_legal_name(wanted or f"{molecule}_surf")
        if name in _self.get_names("all") and name not in self.surfaces:
            raise UserError(
                f"there is a '{name}' already that is not a surface of this plugin; give another "
                "name, as in name=surf2"
            )
        return name

    def make_room(self, name: str, _self: Any) -> None:
        """Delete the surface that a new one of the same name replaces.

        Raises:
            UserError: If another object has taken the name meanwhile.
        """
        self.free_name(name, name, _self)
        self.surfaces.pop(name, None)
        _self.delete(name)
