"""Failures that the HTTP interface answers with a status of their own."""

from __future__ import annotations

import errno
import sqlite3

from moedsr_core.errors import BackendError, MoedsrError

_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


class Refusal(MoedsrError):
    """A request that is answered with a status and one sentence."""

    status = 400
    headers: dict[str, str] = {}  # noqa: RUF012


class NotFoundError(Refusal):
    """There is no such job, or it is somebody else's."""

    status = 404


class UnfinishedError(Refusal):
    """The job has no result, or none yet."""

    status = 409


class StartingError(Refusal):
    """No worker can answer yet."""

    status = 503
    headers = {"Retry-After": "5"}  # noqa: RUF012


class BusyError(Refusal):
    """The server has enough to do; the same request may succeed later.

    Args:
        sentence: What is full, and what to do.
        retry_after: When to try again [s].
    """

    status = 429

    def __init__(self, sentence: str, retry_after: int) -> None:
        super().__init__(sentence)
        self.headers = {"Retry-After": str(retry_after)}


class DiskFullError(Refusal, BackendError):
    """The disk with the data folder is full, also after what had expired was removed."""

    status = 507

    def __init__(self) -> None:
        super().__init__(
            "the disk of the server is full; delete finished jobs, or have its owner free some "
            "space, and try again"
        )


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a failure to write, or one that it was the cause of, is for want of space."""
    while error is not None:
        if isinstance(error, DiskFullError) or getattr(error, "errno", None) in _FULL:
            return True
        if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
            return True
        error = error.__cause__
    return False
