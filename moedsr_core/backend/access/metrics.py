"""Numbers for Prometheus: how many, how long, how large; never whose.

Owners are not labels: who runs how much is nobody's business who watches a server, and every name
would be a series of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
STATES = ("queued", "running", "done", "failed", "cancelled")
_METHODS = ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS")
_JOB_BUCKETS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""From a small surface to a long movie on a processor [s]."""
_REQUEST_BUCKETS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600)
"""From a status to a stream that is followed to its end [s]."""


@runtime_checkable
class JobSource(Protocol):
    """What is known of the jobs whenever the numbers are read."""

    def count_states(self) -> Mapping[str, int]:
        """Jobs in each state."""

    def disk_bytes(self) -> int:
        """Size of all that the jobs keep [bytes]."""


class Metrics:
    """The numbers of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "moedsr_requests", "Requests answered.", ("method", "route", "status"),
            registry=self.registry,
        )  # fmt: skip
        self._request_seconds = Histogram(
            "moedsr_request_seconds", "Time from a request to the end of its answer.", ("route",),
            buckets=_REQUEST_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._bytes = Counter(
            "moedsr_transferred_bytes", "Bytes of bodies.", ("direction",), registry=self.registry
        )
        self.streams = Gauge(
            "moedsr_streams_open", "Streams that are followed now.", registry=self.registry
        )
        self.frames = Counter("moedsr_frames", "Frames computed.", registry=self.registry)
        self._job_seconds = Histogram(
            "moedsr_job_seconds", "Time from the start of a job to its end.", ("kind", "state"),
            buckets=_JOB_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._wait_seconds = Histogram(
            "moedsr_job_wait_seconds", "Time that a job waited to be started.",
            buckets=_JOB_BUCKETS, registry=self.registry,
        )  # fmt: skip

    def watch(self, jobs: JobSource) -> None:
        """Ask a source for the numbers of jobs whenever these are read."""
        self.registry.register(_JobNumbers(jobs))

    def note_request(
        self, *, method: str, route: str, status: int, seconds: float, received: int, sent: int
    ) -> None:
        """Count one answered request.

        Args:
            method: Its method; unknown ones are counted as one.
            route: Its route, as it is declared; never the path.
            status: Status of the answer.
            seconds: Time to the end of the answer [s].
            received: Size of its body [bytes].
            sent: Size of the answer's body [bytes].
        """
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)
        self._bytes.labels("received").inc(received)
        self._bytes.labels("sent").inc(sent)

    def note_job_start(self, *, waited: float) -> None:
        """Count a job that has begun, after a time in the queue [s]."""
        self._wait_seconds.observe(max(waited, 0.0))

    def note_job_end(self, *, kind: str, state: str, seconds: float) -> None:
        """Count a job that has ended, after a time of computing [s]."""
        self._job_seconds.labels(kind, state).observe(max(seconds, 0.0))

    def text(self) -> bytes:
        """All numbers, as Prometheus reads them."""
        return generate_latest(self.registry)


class _JobNumbers(Collector):
    """Jobs and their disk space, at the moment of asking."""

    def __init__(self, jobs: JobSource) -> None:
        self._jobs = jobs

    def describe(self) -> list[Metric]:
        """Nothing: a registry that asks would ask the jobs before there are any."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The numbers now."""
        counts = self._jobs.count_states()
        states = GaugeMetricFamily("moedsr_jobs", "Jobs kept, by state.", labels=("state",))
        for state in STATES:
            states.add_metric((state,), counts.get(state, 0))
        yield states
        yield GaugeMetricFamily(
            "moedsr_queue_length", "Jobs that wait.", value=counts.get("queued", 0)
        )
        yield GaugeMetricFamily(
            "moedsr_disk_bytes", "Size of what the jobs keep.", value=self._jobs.disk_bytes()
        )
