"""The stream of one job: its records as they are made, and signs of life between them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from moedsr_core.backend.live import LiveJob
from moedsr_core.backend.wire.records import record_line

PULSE_S = 1.0
"""Time between progress records [s]; the protocol promises one every 2 s."""


class _Pulse:
    """Progress records: one at the start, where a stage begins, and every :data:`PULSE_S`."""

    def __init__(self, live: LiveJob) -> None:
        self._live = live
        self._stage = ""
        self._last = float("-inf")

    def is_due(self) -> bool:
        late = time.monotonic() - self._last >= PULSE_S
        return late or self._stage != self._live.stage

    def record(self, place: int | None) -> bytes:
        status = self._live.status(place)
        self._last, self._stage = time.monotonic(), status["stage"]
        shown = ("stage", "frames_done", "frames", "seconds_left", "queue_position")
        return record_line({"type": "progress", **{name: status[name] for name in shown}})


async def stream_job(
    live: LiveJob,
    start: int,
    is_ending: Callable[[], bool] = lambda: False,
    place: Callable[[], int | None] = lambda: None,
) -> AsyncIterator[bytes]:
    """Yield the stream of a job, following it until it ends.

    Each file is read when the reader is ready for it, so a slow reader costs no memory.

    Args:
        live: The job; the caller sees to it that its files stay.
        start: First frame that is sent; attributes are always sent.
        is_ending: Whether the server ends, and with it the stream, without an end record.
        place: How many jobs are before it in the queue.
    """
    loop, changed, pulse = asyncio.get_running_loop(), asyncio.Event(), _Pulse(live)
    sent, lost = 0, False
    with live.listener(lambda: loop.call_soon_threadsafe(changed.set)):
        while not is_ending():
            changed.clear()
            finished, records = live.job.finished, live.job.records
            if pulse.is_due() and not finished:
                waits = live.job.state == "queued"
                yield pulse.record(await asyncio.to_thread(place) if waits else None)
            if sent < records:
                record = await asyncio.to_thread(_wanted, live, sent, start)
                sent += 1
                if lost := record is None:
                    break
                if record:
                    yield record
            elif finished:
                break
            else:
                with suppress(TimeoutError, asyncio.TimeoutError):
                    await asyncio.wait_for(changed.wait(), PULSE_S)
    if live.job.finished or lost:
        yield _end(live, lost)


def _wanted(live: LiveJob, place: int, start: int) -> bytes | None:
    """A record as it is sent; empty for a frame before the first wanted one, None if it is gone."""
    record = live.spool.read(place)
    if record and start:
        head = json.loads(record[: record.index(b"\n")])
        if head.get("index", start) < start:
            return b""
    return record


def _end(live: LiveJob, lost: bool) -> bytes:
    fields: dict[str, Any] = {"type": "end", "state": live.job.state, "error": live.job.error}
    if lost and live.job.state != "cancelled":
        fields.update(state="failed", error="the files of this job were deleted; run it again")
    return record_line({**fields, "summary": live.job.summary})
