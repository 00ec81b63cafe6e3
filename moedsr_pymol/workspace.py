"""The surfaces and jobs of one PyMOL."""

from __future__ import annotations

from typing import Any

from .errors import UserError
from .install import Installation
from .jobs import Job
from .marks import find_marked
from .measure.chart import Measurement
from .steps import Steps
from .surface import Surface
from .window import run_task


class Workspace:
    """What this plugin has made in one PyMOL; use :meth:`of`."""

    def __init__(self) -> None:
        self.surfaces: dict[str, Surface] = {}
        self.jobs: dict[str, Job] = {}
        self.tasks: dict[str, Steps] = {}
        """Long work that is under way, by the command that began it."""
        self.measured: dict[tuple[str, str], Measurement] = {}
        """What each measuring command last found of each surface, by both names."""
        self.measurements = 0
        """How many measurements there have been."""
        self.bfactors: dict[str, dict[tuple, float]] = {}
        """B-factors of objects before a profile took their place."""
        self.installation: Installation | None = None

    @classmethod
    def of(cls, _self: Any) -> Workspace:
        """The workspace of a PyMOL, as its objects are now."""
        holder = _self._pymol
        if not isinstance(getattr(holder, "_moedsr", None), cls):
            holder._moedsr = cls()
        workspace: Workspace = holder._moedsr
        workspace._look(_self)
        return workspace

    def _look(self, _self: Any) -> None:
        """Follow surfaces that were renamed, and forget those that were deleted or replaced.

        One that a job fills is forgotten by the job alone, which looks between two states.
        """
        filling = [job.surface for job in self.jobs.values()]
        for surface in list(self.surfaces.values()):
            if not self._follow(surface, _self) and not any(surface is one for one in filling):
                self._forget(surface)

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

    def keep_measurement(self, command: str, surface: str, found: Measurement) -> None:
        """Keep what a command found of a surface."""
        self.measured[command, surface] = found
        self.measurements += 1

    def leave(self, job: Job) -> None:
        """Forget a job that is over."""
        self.jobs = {name: other for name, other in self.jobs.items() if other is not job}

    def surface(self, name: str) -> Surface:
        """One of our surfaces.

        Raises:
            UserError: If there is none of that name.
        """
        if name not in self.surfaces:
            ours = ", ".join(self.surfaces) or "none so far; make one with moedsr_predict"
            raise UserError(f"'{name}' is not a surface of this plugin; there are: {ours}")
        return self.surfaces[name]

    def free_name(self, wanted: str, molecule: str, _self: Any) -> str:
        """Name for a new surface.

        Args:
            wanted: What the user asked for; empty takes the molecule's with ``_surf``.
            molecule: Object that the surface belongs to.

        Raises:
            UserError: If PyMOL allows no such name, or an object that is not ours has it.
        """
        name = _self.get_legal_name(wanted or f"{molecule}_surf")
        if not name:
            raise UserError(
                f"name must hold letters from a to z or digits, got '{wanted}'; PyMOL allows no "
                "other names"
            )
        if name in _self.get_names("all") and name not in self.surfaces:
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
