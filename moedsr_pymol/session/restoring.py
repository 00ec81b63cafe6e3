"""Surfaces out of a session that PyMOL has just read: their frames, step by step."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..errors import UserError
from ..follow import find_renamed, lay_on_one_of
from ..labels import keep_label, load_labels
from ..marks import find_all_marked, set_mark
from ..placement import remember_place
from ..repaint import Drawing
from ..surface import Surface
from ..workspace import Workspace
from .record import read_record
from .saving import FORMAT, KEY


def surfaces_of(session: dict[str, Any], _self: Any) -> tuple[list[Surface], list[str]]:
    """Take up the objects of a session that were surfaces, each with its first frame.

    Args:
        session: What ``cmd.set_session`` has just loaded.
        _self: PyMOL.

    Returns:
        The surfaces, whose other frames are still to be read, and a sentence for each object that
        stays as PyMOL shows it.
    """
    kept = session.get(KEY)
    if not kept:
        return [], []
    number, records = (
        (kept.get("format"), kept.get("surfaces")) if isinstance(kept, dict) else (None, None)
    )
    if not isinstance(number, int) or (number <= FORMAT and not _are_records(records)):
        return [], ["what the session keeps of predictions is damaged; their first surfaces show"]
    if number > FORMAT:
        return [], [
            "the session was saved by a newer moedsr; update the plugin to see more than the first "
            "surface of its predictions"
        ]
    workspace = Workspace.as_it_was(_self)
    known = set(workspace.surfaces)
    surfaces: list[Surface] = []
    problems = []
    for record in records or ():
        taken = {surface.name for surface in surfaces}
        name = _object_of(record, known, taken, _self)
        if not name:
            continue
        try:
            surface = read_record(record, name)
        except UserError as error:
            problems.append(str(error))
            continue
        if name != record.get("object", name):  # its molecule has got another name, too
            renamed = [other for other in _self.get_names("objects") if other not in known]
            lay_on_one_of(renamed[::-1], surface, _self)
        _adopt(surface, workspace, _self)
        surfaces.append(surface)
    return surfaces, problems


def _are_records(records: Any) -> bool:
    return isinstance(records, list) and all(isinstance(record, dict) for record in records)


def _object_of(record: dict[str, Any], known: set[str], taken: set[str], _self: Any) -> str:
    """The object that came with a record; PyMOL may have given it another name."""
    wanted, mark = str(record.get("object")), str(record.get("mark"))
    found = [name for name in find_all_marked(mark, 1, _self) if name not in taken]
    found.sort(key=lambda name: (name in known, name != wanted, not name.startswith(wanted)))
    return found[0] if found else ""


def _adopt(surface: Surface, workspace: Workspace, _self: Any) -> None:
    """Make an object a surface again, under a mark of its own, and remember its job."""
    set_mark(surface.name, surface.mark, _self)
    if surface.hold is not None:
        remember_place(surface.name, surface.hold.matrix, _self)
    surface.show_as_it_is()
    find_renamed([surface], _self)
    workspace.add(surface, _self)
    if surface.job and surface.label is not None and surface.job not in load_labels():
        try:
            keep_label(surface.job, surface.label)
        except UserError:
            pass  # a full disk: the surface is there all the same


class Restoration:
    """Reads, one a step, the frames of surfaces, and loads them as states.

    Args:
        surfaces: What :func:`surfaces_of` gave.
        workspace: Where they are kept.
        _self: PyMOL.
    """

    def __init__(self, surfaces: list[Surface], workspace: Workspace, _self: Any) -> None:
        self._left = deque(surfaces)
        self._workspace, self._cmd = workspace, _self
        self._drawn: Drawing | None = None
        self.error: UserError | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return not self._left

    def step(self, patience: float) -> None:
        """Read one frame, work its state out, or load it."""
        try:
            self._step(self._left[0])
        except UserError as error:
            self._give_up(error)
        except Exception as error:  # PyMOL raises different types from version to version
            self._give_up(UserError(f"PyMOL could not show it: {error}"))

    def _step(self, surface: Surface) -> None:
        outdated = surface.outdated()
        if not self._workspace.keeps(surface, self._cmd):
            self._left.popleft()  # deleted meanwhile
        elif outdated:
            self._drawing(surface).step(outdated[0])
        elif surface.stored:
            surface.read_next()
        else:
            self._left.popleft()

    def _drawing(self, surface: Surface) -> Drawing:
        if self._drawn is None or self._drawn.surface is not surface:
            self._drawn = Drawing(surface, self._cmd)
        return self._drawn

    def _give_up(self, error: UserError) -> None:
        surface = self._left.popleft()
        surface.stored = None
        self.error = UserError(f"'{surface.name}' ends at state {surface.states}: {error}")
