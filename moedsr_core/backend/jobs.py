"""Jobs: one computation each, done one after the other in a thread of this process."""

from __future__ import annotations

import logging
import queue
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from moedsr_core.backend.options import JobOptions
from moedsr_core.backend.spool import Record, Spool
from moedsr_core.backend.wire import JobRequest, as_json
from moedsr_core.errors import BackendError, CancelledError, MoedsrError
from moedsr_core.structure import Structure

log = logging.getLogger(__name__)

STOP_GRACE_S = 1.0
"""How long the thread may take to end before its files are removed under it [s]."""
_ERROR_LENGTH = 500
FINISHED = ("done", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something an engine has finished."""

    kind: Literal["frame", "attributes", "summary"]
    """What it is; see the stream of the protocol."""
    data: Mapping[str, Any]
    """Arrays by name, or the entries of the summary."""


Engine = Callable[
    [Structure, JobOptions, Callable[[str, int], None], Callable[[], bool]],
    Generator[Event, None, None],
]
"""``engine(structure, options, on_progress, should_stop)`` yields events; it calls
``on_progress(stage, frames)`` where a stage begins, with the frames that there will be, and ends
early, or raises :class:`CancelledError`, once ``should_stop()`` is true."""


class Job:
    """One request, its state and its spool. Safe to use from any thread."""

    def __init__(self, request: JobRequest, folder: Path) -> None:
        self.id = secrets.token_hex(8)
        self.spool = Spool(folder / self.id)
        self.state = "queued"
        self.error: str | None = None
        self.summary: dict[str, Any] = {}
        self.stage = "queued"
        self.frames = 1 if request.options.kind == "surface" else request.options.frames or 0
        self._request: JobRequest | None = request
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], object]] = []
        self._started: float | None = None
        self._ended: float | None = None
        self._frame_times: list[float] = []

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self.state in FINISHED

    @property
    def seconds(self) -> float:
        """Time since the computation began [s]; 0 while it waits."""
        if self._started is None:
            return 0.0
        return (self._ended or time.monotonic()) - self._started

    @property
    def seconds_left(self) -> float | None:
        """Time until the last frame at the pace of the frames so far [s]; None before two."""
        if self.finished:
            return 0.0
        times = self._frame_times
        if len(times) < 2:
            return None
        pace = (times[-1] - times[0]) / (len(times) - 1)
        ahead = pace * (self.frames - len(times)) - (time.monotonic() - times[-1])
        return max(ahead, 0.0)

    def status(self) -> dict[str, Any]:
        """Entries of ``GET /v1/jobs/ID``."""
        return {
            "id": self.id,
            "state": self.state,
            "stage": self.stage,
            "frames_done": self.spool.n_frames,
            "frames": self.frames,
            "seconds": self.seconds,
            "seconds_left": self.seconds_left,
            "error": self.error,
            "summary": self.summary,
        }

    def records(self) -> list[Record]:
        """What can be streamed now."""
        return list(self.spool.records)

    def cancel(self) -> None:
        """Stop the job; what it has made so far stays."""
        self._finish("cancelled")

    def run(self, engine: Engine) -> None:
        """Compute, in the calling thread, until done, failed or cancelled."""
        request = self._begin()
        if request is None:
            return
        try:
            self._consume(engine, request)
        except CancelledError:
            self._finish("cancelled")
        except MoedsrError as error:
            self._finish("failed", str(error))
        except Exception as error:
            log.exception("job %s failed", self.id)
            self._finish("failed", _sentence(error))
        else:
            self._finish("done")

    @contextmanager
    def listener(self, call: Callable[[], object]) -> Iterator[None]:
        """Have ``call`` called, in the computing thread, whenever something has changed."""
        with self._lock:
            self._listeners.append(call)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(call)

    def _begin(self) -> JobRequest | None:
        with self._lock:
            if self.finished:
                return None
            self.state, self.stage, self._started = "running", "starting", time.monotonic()
            return self._request

    def _consume(self, engine: Engine, request: JobRequest) -> None:
        events = engine(request.structure, request.options, self._progress, lambda: self.finished)
        with closing(events):
            for event in events:
                if self.finished:
                    raise CancelledError("the job was cancelled")
                self._take(event)

    def _take(self, event: Event) -> None:
        if event.kind == "summary":
            self.summary.update(as_json(event.data))
        elif event.kind == "attributes":
            self.spool.add_attributes(event.data)
        else:
            self.spool.add_frame(event.data)
            self._frame_times.append(time.monotonic())
            self.frames = max(self.frames, self.spool.n_frames)
            self.summary.setdefault("seconds_to_first_frame", self.seconds)
        self._notify()

    def _progress(self, stage: str, frames: int) -> None:
        self.stage, self.frames = stage, frames
        self._notify()

    def _finish(self, state: str, error: str | None = None) -> None:
        with self._lock:
            if self.finished:
                return
            self._ended = time.monotonic()
            self._request = None
            self.summary["seconds"] = self.seconds
            self.error, self.stage, self.state = error, state, state
        self._notify()

    def _notify(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for call in listeners:
            with suppress(RuntimeError):  # its event loop has ended meanwhile
                call()


class JobQueue:
    """All jobs of this process, and the thread that runs them in the order of arrival.

    Args:
        engine: What computes.
        folder: Where the jobs' own folder is made; the system's temporary folder by default.
        prepare: Called once in the computing thread before its first job.

    Raises:
        BackendError: If no folder can be made there.
    """

    def __init__(
        self,
        engine: Engine,
        folder: Path | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self.folder = _own_folder(folder)
        self._engine = engine
        self._prepare = prepare
        self._jobs: dict[str, Job] = {}
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="moedsr-jobs", daemon=True)
        self._thread.start()

    def submit(self, request: JobRequest) -> Job:
        """Queue a job.

        Raises:
            BackendError: If its folder cannot be made.
        """
        job = Job(request, self.folder)
        self._jobs[job.id] = job
        self._waiting.put(job)
        return job

    def get(self, job_id: str) -> Job | None:
        """The job of that name, if there is one."""
        return self._jobs.get(job_id)

    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        return list(self._jobs.values())

    def delete(self, job: Job) -> None:
        """Cancel a job and forget all it made."""
        job.cancel()
        self._jobs.pop(job.id, None)
        job.spool.remove()

    def cancel_all(self) -> None:
        """Cancel every job that has not finished."""
        for job in self.jobs():
            job.cancel()

    def close(self) -> None:
        """Cancel everything and remove the folder of the jobs."""
        self.cancel_all()
        self._waiting.put(None)
        self._thread.join(STOP_GRACE_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _work(self) -> None:
        if self._prepare is not None:
            try:
                self._prepare()
            except Exception:  # the jobs will say so themselves
                log.exception("the engine could not be prepared")
        while (job := self._waiting.get()) is not None:
            job.run(self._engine)
            if job.id not in self._jobs:
                job.spool.remove()


def _own_folder(parent: Path | None) -> Path:
    try:
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="moedsr-jobs-", dir=parent))
    except OSError as error:
        raise BackendError(
            f"could not make a folder for jobs in {parent or tempfile.gettempdir()} "
            f"({error.strerror or error}); choose a writable one with --jobs-dir"
        ) from error


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            "the computer ran out of memory; use a larger spacing, fewer frames or a smaller "
            "selection"
        )
    text = " ".join(str(error).split())[:_ERROR_LENGTH]
    return f"internal error: {type(error).__name__}: {text}"
