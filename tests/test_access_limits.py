"""How much one client may ask for, and how often."""

from __future__ import annotations

import pytest

from moedsr_core.backend.access.limits import Limits
from moedsr_core.backend.access.rates import Buckets
from moedsr_core.backend.refusals import BusyError
from moedsr_core.errors import InputError


def test_a_bucket_gives_its_burst_and_then_its_rate():
    now = [0.0]
    buckets = Buckets(2.0, 3, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == pytest.approx(0.5)
    assert buckets.take("b") == 0
    now[0] = 0.5
    assert buckets.take("a") == 0 and buckets.take("a") > 0
    now[0] = 1e6
    assert [buckets.take("a") > 0 for _ in range(4)] == [False, False, False, True]


def test_buckets_do_not_grow_with_the_clients_that_come_by():
    buckets = Buckets(1, 1)
    for k in range(20_000):
        buckets.take(k)
    assert len(buckets) == 10_000


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"atoms": 11, "frames": 1, "spacing": 1.0}, "10 atoms, got 11"),
        ({"atoms": 1, "frames": 6, "spacing": 1.0}, "5 frames of a job, got 6"),
        ({"atoms": 1, "frames": 1, "spacing": 0.4}, "0.5 Å or coarser, got 0.4"),
    ],
)
def test_jobs_that_are_too_large_are_refused_with_both_numbers(asked, reason):
    limits = Limits(max_atoms=10, max_frames=5, min_spacing=0.5)
    with pytest.raises(InputError, match=reason):
        limits.refuse_large(**asked)
    limits.refuse_large(atoms=10, frames=5, spacing=0.5)


@pytest.mark.parametrize("full", [{"waiting": 4, "own": 2}, {"waiting": 9, "own": 0}])
def test_a_full_queue_is_busy_and_says_when_to_come_back(full):
    limits = Limits(max_queue=9, max_queue_per_token=2)
    with pytest.raises(BusyError) as refused:
        limits.refuse_full_queue(**full)
    assert int(refused.value.headers["Retry-After"]) > 0
    limits.refuse_full_queue(waiting=8, own=1)


@pytest.mark.parametrize(
    "wrong", [{"max_atoms": 0}, {"rate_per_s": float("nan")}, {"max_queue": True}]
)
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Limits(**wrong)
