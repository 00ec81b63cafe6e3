"""The stream of one job: its records as they are made, and signs of life between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from moedsr_core.backend.jobs import Job
from moedsr_core.backend.spool import Record
from moedsr_core.backend.wire import record_line

PULSE_S = 1.0
"""Time between progress records [s]; the protocol promises one every 2 s."""


class _Pulse:
    """Progress records: one at the start, where a stage begins, and every :data:`PULSE_S`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._stage = ""
        self._last = float("-inf")

    def is_due(self) -> bool:
        late = time.monotonic() - self._last >= PULSE_S
        return late or self._stage != self._job.stage

    def record(self) -> bytes:
        status = self._job.status()
        self._last, self._stage = time.monotonic(), status["stage"]
        shown = ("stage", "frames_done", "frames", "seconds_left")
        return record_line({"type": "progress", **{name: status[name] for name in shown}})


async def stream_job(job: Job, start: int) -> AsyncIterator[bytes]:
    """Yield the stream of a job, following it until it ends.

    Each file is read when the reader is ready for it, so a slow reader costs no memory.

    Args:
        job: The job.
        start: First frame that is sent; attributes are always sent.
    """
    loop, changed, pulse = asyncio.get_running_loop(), asyncio.Event(), _Pulse(job)
    sent, lost = 0, False
    with job.listener(lambda: loop.call_soon_threadsafe(changed.set)):
        while True:
            changed.clear()
            finished, records = job.finished, job.records()
            if pulse.is_due() and not finished:
                yield pulse.record()
            if sent < len(records):
                record, sent = records[sent], sent + 1
                if record.index is None or record.index >= start:
                    data = await _read(record)
                    if lost := data is None:
                        break
                    yield _head(record)
                    yield data
            elif finished:
                break
            else:
                with suppress(TimeoutError, asyncio.TimeoutError):
                    await asyncio.wait_for(changed.wait(), PULSE_S)
    yield _end(job, lost)


def _head(record: Record) -> bytes:
    if record.index is None:
        return record_line({"type": "attributes"}, record.size)
    return record_line({"type": "frame", "index": record.index}, record.size)


async def _read(record: Record) -> bytes | None:
    """Contents of a record; None once its job has been deleted."""
    try:
        return await asyncio.to_thread(record.path.read_bytes)
    except OSError:
        return None


def _end(job: Job, lost: bool) -> bytes:
    fields: dict[str, Any] = {"type": "end", "state": job.state, "error": job.error}
    if lost and job.state != "cancelled":
        fields.update(state="failed", error="the files of this job were deleted; run it again")
    return record_line({**fields, "summary": job.summary})
