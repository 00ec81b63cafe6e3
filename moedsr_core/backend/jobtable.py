"""Jobs while something happens to them, and the table and folders in which that is kept.

Everything here is done with the lock held unless it says otherwise.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from moedsr_core.backend.data_folder import DataFolder
from moedsr_core.backend.expiry import Expiry, Keep
from moedsr_core.backend.jobstore import Job, JobStore
from moedsr_core.backend.live import LiveJob
from moedsr_core.backend.refusals import DiskFullError, NotFoundError
from moedsr_core.backend.scheduler import FairQueue
from moedsr_core.backend.spool import Spool
from moedsr_core.backend.wire.request import JobRequest
from moedsr_core.backend.workers import NoWorkers, Workers
from moedsr_core.errors import BackendError

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
"""Workers that may die with a job, without a new frame between, before it is given up."""
MAX_RESTARTS = 10
"""Servers that may do so; they are ended for many reasons that are no fault of the job."""
_T = TypeVar("_T")


class JobTable:
    """What :class:`moedsr_core.backend.worklist.WorkList` is built on."""

    def __init__(
        self,
        folder: DataFolder,
        keep: Keep | None,
        admit: Callable[[str, JobRequest], object],
        on_event: Callable[[str, LiveJob], object],
    ) -> None:
        self.folder = folder
        self.workers: Workers = NoWorkers()
        self.admit, self._on_event = admit, on_event
        self.store = JobStore(folder.database)
        self._expiry = Expiry(self.store, keep or Keep())
        self._live: dict[str, LiveJob] = {}
        self._queue = FairQueue()
        self._readers: Counter[str] = Counter()
        self._closing = False
        self._complaint = ""
        self._changed = threading.Condition(threading.RLock())
        self._position = self.store.next_position()
        self._recover()

    def _recover(self) -> None:
        """Go on where the last server was ended, however it was."""
        try:
            self._expiry.begin()
        except DiskFullError as error:  # what is removed below may make room
            self._complain(error)
        known = self.store.ids()
        for path in self.folder.jobs.iterdir():
            if path.name not in known:
                Spool(path).remove()
        unfinished = self.store.unfinished()
        for job in unfinished:
            if job.state == "queued":
                self._requeue(job)
        for job in reversed(unfinished):
            if job.state == "running":
                self._requeue(job)
        self._sweep()

    def _requeue(self, job: Job) -> None:
        live, ran = self._at_rest(job), job.state == "running"
        held = live.spool.recount()
        if held.frames > job.frames_done:
            job.attempts = job.restarts = 0
        job.restarts += ran
        job.records, job.frames_done, job.bytes = held.records, held.frames, held.bytes
        self._live[job.id] = live
        if not job.owner or job.restarts > MAX_RESTARTS:
            self._end(live, "failed", gave_up("server", job.restarts))
            self._let_go(live)
            return
        live.wait_again()
        self._save(live)
        self._queue.add(job.id, job.owner, job.position, again=ran)

    def _admit(self, job: Job, request: JobRequest, body: bytes) -> dict[str, Any]:
        with self._changed:
            known = job.idempotency and self.store.with_idempotency(job.owner, job.idempotency)
            if known:
                return self._status(self._live.get(known.id) or self._at_rest(known), {})
            self.admit(job.owner, request)
            job.position = self._position
            live = self._at_rest(job)
            if self._answer_from_store(live):
                self.store.insert(job)
            else:
                live.spool.create(body)
                job.bytes = len(body)
                try:
                    self.store.insert(job)
                except BackendError:
                    live.spool.remove()
                    raise
                self._live[job.id] = live
                self._queue.add(job.id, job.owner, job.position)
                self._changed.notify_all()
            self._position += 1
            self._on_event("created", live)
            return self._status(live, self._queue.places())

    def _answer_from_store(self, live: LiveJob) -> bool:
        """Whether the result is there already, which is the job's own then."""
        job = live.job
        done = self.store.done_with_key(job.key) if job.key else None
        if done is None or done.id == job.id:
            return False
        job.result_of, job.records, job.bytes = done.folder, done.records, 0
        job.frames, job.frames_done = done.frames, done.frames_done
        live.spool = Spool(self.folder.jobs / done.folder)
        live.end("done")
        job.summary = dict(done.summary)
        return True

    def _end(self, live: LiveJob, state: str, error: str | None = None) -> None:
        if live.job.finished:
            return
        waited = self._queue.remove(live.job.id)
        live.end(state, error)
        self._on_event("ended", live)
        live.on_cancel()
        self._save(live)
        if waited:
            self._let_go(live)
        live.notify()

    def _let_go(self, live: LiveJob) -> None:
        """Forget a finished job that no worker works on, once the table tells how it ended."""
        live.unsaved = not self._save(live)
        if not live.unsaved:
            self._live.pop(live.job.id, None)
            if not live.job.owner:
                self._sweep()

    def _save(self, live: LiveJob) -> bool:
        """Write a job's row; where the disk is full, it is tried again later."""
        try:
            self._with_room(lambda: self.store.save(live.job))
        except BackendError as error:
            self._complain(error)
            return False
        self._complaint = ""
        return True

    def _complain(self, error: BackendError) -> None:
        """Log what is wrong with the folder; once, until something could be written again."""
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.error("%s", error)

    def _with_room(self, write: Callable[[], _T]) -> _T:
        """Write, if need be after what has expired has made room."""
        try:
            return write()
        except DiskFullError:
            with self._changed:
                if not self._sweep():
                    raise
            return write()

    def _save_later(self, live: LiveJob) -> None:
        """Write a job's row, now or as soon as there is space."""
        if not self._save(live):
            live.unsaved = True
            self._live[live.job.id] = live

    def _sweep(self) -> int:
        """Remove what has expired; returns the number of jobs, 0 where the disk is too full."""
        try:
            return self._expiry.sweep(self._is_used, self._remove)
        except DiskFullError as error:
            self._complain(error)
            return 0

    def _is_used(self, job_id: str) -> bool:
        return job_id in self._live or self._readers[job_id] > 0

    def _is_needed(self, job_id: str) -> bool:
        """Whether something still reads, makes or refers to the records of a job."""
        free = (one for one, _, _ in self.store.removable())
        return self._is_used(job_id) or job_id not in free

    def _remove(self, job_id: str) -> None:
        try:
            self.store.delete(job_id)
        except DiskFullError:  # the files make room for noting that they are gone
            Spool(self.folder.jobs / job_id).remove()
            self.store.delete(job_id)
        Spool(self.folder.jobs / job_id).remove()

    def _find(self, owner: str, job_id: str) -> LiveJob:
        live = self._live.get(job_id)
        if live is None:
            row = self.store.get(job_id)
            live = None if row is None else self._at_rest(row)
        if live is None or not owner or live.job.owner != owner:
            raise NotFoundError(f"there is no job {job_id[:40]!r}; it was deleted or never made")
        return live

    def _at_rest(self, job: Job) -> LiveJob:
        return LiveJob(job, Spool(self.folder.jobs / job.folder))

    def _status(self, live: LiveJob, places: Mapping[str, int]) -> dict[str, Any]:
        return live.status(places.get(live.job.id))


def gave_up(what: str, times: int) -> str:
    """Why a job that ends whatever computes it is not tried again."""
    return (
        f"the {what} ended {times} times while it computed this job, which is therefore given up; "
        "it probably needs too much memory: use a larger spacing, fewer frames or a smaller "
        "selection"
    )
