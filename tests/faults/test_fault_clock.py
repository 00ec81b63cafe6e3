"""A computer's clock that is set, forwards and backwards, by seconds and by decades."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from backend_support import FakeScience, open_backend, wait_until
from prometheus_client.parser import text_string_to_metric_families
from test_wire import body_of, options_of

from moedsr_core.backend.access.front import Access
from moedsr_core.backend.access.job_watch import JobWatch
from moedsr_core.backend.access.metrics import Metrics
from moedsr_core.backend.access.tokens import TokenStore
from tests.served import bearer, call, served

JUMPS_S = (1.0, 60.0, 3600.0, 86_400.0, 1e7, 1e9)
LONG_S = 3600.0
"""More than a test takes [s], and less than the larger jumps."""
BURST = 3


class Clock:
    """The wall clock of everything here, which can be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
        true_time, self._rng, self.offset = time.time, random.Random(seed), 0.0
        monkeypatch.setattr(time, "time", lambda: true_time() + self.offset)

    def jump(self) -> None:
        """Set it to before or after the true time."""
        self.offset = self._rng.choice((-1, 1)) * self._rng.choice(JUMPS_S)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch, 4)


def test_jobs_keep_their_order_their_times_and_their_results(tmp_path, clock, count):
    jobs: list[str] = []
    for _ in range(count(1, 4)):  # each start may count a day, and results are kept for seven
        science, metrics = FakeScience(), Metrics()
        backend = open_backend(tmp_path / "data", science, on_event=JobWatch(metrics))
        service = backend.service
        assert [row["id"] for row in service.statuses("ann")] == jobs[::-1]
        backend.start()
        for _ in range(count(2, 5)):
            science.hold = 3
            science.released.clear()
            jobs.append(create(service, len(jobs)))
            wait_for(service, jobs[-1], "frames_done", 3)
            clock.jump()
            service.tick()
            running = service.status("ann", jobs[-1])
            assert running["state"] == "running" and running["seconds_left"] is not None
            has_sane_times(running)
            waiting = [create(service, 1000 + len(jobs)), create(service, 2000 + len(jobs))]
            clock.offset += 86_400.0
            assert [service.status("ann", job)["queue_position"] for job in waiting] == [0, 1]
            science.released.set()
            jobs += waiting
            wait_for(service, jobs[-1], "state", "done")
            clock.jump()
            service.tick()
            rows = list(service.statuses("ann"))
            assert [row["id"] for row in rows] == jobs[::-1]
            for row in rows:
                has_sane_times(row)
        assert 0 <= seconds_waited(metrics) < LONG_S
        clock.jump()
        backend.close()
    assert {path.name for path in (tmp_path / "data" / "jobs").iterdir()} == set(jobs)


def create(service, seed: int) -> str:
    body = body_of(options=options_of(frames=6, seed=seed))
    return service.create("ann", body)["id"]


def wait_for(service, job: str, name: str, value: object) -> None:
    wait_until(lambda: service.status("ann", job)[name] == value, f"{name} is {value}")


def has_sane_times(row: dict) -> None:
    assert row["age_s"] >= 0 and 0 <= row["seconds"] < LONG_S
    assert row["seconds_left"] is None or 0 <= row["seconds_left"] < LONG_S
    assert 0 <= row["summary"].get("seconds_to_first_frame", 0.0) < LONG_S


def seconds_waited(metrics: Metrics) -> float:
    """What the numbers say that jobs waited, in sum [s]."""
    families = text_string_to_metric_families(metrics.text().decode())
    samples = (sample for family in families for sample in family.samples)
    return sum(one.value for one in samples if one.name == "moedsr_job_wait_seconds_sum")


def test_rates_and_tokens_do_not_follow_the_clock(tmp_path: Path, clock, count):
    with TokenStore(tmp_path, clock=lambda: time.time()) as store:
        ann, bob = (bearer(store.create(name)) for name in ("ann", "bob"))
        limits = {"rate_per_s": 0.1, "rate_burst": BURST, "failures_per_minute": BURST}
        with served(Access(keys=store), **limits) as server:
            for _ in range(BURST):
                assert call(server, "GET", "/v1/jobs", ann).status_code == 200
                assert call(server, "GET", "/v1/jobs", bearer("wrong")).status_code == 401
            began, granted = time.monotonic(), 0
            for _ in range(count(3, 20)):
                clock.jump()
                for who in (ann, bearer("wrong")):
                    answer = call(server, "GET", "/v1/jobs", who)
                    granted += answer.status_code != 429
                    assert 0 <= int(answer.headers.get("Retry-After", 0)) <= 20
            assert granted <= 0.2 * (time.monotonic() - began) + 1
            clock.offset = 1e9
            assert call(server, "GET", "/v1/jobs", bob).status_code == 200


def test_a_token_is_valid_by_the_date_however_that_came_about(tmp_path: Path, clock):
    with TokenStore(tmp_path, clock=lambda: time.time()) as store:
        secret = store.create("ann", days=1)
        for offset, valid in ((0, True), (90_000, False), (-1e9, True), (80_000, True)):
            clock.offset = offset
            assert (store.find(secret) is not None) == valid
            assert store.infos()[0].state(time.time()) == ("valid" if valid else "expired")
