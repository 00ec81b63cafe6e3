"""A prediction under way: a thread receives frames (receiver.py), PyMOL's own shows them.

Whatever touches PyMOL happens in :meth:`Job.step`, which does one small thing at a time: a timer
of the window calls it, or a loop where there is none.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from .arguments import counted
from .errors import BackendError, UserError
from .follow import find_renamed
from .progress import Progress
from .receiver import Receiver
from .repaint import Drawing, Repaint
from .surface import Frame, Surface


class Job:
    """One prediction and the object it fills.

    Args:
        surface: Where frames go; its object appears with the first one.
        receiver: Where they come from.
        workspace: Where a shown surface is kept.
        progress: What is said on the way.
        _self: PyMOL.
    """

    def __init__(
        self, surface: Surface, receiver: Receiver, workspace: Any, progress: Progress, _self: Any
    ) -> None:
        self.surface, self.progress = surface, progress
        self._receiver, self._workspace, self._cmd = receiver, workspace, _self
        self.state = "running"
        self.error: UserError | None = None
        self._ended = False
        self._molecule = self._present_molecule()
        self._opened = workspace.opened
        self._repaint: Repaint | None = None
        self._drawing = Drawing(surface, _self)
        self._to_load: int | None = None

    @property
    def id(self) -> str:
        """Its id at the backend; empty until it has one."""
        return self._receiver.job_id

    @property
    def backend(self) -> str:
        """Name of the backend that computes it."""
        return self._receiver.backend.name

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self._ended

    def start(self) -> None:
        """Begin to receive frames, in the place of a job that fills the same object."""
        earlier = self._workspace.jobs.get(self.surface.name)
        if earlier is not None:
            earlier.give_way()
        self._workspace.jobs[self.surface.name] = self
        self._receiver.start()

    def cancel(self, error: UserError | None = None) -> None:
        """Stop; the frames that are shown stay."""
        if self.state == "running":
            self.state, self.error = ("failed", error) if error else ("cancelled", None)
            self._receiver.stop()

    def give_way(self) -> None:
        """Stop for a job that fills the same object."""
        if self.state == "running":
            self.state = "replaced"
            self._receiver.stop()

    def step(self, patience: float) -> None:
        """Do the next small thing: take one event, load a state, or draw one frame anew.

        Args:
            patience: How long to wait for an event [s].
        """
        try:
            if self.state == "running":
                self._take(patience)
            else:
                self._finish()
        except UserError as error:
            self._abandon(error)
        except Exception as error:  # PyMOL raises different types from version to version
            self._abandon(UserError(f"PyMOL could not show the surface: {error}"))

    def _take(self, patience: float) -> None:
        if self._to_load is not None:
            if self._workspace.keeps(self.surface, self._cmd):  # else the next event tells why not
                self._drawing.load(self._to_load)
            self._to_load = None
            return
        try:
            kind, value = self._receiver.events.get(timeout=patience or None, block=patience > 0)
        except queue.Empty:
            return
        self._check_objects()
        if self.state == "running":
            _EVENTS[kind](self, value)

    def _check_objects(self) -> None:
        """Stop when what the job is for is gone; where the whole scene is, the backend goes on."""
        opened, self._opened = self._opened != self._workspace.opened, self._workspace.opened
        molecule, self._molecule = self._molecule, self._present_molecule()
        lost = ""
        if not self.surface.frames:
            lost = "" if self._molecule or not molecule else f"'{molecule}' is not there any more"
        elif not self._workspace.keeps(self.surface, self._cmd):
            lost = f"'{self.surface.name}' was deleted"
            opened = opened or bool(molecule and not self._molecule)
        if lost and opened and self.id:
            self._leave_to_backend()
        elif lost:
            self.cancel()
            self.progress.say(f"{lost}, so the prediction was cancelled")
            self.surface.frames.clear()

    def _leave_to_backend(self) -> None:
        self.state = "left"
        self._receiver.leave()
        self.progress.say(
            "its scene is gone; the prediction goes on without it, and "
            f"'moedsr_fetch {self.id}' loads it"
        )
        self.surface.frames.clear()

    def _present_molecule(self) -> str:
        """The molecule's name, which may be a new one; empty where it is not there."""
        find_renamed([self.surface, *self._workspace.surfaces.values()], self._cmd)
        name = self.surface.atoms.object_name
        return name if name in self._cmd.get_names("objects") else ""

    def _on_job(self, job: str) -> None:
        self.surface.job = job
        if self.backend != "local":
            self.progress.say(f"job {job} at {self.backend}")

    def _on_progress(self, fields: dict[str, Any]) -> None:
        self.surface.planned = max(self.surface.planned, fields.get("frames") or 1)
        self.progress.update(fields)

    def _on_frame(self, frame: Frame) -> None:
        if not self.surface.frames:
            if self.surface.name in self._workspace.surfaces:
                self.progress.say("takes the place of the surface that had this name")
            self._workspace.make_room(self.surface.name, self._cmd)
            self._workspace.add(self.surface, self._cmd)
        self.surface.frames.append(frame)
        last = len(self.surface.frames) - 1
        if last:
            self._drawing.step(last)
            self._to_load = last
        else:  # there is an object from here on
            self._drawing.load(last)

    def _on_attributes(self, arrays: dict[str, Any]) -> None:
        self.surface.add_attributes(arrays)

    def _on_end(self, fields: dict[str, Any]) -> None:
        self.surface.summary = fields.get("summary") or {}
        self.state, reason = str(fields.get("state")), fields.get("error")
        if self.state == "cancelled" and reason:
            self.state, self.error = "failed", BackendError(f"the job was cancelled: {reason}")
        elif self.state not in ("done", "cancelled"):
            self.state = "failed"
            self.error = BackendError(str(reason or "the backend gave no reason"))
        elif self.state == "done" and not self.surface.frames:
            self.state, self.error = "failed", BackendError("the backend sent no surface")

    def _on_failed(self, error: UserError) -> None:
        self.state, self.error = "failed", error  # the job may go on, and be fetched later

    def _finish(self) -> None:
        """Draw anew what the last frames have made out of date, one frame a step."""
        if self._repaint is None:
            self._repaint = Repaint(self.surface, self._workspace, self._cmd)
            if self.surface.frames:
                self.surface.coloring = self.surface.coloring.settled(self.surface)
        self._repaint.step(0.0)
        if self._repaint.over:
            if self.state != "replaced":
                self.error = self.error or self._repaint.error
            self._end()

    def _end(self) -> None:
        self._ended = True
        self._workspace.leave(self)
        kept = len(self.surface.frames)
        self.progress.end(self.state, kept)
        if self.error is not None and kept:
            self.error = type(self.error)(
                f"{self.error}; kept {counted(kept, 'finished frame')} in '{self.surface.name}'"
            )

    def _abandon(self, error: UserError) -> None:
        self.cancel(error)
        self.error = self.error or error
        self._ended = True
        self._workspace.leave(self)


_EVENTS: dict[str, Callable[[Job, Any], None]] = {
    "job": Job._on_job,
    "progress": Job._on_progress,
    "frame": Job._on_frame,
    "attributes": Job._on_attributes,
    "end": Job._on_end,
    "failed": Job._on_failed,
}
