"""The client of servers: its calls, and streams to their end, whatever happens on the way."""

from __future__ import annotations

import io
import json
import random
import socket
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from client_support import ATOMS, FRAMES, OPTIONS, QUICK, client_of, followed, lasting, starts
from pymol_support import RADIUS, FakeBackend, ball, displacement, record, triangles

from moedsr_core.backend.client import (
    Address,
    BackendClient,
    BackendError,
    Follower,
    Patience,
    RefusedError,
    StoppedError,
    UnreachableError,
    pack_request,
)
from moedsr_core.backend.client import follow as follow_module


def test_a_stream_that_is_cut_anywhere_gives_the_same_records():
    with FakeBackend() as fake:
        job = client_of(fake).create(ATOMS, OPTIONS)
        whole = followed(fake, job)
        assert [r.index for r in whole if r.kind == "frame"] == list(range(FRAMES))
        length, draw = fake.sent[0], random.Random(0)
        for position in [draw.randrange(length) for _ in range(20)]:
            fake.behaviour["cuts"] = [position]
            assert lasting(followed(fake, job)) == lasting(whole), position
    assert len(fake.sent) == 41  # each was cut once and taken up once


@pytest.mark.parametrize("behaviour", [{}, {"remesh": True}])
def test_a_stream_that_is_cut_again_and_again_goes_on_at_the_next_frame(behaviour):
    with FakeBackend(**behaviour) as fake:
        job = client_of(fake).create(ATOMS, {**OPTIONS, "frames": 40})
        whole = followed(fake, job)
        draw = random.Random(1)
        fake.behaviour["cuts"] = [draw.randrange(fake.sent[0] // 20) for _ in range(20)]
        fake.requests.clear()
        assert lasting(followed(fake, job)) == lasting(whole)
    assert starts(fake) == sorted(starts(fake)) and len(starts(fake)) == 21


def test_frames_are_plain_arrays_to_whoever_follows():
    with FakeBackend() as fake:
        records = followed(fake, client_of(fake).create(ATOMS, OPTIONS))
    frames = [record.arrays for record in records if record.kind == "frame"]
    unit, faces = ball()
    for k, frame in enumerate(frames):
        sent = ATOMS["coords"].mean(axis=0) + (RADIUS + displacement(k, FRAMES)) * unit
        assert np.linalg.norm(frame["vertices"] - sent, axis=1).max() < 0.01
        assert {frame[name].dtype.str for name in frame if name != "faces"} == {"<f4"}
    assert ["faces" in frame for frame in frames] == [True] + [False] * (FRAMES - 1)
    assert triangles(frames[0]["faces"]) == triangles(faces)


def test_a_damaged_frame_is_one_sentence():
    damaged = record("frame", {"vertices": np.zeros(7, np.uint8)}, index=0)
    with FakeBackend(say=damaged) as fake:
        job = client_of(fake).create(ATOMS, OPTIONS)
        with pytest.raises(BackendError, match=r"sent a frame that cannot be read; update or"):
            followed(fake, job)


def test_a_silent_stream_is_taken_up_again():
    patience = Patience(silence_s=0.2, first_wait_s=0.001)
    with FakeBackend(silent_at=3, silent_once=True) as fake:
        job = client_of(fake).create(ATOMS, OPTIONS)
        records = followed(fake, job, patience)
    assert [r.index for r in records if r.kind == "frame"] == list(range(FRAMES))
    assert 3 in starts(fake) and starts(fake) == sorted(starts(fake))


def test_a_server_that_restarts_in_mid_job_is_waited_for():
    first = FakeBackend(cuts=[5_000])
    second: list[FakeBackend] = []
    reasons: list[str] = []

    def report(reason: str, waited: float) -> None:
        reasons.append(reason)
        if len(reasons) == 1:
            first.__exit__()
        elif len(reasons) == 3:
            second.append(FakeBackend(port=first.port, jobs=first.jobs).__enter__())

    first.__enter__()
    job = client_of(first).create(ATOMS, OPTIONS)
    records = followed(first, job, report=report)
    second[0].__exit__()
    assert "broke off" in reasons[0] and "nobody listens" in reasons[2]
    assert [r.index for r in records if r.kind == "frame"] == list(range(FRAMES))
    assert starts(second[0])[0] > 0


def test_a_server_that_stays_away_is_given_up_in_one_sentence():
    with FakeBackend(cuts=[5_000]) as fake:
        job = client_of(fake).create(ATOMS, OPTIONS)
    patience = Patience(first_wait_s=0.01, longest_wait_s=0.01, outage_s=0.05)
    with pytest.raises(BackendError, match=r"nobody listens .* may still be fetched later"):
        followed(fake, job, patience)


def test_the_sleep_of_this_computer_does_not_count_as_the_servers_absence(monkeypatch):
    clock = iter(range(0, 10**9, 36_000))  # ten hours between any two looks
    monkeypatch.setattr(follow_module.time, "monotonic", lambda: float(next(clock)))
    with FakeBackend(cuts=[0, 0, 0]) as fake:
        job = client_of(fake).create(ATOMS, OPTIONS)
        records = followed(fake, job)
    assert records[-1].kind == "end" and len(fake.sent) == 4


def test_another_thread_ends_a_wait_at_once():
    with FakeBackend(silent_at=2) as fake:
        client = client_of(fake, Patience(silence_s=250.0))
        follower = Follower(client.again, client.create(ATOMS, OPTIONS))
        seen = []
        with pytest.raises(StoppedError):
            for record in follower.records():
                seen.append(record)
                if record.index == 1:
                    threading.Thread(target=follower.stop).start()
    assert seen[-1].index == 1


def test_a_stop_ends_the_wait_for_an_absent_server():
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    client = BackendClient(Address(url), QUICK)
    patience = Patience(first_wait_s=250.0, longest_wait_s=250.0)
    follower = Follower(client.again, "job0", lambda *_: follower.stop(), patience)
    with pytest.raises(StoppedError):
        list(follower.records())


def test_a_job_is_sent_again_under_the_same_key_where_the_answer_is_lost():
    with FakeBackend(answers={"POST /jobs": [(0, {}, "")]}) as fake:
        assert client_of(fake).create(ATOMS, OPTIONS) == "job0"
    keys = [headers["Idempotency-Key"] for headers in fake.headers]
    assert len(keys) == 2 and keys[0] == keys[1] and len(keys[0]) == 32


def test_a_busy_server_is_left_alone_as_long_as_it_says_within_a_limit():
    busy = {"detail": "20 jobs are waiting"}
    with FakeBackend(answers={"POST /jobs": [(429, {"Retry-After": "0"}, busy)] * 2}) as fake:
        assert client_of(fake).create(ATOMS, OPTIONS) == "job0"
    with FakeBackend(answers={"POST /jobs": [(429, {"Retry-After": "3600"}, busy)]}) as fake:
        with pytest.raises(UnreachableError, match="is busy: 20 jobs are waiting") as error:
            client_of(fake).create(ATOMS, OPTIONS)
    assert error.value.wait_s == 3600 and fake.requests == ["POST /v1/jobs"]


def test_a_refusal_is_not_asked_for_twice():
    with FakeBackend(refuse="the model is unknown; choose fake") as fake:
        with pytest.raises(RefusedError, match=r"^the model is unknown; choose fake$") as error:
            client_of(fake).create(ATOMS, OPTIONS)
    assert error.value.status == 422 and fake.requests == ["POST /v1/jobs"]


def test_a_request_holds_arrays_and_options_and_no_pickle():
    arrays = {"coords": np.zeros((2, 3)), "elements": np.array(["C", "N"])}
    with np.load(io.BytesIO(pack_request(arrays, {"frames": 3})), allow_pickle=False) as body:
        assert json.loads(str(body["options"])) == {"frames": 3}
        assert body["elements"].tolist() == ["C", "N"] and body["coords"].shape == (2, 3)


def test_jobs_are_listed_inspected_cancelled_and_deleted():
    with FakeBackend() as fake:
        client = client_of(fake)
        first, second = client.create(ATOMS, OPTIONS), client.create(ATOMS, OPTIONS)
        assert [row["id"] for row in client.jobs()] == [second, first]
        fake.jobs[first]["status"]["state"] = "running"
        assert client.cancel(first) == f"job {first} is cancelled"
        client.delete(second)
        assert client.status(first)["state"] == "cancelled"
        fake.jobs[first]["status"]["state"] = "done"
        assert client.cancel(first) == f"job {first} had ended already (done)"
        with pytest.raises(RefusedError, match="there is no such job"):
            client.status("other")
        with pytest.raises(RefusedError, match="there is no job"):
            client.status("../health")


def test_a_result_comes_whole_although_its_download_broke_off(tmp_path):
    data = random.Random(2).randbytes(300_000)
    with FakeBackend(result=data, answers={"GET /jobs/job0/result": [(0, {}, "")]}) as fake:
        client = client_of(fake)
        client.create(ATOMS, OPTIONS)
        with Path(tmp_path / "result").open("w+b") as file:
            client.result("job0", file)
        assert (tmp_path / "result").read_bytes() == data


def test_the_client_needs_nothing_else_of_the_core():
    import subprocess

    code = (
        "import sys, moedsr_core.backend.client\n"
        "ours = {m for m in sys.modules if m.startswith('moedsr_core.')}\n"
        "allowed = ('moedsr_core.backend.client', 'moedsr_core.backend.wire')\n"
        "print([m for m in ours if m != 'moedsr_core.backend' and not m.startswith(allowed)])\n"
        "print([m for m in ('torch', 'scipy', 'fastapi') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]
