"""What is loaded in PyMOL, looked at once a second while the panel is to be seen."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtCore

from ..workspace import Workspace

EVERY_MS = 1000


class Watch(QtCore.QObject):
    """Reads names, and says when they have changed.

    Attributes:
        molecules: Objects that hold atoms.
        selections: Named selections.
        surfaces: Names of our surfaces.

    Args:
        _self: PyMOL.
    """

    changed = QtCore.Signal()
    """Names of molecules, selections or surfaces have changed."""
    looked = QtCore.Signal()
    """A second has passed."""

    def __init__(self, _self: Any, parent: Any = None) -> None:
        super().__init__(parent)
        self._cmd = _self
        self.molecules: list[str] = []
        self.selections: list[str] = []
        self.surfaces: list[str] = []
        self._types: dict[str, str] = {}
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.look)

    def start(self) -> None:
        """Begin, with a look at once."""
        self.look()
        self._timer.start()

    def stop(self) -> None:
        """Rest."""
        self._timer.stop()

    @property
    def objects(self) -> set[str]:
        """Names of all objects."""
        return set(self._types)

    @property
    def active(self) -> bool:
        """Whether it looks."""
        return bool(self._timer.isActive())

    def look(self) -> None:
        """Read the names now."""
        names = self._cmd.get_names("public_objects")
        self._types = {name: self._types.get(name) or self._cmd.get_type(name) for name in names}
        surfaces = Workspace.of(self._cmd).surfaces
        found = (
            [name for name in names if self._types[name] == "object:molecule"],
            self._cmd.get_names("public_selections"),
            [name for name in names if name in surfaces],
        )
        if found != (self.molecules, self.selections, self.surfaces):
            self.molecules, self.selections, self.surfaces = found
            self.changed.emit()
        self.looked.emit()
