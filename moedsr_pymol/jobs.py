"""A prediction under way: a thread receives frames, PyMOL's own thread shows them.

The thread speaks HTTP and numpy only. Whatever touches PyMOL happens in :meth:`Job.step`, which
does one small thing at a time: a timer of the window calls it, or a loop where there is none.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from .arguments import counted
from .backend import LocalBackend
from .client import BackendClient, Record
from .errors import BackendError, SilentStreamError, UserError
from .progress import Progress
from .repaint import Repaint
from .surface import Frame, Surface

RETRIES = 3
"""How often a broken stream is taken up again without a new frame."""
RETRY_S = 0.5
WAIT_S = 0.1


class Receiver:
    """The thread that starts one job and follows its stream.

    Args:
        backend: Where it is computed; started if need be.
        arrays: The atoms.
        options: The job's options.
    """

    def __init__(
        self, backend: LocalBackend, arrays: dict[str, np.ndarray], options: dict[str, Any]
    ) -> None:
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._backend, self._arrays, self._options = backend, arrays, options
        self._client: BackendClient | None = None
        self._job_id = ""
        self._last: Frame | None = None
        self._received = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="moedsr-stream", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Cancel and forget the job, without waiting for the backend to agree."""
        self._stop.set()
        threading.Thread(target=self._dismiss, name="moedsr-cancel", daemon=True).start()

    def _dismiss(self) -> None:
        if self._client is None or not self._job_id:
            return  # not started yet: the thread sees the flag and comes back here
        client = self._client.again()
        try:
            client.cancel(self._job_id)
            client.delete(self._job_id)
        except BackendError:
            pass  # a backend that is gone computes no more
        finally:
            client.close()

    def _run(self) -> None:
        try:
            self._begin()
            self._follow()
        except UserError as error:
            self.events.put(("failed", error))
        except Exception as error:  # a thread's traceback would reach nobody
            text = f"what the backend sent could not be understood ({error}); restart it"
            self.events.put(("failed", BackendError(text)))
        finally:
            if self._client is not None:
                self._client.close()

    def _begin(self) -> None:
        if not self._backend.running:
            self.events.put(("progress", {"stage": "starting the backend"}))
        self._client = self._backend.client()
        self._job_id = self._client.create(self._arrays, self._options)
        if self._stop.is_set():
            self._dismiss()

    def _follow(self) -> None:
        tries = 0
        while not self._stop.is_set():
            before = self._received
            try:
                if self._read_stream():
                    return
            except SilentStreamError as error:
                tries = 1 if self._received > before else tries + 1
                self._check_alive()
                if tries > RETRIES:
                    raise BackendError(f"{error}, {RETRIES} times") from error
                self._stop.wait(RETRY_S)

    def _check_alive(self) -> None:
        if not self._backend.running:
            words = self._backend.last_words()
            raise BackendError(
                "the backend ended in mid-job"
                + (f" ({words})" if words else "")
                + "; run the command again, which starts another"
            )

    def _read_stream(self) -> bool:
        """Pass on records until the end; whether there was one."""
        assert self._client is not None
        for record in self._client.stream(self._job_id, self._received):
            if self._stop.is_set():
                return True
            if record.kind == "end":
                self._delete()
                self.events.put(("end", record.fields))
                return True
            self._pass_on(record)
        raise SilentStreamError("the backend's answer broke off")

    def _pass_on(self, record: Record) -> None:
        if record.kind == "progress":
            self.events.put(("progress", record.fields))
        elif record.kind == "attributes":
            self.events.put(("attributes", record.arrays))
        elif record.kind == "frame" and record.fields.get("index") == self._received:
            self._last = Frame.read(record.arrays, self._last)
            self._received += 1
            self.events.put(("frame", self._last))
        elif record.kind != "frame" or not _is_earlier(record, self._received):
            raise BackendError("the backend sent frames out of order; restart it")

    def _delete(self) -> None:
        assert self._client is not None
        try:
            self._client.delete(self._job_id)
        except BackendError:
            pass  # the result is here; what the backend keeps of it does not matter


