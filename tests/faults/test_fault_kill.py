"""SIGKILL of the server at any moment of a job; ``test_backend_kill.py`` does so three times."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_worker import NumberCore
from lab import Lab, follow, running_lab
from test_wire import body_of, options_of

from moedsr_core.backend.client import Address, BackendClient, Patience

FRAMES = 30
KILLS = 20
PATIENT = Patience(
    retries=10_000, barren=10_000, first_wait_s=0.05, longest_wait_s=0.2, outage_s=600.0
)


pytestmark = pytest.mark.soak


@pytest.fixture
def mortal(tmp_path):
    """A server that is killed, whose worker takes a hundredth of a second for a frame."""
    with running_lab(tmp_path / "data", 0.01) as lab:
        yield lab


def undisturbed(seed: int) -> dict[int, bytes]:
    """The frames of a job, made by a worker that nobody disturbs."""
    request = body_of(options=options_of(frames=FRAMES, seed=seed))
    made = NumberCore(0.0).run(request, 0, lambda *_: None, lambda: False)
    return dict(enumerate(data for kind, data in made if kind == "frame"))


def test_a_server_killed_at_any_moment_loses_and_changes_nothing(mortal):
    rng, intact = random.Random(3), {}
    client = mortal.client()
    began = time.monotonic()
    first = client.create(FRAMES, seed=0)
    assert client.end(first)["state"] == "done"
    lasts = time.monotonic() - began
    intact[first] = 0
    follower = BackendClient(Address(mortal.url, mortal.token("ann")), PATIENT)
    with ThreadPoolExecutor(1) as pool:
        for seed in range(1, 1 + KILLS):
            job = client.create(FRAMES, seed=seed)
            waiting = [client.create(2, seed=1000 * seed + k) for k in range(3)]
            followed = pool.submit(follow, follower, job, PATIENT)
            moment = rng.uniform(0.0, 1.2 * lasts)
            threading.Event().wait(moment)
            before = client("GET", "/jobs").json()
            mortal.kill()
            mortal.start()
            client = mortal.client()
            after = client("GET", "/jobs").json()
            assert [row["id"] for row in after] == [row["id"] for row in before], moment
            assert in_line(after, waiting) == sorted(in_line(after, waiting)), moment
            frames = followed.result(timeout=250)
            for one in waiting:
                assert client.end(one)["state"] == "done", moment
            intact[job] = seed
            assert ended(mortal, [job, *waiting]) == [job, *waiting], moment
            for done, number in intact.items():
                assert client.frames(done) == undisturbed(number), (moment, number)
            assert follow(follower, job, PATIENT) == frames, moment


def in_line(rows: list[dict], jobs: list[str]) -> list[int]:
    """Places of those of some jobs that wait, in their order."""
    places = {row["id"]: row["queue_position"] for row in rows if row["state"] == "queued"}
    return [places[job] for job in jobs if job in places]


def ended(lab: Lab, jobs: list[str]) -> list[str]:
    """Jobs in the order in which they ended."""
    rows = {row[0]: row[1] for row in lab.rows("SELECT id, ended FROM jobs")}
    return sorted(jobs, key=rows.__getitem__)
