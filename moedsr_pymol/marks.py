"""Which object of PyMOL is which: a mark that stays with an object, renamed or in a session too."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

SETTING = "mesh_clear_selection"
"""Where an object's mark is kept: a text of its own, which means something for molecules alone."""
_PREFIX = "moedsr-"


def new_mark() -> str:
    """A mark that no other object has."""
    return f"{_PREFIX}{uuid4().hex}"


def is_mark(value: object) -> bool:
    """Whether a value is a mark of ours."""
    return isinstance(value, str) and value.startswith(_PREFIX)


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
    found = find_all_marked(mark, states, _self)
    return likely if likely in found else next(iter(found), None)


def find_all_marked(mark: str, states: int, _self: Any) -> list[str]:
    """Names of the graphics objects with a mark and so many states: one, and its copies."""
    return [
        name
        for name in _self.get_names("objects")
        if mark_of(name, _self) == mark and _self.count_states(name) == states
    ]


def mark_of(name: str, _self: Any) -> str:
    """Mark of an object; empty where it is none of ours."""
    if _self.get_type(name) != "object:cgo":
        return ""
    mark = _self.get(SETTING, name)
    return mark if is_mark(mark) else ""
