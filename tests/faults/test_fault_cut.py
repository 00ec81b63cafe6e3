"""Connections that are cut at any byte."""

from __future__ import annotations

import random

import pytest
from lab import follow
from proxy import cutting_proxy
from test_wire import request_arrays

from moedsr_core.backend.client import Address, BackendClient, Patience

QUICK = Patience(first_wait_s=0.01, longest_wait_s=0.02, outage_s=600.0)


@pytest.fixture(scope="module")
def proxy(lab):
    with cutting_proxy(lab.port) as proxy:
        yield proxy


@pytest.fixture
def through(lab, proxy) -> BackendClient:
    """A client that reaches the server through the proxy."""
    return BackendClient(Address(f"http://127.0.0.1:{proxy.port}", lab.token("ann")), QUICK)


def test_a_stream_cut_at_any_byte_goes_on_with_the_same_frames(lab, proxy, through, count):
    client = lab.client()
    job = client.create(frames=12)
    whole = client("GET", f"/jobs/{job}/stream").content
    wanted = follow(through, job, QUICK)
    assert sum(array.startswith(b"vertices") for array in wanted) == 12
    rng = random.Random(1)
    for _ in range(count(4, 20)):
        before = proxy.done
        cuts = [
            (rng.randrange(1, len(whole)), rng.random() < 0.5) for _ in range(rng.randint(1, 3))
        ]
        proxy.cuts[:] = cuts
        assert follow(through, job, QUICK) == wanted, cuts
        assert proxy.done > before
        proxy.cuts.clear()
    client("DELETE", f"/jobs/{job}")


def test_a_request_cut_at_any_byte_makes_one_job(lab, proxy, through, count):
    client, rng = lab.client(), random.Random(2)
    arrays = {name: array for name, array in request_arrays().items() if name != "options"}
    for seed in range(count(4, 20)):
        of_answer = seed % 2 == 0
        place = rng.randrange(1, 200 if of_answer else 2000)  # within the answer's headers
        proxy.cuts[:] = [(place, rng.random() < 0.5)] if of_answer else []
        proxy.upload_cuts[:] = [] if of_answer else [place]
        before, options = proxy.done, {"kind": "predict", "frames": 1, "seed": 10**6 + seed}
        job = through.again().create(arrays, options)
        assert proxy.done == before + 1
        assert [row["id"] for row in client("GET", "/jobs").json()] == [job]
        assert client("DELETE", f"/jobs/{job}").status_code == 204
