"""Surfaces out of a session that PyMOL is about to write: one state of each, and a record."""

from __future__ import annotations

from typing import Any

from ..marks import is_mark
from ..placement import object_matrix
from ..surface import Surface
from ..workspace import Workspace
from .record import write_record

KEY = "moedsr"
"""Where our part of a session lies."""
FORMAT = 2
"""Format 1 had its bytes in base64."""
_NAME, _TYPE, _DATA = 0, 4, 5
_CGO = 6
_HEADER, _COUNT, _STATES = 0, 1, 2
_TTT_FLAG, _SETTINGS, _TTT = 7, 8, 11


def compact(session: dict[str, Any], _self: Any) -> list[str]:
    """Take all but the first state of our surfaces out of a session, and put records in it.

    The scene stays as it is. A surface that cannot be told compactly stays in the session with all
    its states.

    Args:
        session: What ``cmd.get_session`` is about to return.
        _self: PyMOL.

    Returns:
        A sentence for each surface that stays as it is.
    """
    workspace = Workspace.of(_self)
    records, problems = [], []
    for entry in session.get("names") or ():
        surface = workspace.surfaces.get(entry[_NAME]) if entry else None
        mark = _mark(entry) if surface else ""
        if surface is None or not mark:
            continue
        try:
            records.append(write_record(surface, entry[_NAME], mark))
        except ValueError as error:
            problems.append(f"'{surface.name}' is kept with all its states: {error}")
            continue
        _shorten(entry[_DATA], surface, _self)
    if records:
        session[KEY] = {"format": FORMAT, "surfaces": records}
    return problems


def _mark(entry: list[Any]) -> str:
    """Mark that an object bears in a session; empty where it is none of ours."""
    try:
        header = entry[_DATA][_HEADER]
        settings = header[_SETTINGS] or ()
        whole = entry[_TYPE] == _CGO and len(entry[_DATA][_STATES]) == entry[_DATA][_COUNT] > 0
        return next((value for _, _, value in settings if is_mark(value)), "") if whole else ""
    except (TypeError, ValueError, IndexError):  # another PyMOL writes otherwise
        return ""


def _shorten(data: list[Any], surface: Surface, _self: Any) -> None:
    """Leave the first state, and the place that the object has now: it may just have followed."""
    data[_COUNT], data[_STATES] = 1, data[_STATES][:1]
    placed = object_matrix(surface.name, _self)
    data[_HEADER][_TTT_FLAG], data[_HEADER][_TTT] = 1, placed.ravel().tolist()