def _is_earlier(record: Record, received: int) -> bool:
    index = record.fields.get("index")
    return isinstance(index, int) and 0 <= index < received


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
        self._repaint: Repaint | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return self._ended

    def start(self) -> None:
        """Begin to receive frames."""
        self._workspace.jobs[self.surface.name] = self
        self._receiver.start()

    def cancel(self, error: UserError | None = None) -> None:
        """Stop; the frames that are shown stay."""
        if self.state == "running":
            self.state, self.error = ("failed", error) if error else ("cancelled", None)
            self._receiver.stop()

    def wait(self) -> None:
        """Show everything, then return; Ctrl-C cancels.

        Raises:
            UserError: If it failed.
        """
        try:
            while not self.over:
                self.step(WAIT_S)
        except KeyboardInterrupt:
            self.cancel()
            while not self.over:
                self.step(0.0)
        if self.error is not None:
            raise self.error

    def step(self, patience: float) -> None:
        """Do the next small thing: take one event, or draw one frame anew.

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
        try:
            kind, value = self._receiver.events.get(timeout=patience or None, block=patience > 0)
        except queue.Empty:
            return
        self._check_objects()
        if self.state == "running":
            _EVENTS[kind](self, value)

    def _check_objects(self) -> None:
        """Stop when the user has deleted what the job is for."""
        shown = bool(self.surface.frames)
        name = self.surface.name if shown else self.surface.atoms.object_name
        if name not in self._cmd.get_names("objects"):
            self.cancel()
            self.progress.say(f"'{name}' was deleted, so the prediction was cancelled")
            self.surface.frames.clear()

    def _on_progress(self, fields: dict[str, Any]) -> None:
        self.progress.update(fields)

    def _on_frame(self, frame: Frame) -> None:
        if not self.surface.frames:
            self._workspace.make_room(self.surface.name, self._cmd)
            self._workspace.surfaces[self.surface.name] = self.surface
        self.surface.frames.append(frame)
        self.surface.show(len(self.surface.frames) - 1, self._cmd)

    def _on_attributes(self, arrays: dict[str, Any]) -> None:
        self.surface.add_attributes(arrays)

    def _on_end(self, fields: dict[str, Any]) -> None:
        self.surface.summary = fields.get("summary") or {}
        self.state = str(fields.get("state"))
        if self.state not in ("done", "cancelled"):
            self.state = "failed"
            self.error = BackendError(str(fields.get("error") or "the backend gave no reason"))
        elif self.state == "done" and not self.surface.frames:
            self.state, self.error = "failed", BackendError("the backend sent no surface")

    def _on_failed(self, error: UserError) -> None:
        self.cancel(error)

    def _finish(self) -> None:
        """Draw anew what the last frames have made out of date, one frame a step."""
        if self._repaint is None:
            self._repaint = Repaint(self.surface, self._cmd)
            if self.surface.frames:
                self.surface.coloring = self.surface.coloring.settled(self.surface)
        self._repaint.step(0.0)
        if self._repaint.over:
            self.error = self.error or self._repaint.error
            self._end()

    def _end(self) -> None:
        self._ended = True
        self._workspace.jobs.pop(self.surface.name, None)
        kept = len(self.surface.frames)
        self.progress.end(self.state, self.surface.name, kept)
        if self.error is not None and kept:
            self.error = type(self.error)(
                f"{self.error}; kept {counted(kept, 'finished frame')} in '{self.surface.name}'"
            )

    def _abandon(self, error: UserError) -> None:
        self.cancel(error)
        self.error = self.error or error
        self._ended = True
        self._workspace.jobs.pop(self.surface.name, None)


_EVENTS: dict[str, Callable[[Job, Any], None]] = {
    "progress": Job._on_progress,
    "frame": Job._on_frame,
    "attributes": Job._on_attributes,
    "end": Job._on_end,
    "failed": Job._on_failed,
}
