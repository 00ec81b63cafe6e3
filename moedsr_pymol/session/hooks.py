"""PyMOL's hooks around the writing and reading of sessions."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from ..window import run_task
from ..workspace import Workspace
from .restoring import Restoration, surfaces_of
from .saving import compact


def install(_self: Any) -> None:
    """Let a PyMOL keep surfaces compactly; a second time changes nothing."""
    for tasks, ours in (
        (_self._pymol._session_save_tasks, moedsr_save_surfaces),
        (_self._pymol._session_restore_tasks, moedsr_restore_surfaces),
    ):
        names = [getattr(task, "__name__", "") for task in tasks]
        if ours.__name__ in names:
            tasks[names.index(ours.__name__)] = ours
        else:
            tasks.append(ours)


def moedsr_save_surfaces(session: dict[str, Any], *, _self: Any) -> bool:
    """PyMOL is about to write a session."""
    for problem in compact(session, _self):
        _say(problem)
    return True


def moedsr_restore_surfaces(session: dict[str, Any], *, _self: Any) -> bool:
    """PyMOL has read a session; it is good to PyMOL whatever becomes of our part of it."""
    Workspace.as_it_was(_self).opened += 1
    try:
        surfaces, problems = surfaces_of(session, _self)
        for problem in problems:
            _say(problem)
        for surface in surfaces:
            if surface.job and surface.kept < surface.planned:
                _say(
                    f"'{surface.name}' was saved with {surface.kept} of {surface.planned} frames; "
                    f"'moedsr_fetch {surface.job}' loads those that came since"
                )
        if surfaces:
            run_task(Restoration(surfaces, Workspace.of(_self), _self), None, _self)
    except UserError as error:
        _say(str(error))
    except Exception as error:  # PyMOL would take the whole session for a failure
        _say(f"the session's predictions could not be taken up: {error}")
    return True


def _say(sentence: str) -> None:
    from pymol import colorprinting

    colorprinting.warning(f" moedsr: {sentence}")
