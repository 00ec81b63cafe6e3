"""One job on one worker."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from moedsr_core.backend.live import LiveJob
from moedsr_core.backend.messages import Message
from moedsr_core.backend.service import JobService
from moedsr_core.backend.workers import Worker, WorkerDied
from moedsr_core.errors import BackendError

log = logging.getLogger(__name__)

_ENDS = ("done", "failed", "cancelled")


class Run:
    """One job on one worker."""

    def __init__(self, service: JobService, live: LiveJob, worker: Worker) -> None:
        self._service, self._live, self._worker = service, live, worker
        self._attributes = live.job.records - live.job.frames_done
        self._last_frame = live.spool.last_frame(live.job.records)

    def carry_out(self) -> None:
        """Compute, and keep what is made, until done, failed, cancelled or put back.

        Raises:
            WorkerDied: If the worker ended; the job waits for another one then.
        """
        live, worker = self._live, self._worker
        live.on_cancel = worker.stop
        try:
            messages = worker.run(live.spool.request(), max(live.job.frames_done - 1, 0))
            if live.job.finished:  # cancelled before the worker knew of it
                worker.stop()
            state, error = self._keep_all(messages)
        except WorkerDied:
            self._service.put_back(live, blame=not self._service.closing)
            raise
        except BackendError as problem:
            state, error = "failed", str(problem)
        except Exception as problem:
            log.exception("job %s failed", live.job.id)
            self._service.finish(live, "failed", f"internal error: {type(problem).__name__}")
            raise WorkerDied("it said something that cannot be") from problem
        finally:
            live.on_cancel = lambda: None
        if state == "cancelled" and not live.job.finished:  # not by its owner, so the server ends
            self._service.put_back(live, blame=False)
        else:
            self._service.finish(live, state, error)

    def _keep_all(self, messages: Iterator[Message]) -> tuple[str, str | None]:
        """Keep what comes; state and error of the end.

        Where a record cannot be kept the job fails at once, and the worker is heard out.
        """
        for head, data in messages:
            if head["type"] in _ENDS:
                return head["type"], head.get("error")
            if self._live.job.finished:
                continue
            try:
                self._keep(head, data)
            except BackendError as problem:
                self._service.finish(self._live, "failed", str(problem))
                self._worker.stop()
        return "failed", "the worker ended the job without a word; run it again"

    def _keep(self, head: dict[str, Any], data: bytes) -> None:
        kind, service, live = head["type"], self._service, self._live
        if kind == "progress":
            service.progress(live, head["stage"], head["frames"])
        elif kind == "summary":
            live.job.summary.update(head["summary"])
        elif kind == "attributes" and self._attributes:
            self._attributes -= 1
        elif kind == "frame" and head["index"] < live.job.frames_done:
            self._compare(data)
        else:
            line = {name: value for name, value in head.items() if name != "bytes"}
            service.add_record(live, line, data)

    def _compare(self, data: bytes) -> None:
        """Make sure that the frames to come go on from those that were kept."""
        kept = (self._last_frame or b"").partition(b"\n")[2]
        if kept != data:
            raise BackendError(
                "the frames computed after an interruption are not those from before, probably on "
                "another kind of processor; run the job again"
            )
