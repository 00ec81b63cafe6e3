"""Drawing a surface's states anew after its colours or its smoothing have changed."""

from __future__ import annotations

from typing import Any

from .errors import UserError
from .surface import MadeState, Surface


class Drawing:
    """Shows a frame in two steps, so that the window gets to its events between them.

    Args:
        surface: Whose frames.
        _self: PyMOL.
    """

    def __init__(self, surface: Surface, _self: Any) -> None:
        self.surface, self._cmd = surface, _self
        self._made: MadeState | None = None

    def step(self, k: int) -> None:
        """Work frame ``k`` out, or load it where that is done."""
        if self.surface.fits(self._made, k):
            self.load(k)
        else:
            self._made = self.surface.make(k, self._cmd)

    def load(self, k: int) -> None:
        """Load frame ``k`` now; to drop what was loaded takes a while, and is left to the next."""
        self.surface.show(k, self._cmd, self._made)


class Repaint:
    """Loads, in two steps each, the states that are no longer shown as they are to be.

    Args:
        surface: The surface, with its new colouring and smoothing already set.
        workspace: Where it is kept.
        _self: PyMOL.
    """

    def __init__(self, surface: Surface, workspace: Any, _self: Any) -> None:
        self._surface, self._workspace, self._cmd = surface, workspace, _self
        self._drawing = Drawing(surface, _self)
        self.over = False
        self.error: UserError | None = None

    def step(self, patience: float) -> None:
        """Work out a state or load it; the last step drops PyMOL's cached drawings."""
        try:
            self._step()
        except Exception as error:  # PyMOL raises different types from version to version
            self.over, self.error = True, UserError(f"PyMOL could not show it: {error}")

    def _step(self) -> None:
        outdated = self._surface.outdated()
        if self._surface.frames and not self._workspace.keeps(self._surface, self._cmd):
            name = self._surface.name
            self.over, self.error = True, UserError(f"'{name}' was deleted before it was complete")
        elif outdated:
            self._drawing.step(outdated[0])
        else:
            self.over = True
            if self._surface.frames:
                self._cmd.rebuild(self._surface.name)
