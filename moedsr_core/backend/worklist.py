"""Jobs handed to workers, and what becomes of them there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from moedsr_core.backend.data_folder import DataFolder
from moedsr_core.backend.expiry import Keep
from moedsr_core.backend.jobstore import Job
from moedsr_core.backend.jobtable import MAX_ATTEMPTS, JobTable, gave_up
from moedsr_core.backend.keys import job_key
from moedsr_core.backend.live import LiveJob
from moedsr_core.backend.wire.request import JobRequest
from moedsr_core.errors import InputError

_NAME = re.compile(r"\w[\w-]{0,63}")


class WorkList(JobTable):
    """What :class:`moedsr_core.backend.service.JobService` is for workers; see there."""

    def __init__(
        self,
        folder: DataFolder,
        keep: Keep | None,
        admit: Callable[[str, JobRequest], object],
        on_event: Callable[[str, LiveJob], object],
        model_folders: bool,
    ) -> None:
        self._model_folders = model_folders
        super().__init__(folder, keep, admit, on_event)

    def take(
        self,
        accepts: Callable[[Job], bool],
        check: Callable[[Mapping[str, Any]], dict[str, Any]],
        timeout: float,
    ) -> LiveJob | None:
        """The next job for a worker, which has begun then.

        Args:
            accepts: Whether the worker takes a job.
            check: What the worker makes of options.
            timeout: How long to wait for one [s].

        Returns:
            The job; None if there was none.
        """
        with self._changed:
            job_id = self._next(accepts)
            if job_id is None and not self._closing:
                self._changed.wait(timeout)
                job_id = self._next(accepts)
            live = None if job_id is None else self._live[job_id]
        return live if live is not None and self._begin(live, check) else None

    def progress(self, live: LiveJob, stage: str, frames: int) -> None:
        """Note the stage that begins, and the frames that there will be."""
        if not live.job.finished:
            live.stage, live.job.frames = stage, frames
            live.notify()

    def add_record(self, live: LiveJob, head: Mapping[str, Any], data: bytes) -> None:
        """Keep the next record of a job.

        Raises:
            DiskFullError: If there is no space for it.
            BackendError: If it cannot be written for another reason.
        """
        if live.job.finished:
            return
        size = self._with_room(lambda: live.spool.add(live.job.records, head, data))
        live.note_record(head["type"] == "frame", size)
        if head["type"] == "frame":
            self._on_event("frame", live)
        live.notify()

    def finish(self, live: LiveJob, state: str, error: str | None = None) -> None:
        """End a job, and let go of it."""
        with self._changed:
            self._end(live, state, error)
            self._let_go(live)

    def put_back(self, live: LiveJob, *, blame: bool = True) -> None:
        """Let a job wait for another worker, at its old place.

        Args:
            live: The job.
            blame: Whether it may be the job that ended the worker.
        """
        with self._changed:
            job = live.job
            job.attempts += blame
            if job.attempts >= MAX_ATTEMPTS:
                self._end(live, "failed", gave_up("computing process", job.attempts))
            if job.finished:
                self._let_go(live)
                return
            live.wait_again()
            self._save(live)
            self._queue.add(job.id, job.owner, job.position, again=True)
            self._on_event("again", live)
            self._changed.notify_all()
        live.notify()

    def fail_waiting(self, sentence: str) -> None:
        """Fail every job that waits, where there is no hope of a worker."""
        with self._changed:
            while (job_id := self._queue.take()) is not None:
                self.finish(self._live[job_id], "failed", sentence)

    def stop_taking(self) -> None:
        """Give no more jobs to workers; those that run can be put back."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for live in list(self._live.values()):
            live.notify()

    @property
    def closing(self) -> bool:
        """Whether the server is about to end."""
        return self._closing

    def _begin(self, live: LiveJob, check: Callable[[Mapping[str, Any]], dict[str, Any]]) -> bool:
        """Let a worker begin with a job; false where there is nothing left to do."""
        job = live.job
        try:
            self._refuse_model_folder(job.options["model"])
            resolved = check({"kind": job.kind, **job.options})
        except InputError as error:
            self.finish(live, "failed", str(error))
            return False
        except BaseException:
            self.put_back(live, blame=False)
            raise
        with self._changed:
            if job.finished:
                self._let_go(live)
                return False
            job.options, job.key = resolved["options"], job_key(job.kind, resolved, job.content)
            own = live.spool
            if self._answer_from_store(live):
                self._let_go(live)
                own.remove()
                live.notify()
                return False
            live.begin()
            self._save(live)
            self._on_event("started", live)
        live.notify()
        return True

    def _refuse_model_folder(self, model: str | None) -> None:
        """Refuse names that are paths: they would let a client look around on the server."""
        if self._model_folders or model in (None, "default"):
            return
        description = self.workers.describe()
        known = [entry["name"] for entry in description["models"]] if description else []
        if model not in known and (description or not _NAME.fullmatch(str(model))):
            raise InputError(
                f"unknown model {str(model)[:40]!r}; choose from {', '.join(known) or '/v1/models'}"
            )

    def _next(self, accepts: Callable[[Job], bool]) -> str | None:
        if self._closing:
            return None
        return self._queue.take(lambda job_id: accepts(self._live[job_id].job))
