"""The surfaces and jobs of one PyMOL."""

from __future__ import annotations

from typing import Any

from .arguments import unquoted
from .errors import UserError
from .follow import find_renamed, follow
from .install import Installation
from .jobs import Job
from .marks import find_marked, mark_of, set_mark
from .measure.chart import Measurement
from .placement import object_matrix, remember_place
from .steps import Steps
from .surface import Surface
from .window import run_task, watch

STILL_S = 0.25
"""Time between looks at molecules that stay where they are [s]."""
MOVING_S = 0.05
"""The same while one is dragged [s]."""


class Workspace:
    """What this plugin has made in one PyMOL; use :meth:`of`."""

    def __init__(self) -> None:
        self.surfaces: dict[str, Surface] = {}
        self.jobs: dict[str, Job] = {}
        self.tasks: dict[str, Steps] = {}
        """Long work that is under way, by the command that began it."""
        self.measured: dict[tuple[str, str], Measurement] = {}
        """What each measuring command last found of each surface, by its name and the mark."""
        self.opened = 0
        """How many sessions were opened."""
        self.bfactors: dict[str, dict[tuple, list[float]]] = {}
        """B-factors of objects before a profile took their place."""
        self.installation: Installation | None = None
        self.moved = False
        self.pictures: set[str] = set()
        """Objects that bear a mark and are no surfaces any more: only their states are left."""

    @classmethod
    def of(cls, _self: Any) -> Workspace:
        """The workspace of a PyMOL, as its objects are now."""
        workspace = cls.as_it_was(_self)
        workspace._look(_self)
        return workspace

    @classmethod
    def as_it_was(cls, _self: Any) -> Workspace:
        """The same, as it was when somebody last looked."""
        holder = _self._pymol
        if not isinstance(getattr(holder, "_moedsr", None), cls):
            holder._moedsr = cls()
        workspace: Workspace = holder._moedsr
        return workspace

    def add(self, surface: Surface, _self: Any) -> None:
        """Keep a surface that has an object now, and let it follow its molecule."""
        self.surfaces[surface.name] = surface
        watch(self, lambda: self._let_follow(_self))

    def _let_follow(self, _self: Any) -> float | None:
        """A look at all surfaces; the time until the next one, or None where there is none."""
        if not self.surfaces:
            return None
        if not _self.lock_api.acquire(blocking=False):
            return STILL_S  # PyMOL is busy in another thread; the window must not wait for it
        try:
            self._look(_self, lightly=True)
            return MOVING_S if self.moved else STILL_S
        finally:
            _self.lock_api.release()

    def _look(self, _self: Any, *, lightly: bool = False) -> None:
        """Follow surfaces that were renamed, and forget those that were deleted or replaced.

        One that a job fills is forgotten by the job alone, which looks between two states.
        Copies become surfaces of their own, and all go where their molecules went.
        """
        filling = [job.surface for job in self.jobs.values()]
        gone = [one for one in list(self.surfaces.values()) if not self._follow(one, _self)]
        for surface in gone:
            if not any(surface is one for one in filling):
                self._forget(surface)
        self._take_copies(_self)
        there = [one for one in self.surfaces.values() if not any(one is other for other in gone)]
        find_renamed(there, _self)
        self.moved = any([follow(surface, _self, lightly=lightly) for surface in there])

    def _take_copies(self, _self: Any) -> None:
        """Make surfaces of objects that PyMOL has copied from one of ours."""
        marks = {surface.mark: surface for surface in self.surfaces.values()}
        self.pictures = set()
        for name in _self.get_names("objects"):
            mark = "" if name in self.surfaces else mark_of(name, _self)
            if not mark:
                continue
            copied, states = marks.get(mark), _self.count_states(name)
            if copied is None or not 0 < states <= copied.states:
                self.pictures.add(name)
                continue
            surface = copied.copied(name, states)
            place_of_copied = object_matrix(copied.name, _self)
            set_mark(name, surface.mark, _self)
            remember_place(name, place_of_copied, _self)
            self.surfaces[name] = surface

    def keeps(self, surface: Surface, _self: Any) -> bool:
        """Whether PyMOL still holds the very object of a surface, which is forgotten if not."""
        found = self._follow(surface, _self)
        if not found:
            self._forget(surface)
        return found

    def _follow(self, surface: Surface, _self: Any) -> bool:
        """Find the object of a surface, under another name too."""
        name = find_marked(surface.mark, surface.states, surface.name, _self)
        if name and name != surface.name:
            job = self.jobs.get(surface.name)
            self._forget(surface)
            surface.name = name
            if job is not None and job.surface is surface:
                self._rename_job(job, name)
        if name:
            self.surfaces[name] = surface
        return bool(name)

    def _forget(self, surface: Surface) -> None:
        if self.surfaces.get(surface.name) is surface:
            del self.surfaces[surface.name]

    def _rename_job(self, job: Job, name: str) -> None:
        self.leave(job)
        if name in self.jobs:
            job.give_way()
        else:
            self.jobs[name] = job

    def do(self, command: str, task: Steps, _self: Any) -> None:
        """Do long work, which ``moedsr_cancel`` finds by its command.

        Raises:
            UserError: If the command is at work already; or if it was waited for and failed.
        """
        earlier = self.tasks.get(command)
        if earlier is not None and not earlier.over:
            raise UserError(
                f"{command} is at work already; wait, or end it with 'moedsr_cancel {command}'"
            )
        self.tasks[command] = task
        try:
            run_task(task, None, _self)
        except KeyboardInterrupt:
            task.cancel()

    def working(self) -> dict[str, Steps]:
        """Long work that is under way, by the command that began it."""
        return {name: task for name, task in self.tasks.items() if not task.over}

    def keep_measurement(self, command: str, surface: Surface, found: Measurement) -> None:
        """Keep what a command found of a surface, while that is there under whatever name."""
        there = {surface.mark, *(one.mark for one in self.surfaces.values())}
        self.measured = {key: kept for key, kept in self.measured.items() if key[1] in there}
        self.measured[command, surface.mark] = found

    def measurement(self, command: str, name: str) -> Measurement | None:
        """What a command last found of the surface that bears a name now."""
        surface = self.surfaces.get(name)
        return None if surface is None else self.measured.get((command, surface.mark))

    def leave(self, job: Job) -> None:
        """Forget a job that is over."""
        self.jobs = {name: other for name, other in self.jobs.items() if other is not job}

    def surface(self, name: str) -> Surface:
        """One of our surfaces, with all its frames.

        Raises:
            UserError: If there is none of that name, or a session's frames are damaged.
        """
        surface = self.surfaces.get(name)
        if surface is None:
            if name in self.pictures:
                raise UserError(_without_values(name))
            ours = ", ".join(self.surfaces) or "none so far; make one with moedsr_predict"
            raise UserError(f"'{name}' is not a surface of this plugin; there are: {ours}")
        while surface.stored:
            surface.read_next()
        return surface

    def free_name(self, wanted: str, molecule: str, _self: Any) -> str:
        """Name for a new surface.

        Args:
            wanted: What the user asked for; empty takes the molecule's with ``_surf``.
            molecule: Object that the surface belongs to.

        Raises:
            UserError: If PyMOL allows no such name, or an object that is not ours has it.
        """
        name = _self.get_legal_name(unquoted(wanted) or f"{molecule}_surf")
        if not name:
            raise UserError(
                f"name must hold letters from a to z or digits, got '{wanted}'; PyMOL allows no "
                "other names"
            )
        if name in _self.get_names("all") and name not in self.surfaces:
            if name in self.pictures:
                raise UserError(_without_values(name))
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
        self._look(_self)
        self.free_name(name, name, _self)
        self.surfaces.pop(name, None)
        _self.delete(name)


def _without_values(name: str) -> str:
    """What to say of an object that was a surface, where only PyMOL's part of it is left."""
    return (
        f"'{name}' is the picture of an earlier surface without its values, and plays as it is; "
        "give another name, as in name=surf2, to predict it again, or to fetch it if moedsr_jobs "
        "lists it"
    )
