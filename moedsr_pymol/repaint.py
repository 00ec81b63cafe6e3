"""Drawing a surface's states anew after its colours or its smoothing have changed."""

from __future__ import annotations

from typing import Any

from .errors import UserError
from .surface import Surface


class Repaint:
    """Loads, one a step, the states that are no longer shown as they are to be.

    Args:
        surface: The surface, with its new colouring and smoothing already set.
        workspace: Where it is kept.
        _self: PyMOL.
    """

    def __init__(self, surface: Surface, workspace: Any, _self: Any) -> None:
        self._surface, self._workspace, self._cmd = surface, workspace, _self
        self.over = False
        self.error: UserError | None = None

    def step(self, patience: float) -> None:
        """Load one state; the last step drops PyMOL's cached drawings."""
        outdated = self._surface.outdated()
        if self._surface.frames and not self._workspace.keeps(self._surface, self._cmd):
            name = self._surface.name
            self.over, self.error = True, UserError(f"'{name}' was deleted before it was complete")
        elif outdated:
            self._surface.show(outdated[0], self._cmd)
        else:
            self.over = True
            if self._surface.frames:
                self._cmd.rebuild(self._surface.name)
