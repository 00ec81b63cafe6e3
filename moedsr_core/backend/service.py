"""All that can be done with jobs: what the routes ask for, and what the workers bring."""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from moedsr_core.backend.data_folder import DataFolder
from moedsr_core.backend.expiry import Keep
from moedsr_core.backend.jobstore import Job
from moedsr_core.backend.jobtable import MAX_ATTEMPTS, JobTable, gave_up
from moedsr_core.backend.keys import content_hash, job_key
from moedsr_core.backend.live import LiveJob
from moedsr_core.backend.refusals import NotFoundError, StartingError
from moedsr_core.backend.wire.request import JobRequest, read_request
from moedsr_core.errors import BackendError, InputError

log = logging.getLogger(__name__)

_UNPACKED_AT_ONCE = 2
"""Requests that are unpacked at the same time: each may take 64 MB, however small it came."""
_NAME = re.compile(r"\w[\w-]{0,63}")


class JobService(JobTable):
    """Jobs of all owners in one data folder. Safe to use from any thread.

    Args:
        folder: Where everything is kept.
        keep: What is kept of finished jobs.
        model_folders: Whether a job may name a folder with weights on this computer, which is for
            its own user only.
        admit: Called with the owner and the request of a job before it is queued; may raise.
        on_event: Called with a job that was ``created``, ``started``, has made a ``frame``, waits
            ``again``, or has ``ended``; must be quick and not raise.

    Raises:
        BackendError: If the database cannot be used.
    """

    def __init__(
        self,
        folder: DataFolder,
        *,
        keep: Keep | None = None,
        model_folders: bool = False,
        admit: Callable[[str, JobRequest], object] = lambda owner, request: None,
        on_event: Callable[[str, LiveJob], object] = lambda event, live: None,
    ) -> None:
        self._model_folders = model_folders
        self._unpacking = threading.BoundedSemaphore(_UNPACKED_AT_ONCE)
        super().__init__(folder, keep, admit, on_event)

    # --- what the routes ask for -------------------------------------------------------------

    def create(self, owner: str, body: bytes, idempotency: str | None = None) -> dict[str, Any]:
        """Queue a job, or answer it from what is there.

        Args:
            owner: Whose it will be.
            body: The request as it came.
            idempotency: What the client calls this request; another one of the same name is the
                same job.

        Returns:
            Its status.

        Raises:
            InputError: If the request is refused.
            DiskFullError: If there is no space for it.
        """
        with self._unpacking:
            request = read_request(body)
        options = request.options
        self._refuse_model_folder(options.model)
        job = Job(
            id=secrets.token_hex(8), owner=owner, kind=options.kind, created=time.time(),
            options=options.resolved(), frames=options.n_frames, position=0,
            content=content_hash(request.structure), idempotency=idempotency,
        )  # fmt: skip
        resolved = self.workers.check(options.with_kind())
        if resolved is not None:
            job.options, job.key = resolved["options"], job_key(job.kind, resolved, job.content)
        return self._with_room(lambda: self._admit(job, request, body))

    def status(self, owner: str, job_id: str) -> dict[str, Any]:
        """Status of one job.

        Raises:
            NotFoundError: If the owner has none of that id.
        """
        with self._changed:
            return self._status(self._find(owner, job_id), self._queue.places())

    def statuses(self, owner: str) -> Iterator[dict[str, Any]]:
        """Status of each job of an owner, newest first; they are read as they are asked for."""
        with self._changed:
            places = self._queue.places()
        for row in self.store.of_owner(owner):
            live = self._live.get(row.id) or self._at_rest(row)
            if live.job.owner == owner:  # else it was deleted, which the table cannot tell yet
                yield self._status(live, places)

    def cancel(self, owner: str, job_id: str) -> dict[str, Any]:
        """Stop a job; what it has made stays readable.

        Raises:
            NotFoundError: If the owner has none of that id.
        """
        with self._changed:
            live = self._find(owner, job_id)
            self._end(live, "cancelled")
            return self._status(live, {})

    def delete(self, owner: str, job_id: str) -> None:
        """Cancel a job and forget it; its records go once nobody reads or needs them.

        Raises:
            NotFoundError: If the owner has none of that id.
        """
        with self._changed:
            live = self._find(owner, job_id)
            self._end(live, "cancelled", "somebody deleted it")
            live.job.owner, live.job.idempotency = "", None
            if self._is_needed(job_id):
                self._save_later(live)
            else:
                self._remove(job_id)
            self._sweep()

    @contextmanager
    def reading(self, owner: str, job_id: str) -> Iterator[LiveJob]:
        """A job whose records are not removed meanwhile.

        Raises:
            NotFoundError: If the owner has none of that id.
        """
        with self._changed:
            live = self._find(owner, job_id)
            self._readers[job_id] += 1
        try:
            yield live
        finally:
            with self._changed:
                self._readers[job_id] -= 1
                self._readers += Counter()  # forgets those that nobody reads
                if (row := self.store.get(job_id)) is not None and not row.owner:
                    self._sweep()

    def models(self) -> list[dict[str, Any]]:
        """Entries of ``GET /v1/models``.

        Raises:
            StartingError: If no worker is up yet.
        """
        return self._description()["models"]

    def card(self, model: str) -> str:
        """Model card of a model that is listed.

        Raises:
            NotFoundError: If there is none.
            StartingError: If no worker is up yet.
        """
        card = self._description()["cards"].get(model)
        if card is None:
            raise NotFoundError(f"there is no card of a model {model[:40]!r}; see /v1/models")
        return card

    def place(self, job_id: str) -> int | None:
        """How many jobs are before one in the queue; None where it does not wait."""
        with self._changed:
            return self._queue.places().get(job_id)

    def waiting(self, owner: str | None = None) -> int:
        """Number of jobs that wait, of one owner or of all."""
        with self._changed:
            return len(self._queue) if owner is None else self._queue.waiting_of(owner)

    def running(self) -> int:
        """Number of jobs that are computed."""
        with self._changed:
            return sum(live.job.state == "running" for live in self._live.values())

    def count_states(self) -> dict[str, int]:
        """Number of jobs in each state."""
        return self.store.count_states()

    def disk_bytes(self) -> int:
        """Size of all that the jobs keep [bytes]."""
        return self.store.total_bytes()

    # --- what those that compute bring -------------------------------------------------------

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

    def tick(self) -> None:
        """Do what is to be done from time to time: let jobs age, and remove what has expired."""
        with self._changed:
            try:
                self._expiry.advance()
                self._sweep()
            except BackendError as error:
                log.error("%s", error)
            for live in list(self._live.values()):
                if live.unsaved:
                    self._let_go(live)

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

    def close(self) -> None:
        """Keep what runs as waiting, for the next server, and let go of the folder."""
        self.stop_taking()
        with self._changed:
            for live in self._live.values():
                if live.job.state == "running":
                    live.wait_again()
                self._save(live)
            self.store.close()
            self.folder.close()

    # --- inside ---------------------------------------------------------------------------

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

    def _description(self) -> dict[str, Any]:
        description = self.workers.describe()
        if description is None:
            raise StartingError("the process that computes is still starting; try again soon")
        return description

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
