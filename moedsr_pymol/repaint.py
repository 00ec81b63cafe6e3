"""Drawing a surface's states anew after its colours have changed."""

from __future__ import annotations

from typing import Any

from .errors import UserError
from .surface import Surface


class Repaint:
    """Loads, one a step, the states whose colours no longer hold.

    Args:
        surface: The surface, with its new colouring already set.
        _self: PyMOL.
    """

    def __init__(self, surface: Surface, _self: Any) -> None:
        self._surface, self._cmd = surface, _self
        self.over = False
        self.error: UserError | None = None

    def step(self, patience: float) -> None:
        """Load one state; the last step drops PyMOL's cached drawings."""
        name = self._surface.name
        outdated = self._surface.outdated()
        if outdated and name not in self._cmd.get_names("objects"):
            self.over, self.error = True, UserError(f"'{name}' was deleted before it was complete")
        elif outdated:
            self._surface.show(outdated[0], self._cmd)
        else:
            self.over = True
            if self._surface.frames:
                self._cmd.rebuild(name)
