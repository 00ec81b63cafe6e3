"""What a server must be like after requests that are not right."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from backend_support import Client, wait_until
from lab import Lab

log = logging.getLogger("faults")
MB = 1 << 20
GROWTH = 16 * MB
"""What may be left in memory and in the folder after any number of bad requests: buffers, and the
log of the database."""


@contextmanager
def leaves_nothing(lab: Lab) -> Iterator[str]:
    """A finished job of a server which is the same afterwards, lives, and has logged no failure."""
    before, logged, client = lab.footprint(), len(lab.log), lab.client()
    yield _finished_job(client)
    _finished_job(client)
    for row in client("GET", "/jobs").json():
        assert client("DELETE", f"/jobs/{row['id']}").status_code == 204
    wait_until(lambda: lab.footprint().entries == before.entries, "all files are gone")
    after = lab.footprint()
    grown, kept = after.memory - before.memory, after.disk - before.disk
    log.info("memory grew by %.1f MB, the folder by %.1f MB", grown / MB, kept / MB)
    assert grown < GROWTH and kept < GROWTH
    assert lab.process.poll() is None
    assert "Traceback" not in lab.log[logged:] and " error " not in lab.log[logged:]


def _finished_job(client: Client) -> str:
    job = client.create(frames=2)
    assert client.end(job)["state"] == "done"
    return job


def judge(status: int, content: bytes) -> None:
    """Refuse failures, and refusals that are no sentence."""
    assert status < 500, content
    assert b"Traceback" not in content and b"site-packages" not in content
    if status >= 400:
        answer = json.loads(content)
        assert list(answer) == ["detail"] and isinstance(answer["detail"], str)
