"""Which object of PyMOL is which: a mark that stays with an object, renamed or in a session too."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

SETTING = "mesh_clear_selection"
"""Where an object's mark is kept: a text of its own, which means something for molecules alone."""


def new_mark() -> str:
    """A mark that no other object has."""
    return f"moedsr-{uuid4().hex}"


def set_mark(name: str, mark: str, _self: Any) -> None:
    """Mark an object."""
    _self.set(SETTING, mark, name, updates=0, quiet=1)


def find_marked(mark: str, states: int, likely: str, _self: Any) -> str | None:
    """Name of the graphics object with a mark and so many states; None if it is gone.

    Args:
        mark: The mark.
        states: States that it was given; one from an older session has others.
        likely: Name to try first; a copy bears the same mark.
    """
    names = _self.get_names("objects")
    for name in sorted(names, key=lambda name: name != likely):
        if (
            _self.get_type(name) == "object:cgo"
            and _self.get(SETTING, name) == mark
            and _self.count_states(name) == states
        ):
            return name
    return None
