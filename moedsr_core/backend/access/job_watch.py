"""What jobs leave in the log and in the numbers."""

from __future__ import annotations

from moedsr_core.backend.access.logs import log_event
from moedsr_core.backend.access.metrics import Metrics
from moedsr_core.backend.live import LiveJob


class JobWatch:
    """Logs and counts what happens to jobs.

    Args:
        metrics: What counts.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, event: str, live: LiveJob) -> None:
        """Note an event: created, started, frame, again (after its worker died) or ended."""
        job = live.job
        if event == "frame":
            self._metrics.frames.inc()
            return
        if event == "started":
            self._metrics.note_job_start(waited=live.waited)
        ended = event == "ended"
        if ended:
            self._metrics.note_job_end(kind=job.kind, state=job.state, seconds=live.seconds)
        log_event(
            f"job {event}",
            owner=job.owner,
            job=job.id,
            kind=job.kind,
            state=job.state,
            frames=job.frames_done if ended else job.frames,
            ms=round(live.seconds * 1000) if ended else None,
            attempt=job.attempts or None,
        )
