"""All that can be done with jobs: what the routes ask for, and what the workers bring."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from moedsr_core.backend.data_folder import DataFolder
from moedsr_core.backend.expiry import Keep
from moedsr_core.backend.jobstore import Job
from moedsr_core.backend.keys import content_hash, job_key
from moedsr_core.backend.live import LiveJob
from moedsr_core.backend.refusals import NotFoundError, StartingError
from moedsr_core.backend.wire.request import JobRequest, read_request
from moedsr_core.backend.worklist import WorkList
from moedsr_core.errors import BackendError

_UNPACKED_AT_ONCE = 2
"""Requests that are unpacked at the same time: each may take 64 MB, however small it came."""


class JobService(WorkList):
    """Jobs of all owners in one data folder. Safe to use from any thread.

    Args:
        folder: Where everything is kept.
        keep: What is kept of finished jobs.
        model_folders: Whether a job may name a folder with weights on this computer, which is for
            its own user only.
        admit: Called with the owner and the request of a job before it is queued; may raise.
        on_event: Called with a job that was ``created``, ``started``, has made a ``frame``, waits
            ``again``, or has ``ended``; must be quick and not raise.
        expelled: Gives the owners whose unfinished jobs are to be cancelled.

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
        expelled: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._unpacking = threading.BoundedSemaphore(_UNPACKED_AT_ONCE)
        self._expelled = expelled
        super().__init__(folder, keep, admit, on_event, model_folders)

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

    def tick(self) -> None:
        """Do what is to be done from time to time, such as removing what has expired."""
        with self._changed:
            try:
                self._expel()
                self._expiry.advance()
                self._sweep()
            except BackendError as error:
                self._complain(error)
            for live in list(self._live.values()):
                if live.unsaved:
                    self._let_go(live)

    def _expel(self) -> None:
        gone = self._expelled()
        for live in list(self._live.values()):
            if live.job.owner in gone:
                self._end(live, "cancelled", "the token of its owner was revoked")

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

    def _description(self) -> dict[str, Any]:
        description = self.workers.describe()
        if description is None:
            raise StartingError("the process that computes is still starting; try again soon")
        return description
