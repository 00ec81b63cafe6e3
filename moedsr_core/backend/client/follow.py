"""A job's stream to its end, whatever happens to the connection on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from .client import BackendClient
from .decoding import FrameDecoder
from .errors import BackendError, StoppedError, UnreachableError
from .patience import Patience
from .records import Record, broke_off

Report = Callable[[str, float], None]
"""Is told why one waits, and how long one has waited already [s]."""


class Follower:
    """Every record of a job once, with frames decoded.

    A stream that breaks off or falls silent is taken up at the next frame; a server that is away
    is waited for.

    Args:
        connect: Gives a connection for this thread; called again after each failure.
        job: The job's id.
        report: Is told why it waits, and how long it has waited already [s].
        patience: How long it waits.
        start: First frame that is wanted; only 0, or the number of all frames, which gives all
            but frames.
    """

    def __init__(
        self,
        connect: Callable[[], BackendClient],
        job: str,
        report: Report = lambda reason, waited: None,
        patience: Patience | None = None,
        start: int = 0,
    ) -> None:
        self._connect, self._job, self._report = connect, job, report
        self._patience = patience or Patience()
        self._client: BackendClient | None = None
        self._stopped = threading.Event()
        self._next, self._attributes = start, 0
        self._decoder = FrameDecoder()

    def stop(self) -> None:
        """Make the thread that reads give up at once."""
        self._stopped.set()
        client = self._client
        if client is not None:
            client.stop()

    def records(self) -> Iterator[Record]:
        """Records until the job's end, the ``end`` record included.

        Raises:
            StoppedError: If :meth:`stop` was called.
            RefusedError: If there is no such job.
            BackendError: If the server stays away, or what it sends is not the protocol.
        """
        away, barren = 0.0, 0
        while True:
            began, before, alive = time.monotonic(), self._next, False
            try:
                for record in self._one_connection():
                    alive = True
                    yield record
                    if record.kind == "end":
                        return
            except UnreachableError as error:
                barren = 1 if self._next > before else barren + 1
                away = 0.0 if alive else away + self._lasted(began)
                away += self._wait(error, away, barren)

    def _lasted(self, began: float) -> float:
        """Time that a try took [s]: at most its time-outs, the rest this computer has slept."""
        return min(time.monotonic() - began, self._patience.connect_s + self._patience.silence_s)

    def _wait(self, error: UnreachableError, away: float, barren: int) -> float:
        """Wait before the next try; returns for how long [s]."""
        patience = self._patience
        if away > patience.outage_s or barren > patience.barren:
            raise BackendError(
                f"{error}; it was asked {barren} times in vain, the job may still be fetched later"
            ) from error
        self._report(str(error), away)
        wait = patience.wait(barren) if error.wait_s is None else error.wait_s
        if self._stopped.wait(wait):
            raise StoppedError("stopped on request")
        return wait

    def _one_connection(self) -> Iterator[Record]:
        """Records that are new, until the end or a failure."""
        self._client = client = self._connect()
        try:
            if self._stopped.is_set():
                raise StoppedError("stopped on request")
            for record in self._new(client):
                yield record
                if record.kind == "end":
                    return
            raise UnreachableError(broke_off(client.address.url))
        finally:
            self._client = None
            client.close()

    def _new(self, client: BackendClient) -> Iterator[Record]:
        """One stream without what came over an earlier one: each sends all attributes."""
        seen = 0
        for record in client.stream(self._job, self._next):
            if record.kind == "attributes":
                seen += 1
                if seen <= self._attributes:
                    continue
                self._attributes = seen
            elif record.kind == "frame":
                if record.index < self._next and record.index >= 0:
                    continue
                if record.index != self._next:
                    raise BackendError(
                        f"{client.address.url} sent frames out of order; update or restart it"
                    )
                record = self._decoder.decode(record)
                self._next += 1
            yield record
