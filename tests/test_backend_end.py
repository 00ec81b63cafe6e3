"""How jobs end before their time: cancelled, deleted or failed."""

from __future__ import annotations

import time

import pytest
from backend_support import DEADLINE_S, wait_until
from test_wire import body_of, full_disk

from moedsr_core.errors import InputError

pytest_plugins = "backend_support"

# --- stopping --------------------------------------------------------------------------------


def test_a_cancelled_job_stops_within_a_second_and_its_stream_ends(client, science):
    science.hold, seconds = 2, []
    for _ in range(5):
        science.stopped.clear()
        job = client.create(frames=1000)
        with client.stream(job) as records:
            next(r for r in records if r[0].get("index") == 1)
            began = time.monotonic()
            assert client("POST", f"/jobs/{job}/cancel").json()["state"] == "cancelled"
            rest = [head for head, _ in records]
        assert rest[-1]["state"] == "cancelled" and rest[-1]["error"] is None
        assert science.stopped.wait(DEADLINE_S)
        seconds.append(time.monotonic() - began)
        assert client.state(job)["frames_done"] == 2
    assert min(seconds) < 1.0  # the best of some: a busy machine may take longer
    science.hold = None
    assert client.end(client.create())["state"] == "done"


def test_what_a_deaf_engine_makes_of_a_cancelled_job_is_not_kept(client, science, backend):
    science.hold, science.deaf = 1, True
    job = client.create(frames=20)
    wait_until(lambda: client.state(job)["frames_done"] == 1, "the first frame is made")
    client("POST", f"/jobs/{job}/cancel")
    wait_until(lambda: len(science.made) == 20, "the engine has had its way")
    assert client.state(job)["state"] == "cancelled"
    assert list(client.frames(job)) == [0]
    assert client.end(client.create(frames=1))["state"] == "done"


def test_a_queued_job_that_is_cancelled_never_runs(client, science):
    science.hold = 0
    running, waiting = client.create(), client.create()
    client("POST", f"/jobs/{waiting}/cancel")
    science.released.set()
    assert client.end(running)["state"] == "done"
    assert client.end(client.create())["state"] == "done"
    state = client.state(waiting)
    assert (state["state"], state["frames_done"], state["seconds"]) == ("cancelled", 0, 0)


def test_cancelling_a_finished_job_changes_nothing(client):
    job = client.create()
    assert client.end(job)["state"] == "done"
    assert client("POST", f"/jobs/{job}/cancel").json()["state"] == "done"


def test_a_deleted_job_is_gone_with_its_files(client, science, backend):
    science.hold = 2
    job = client.create(frames=10)
    wait_until(lambda: client.state(job)["frames_done"] == 2, "two frames are made")
    assert [path.name for path in backend.folder.jobs.iterdir()] == [job]
    with client.stream(job) as records:
        next(records)
        reply = client("DELETE", f"/jobs/{job}")
        assert (reply.status_code, reply.content) == (204, b"")
        end = [head for head, _ in records][-1]
    assert (end["state"], end["error"]) == ("cancelled", "somebody deleted it")
    assert client("GET", f"/jobs/{job}").status_code == 404
    assert client("GET", "/jobs").json() == []
    wait_until(lambda: not list(backend.folder.jobs.iterdir()), "the folder is empty")


def test_a_finished_job_that_is_deleted_leaves_no_files(client, backend):
    job = client.create()
    assert client.end(job)["state"] == "done"
    assert len(list((backend.folder.jobs / job).iterdir())) == 8
    assert client("DELETE", f"/jobs/{job}").status_code == 204
    assert list(backend.folder.jobs.iterdir()) == []


def test_files_lost_under_a_stream_end_it_with_a_sentence(client, backend):
    job = client.create(frames=3)
    assert client.end(job)["state"] == "done"
    (backend.folder.jobs / job / "00002.rec").unlink()
    end = client.end(job)
    assert end["state"] == "failed" and "run it again" in end["error"]


# --- failing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (InputError("the protein is too large"), "the protein is too large"),
        (ValueError("bad\n  shape"), "internal error: ValueError: bad shape"),
        (MemoryError(), "ran out of memory; use a larger spacing"),
    ],
)
def test_a_job_whose_engine_raises_fails_with_one_sentence(client, science, failure, sentence):
    science.hold, science.failure = 1, failure
    science.released.set()
    job = client.create(frames=3)
    end = client.end(job)
    assert end["state"] == "failed"
    assert sentence in end["error"] and "\n" not in end["error"]
    assert client.state(job)["error"] == end["error"]
    assert list(client.frames(job)) == [0]
    science.hold = None
    assert client.end(client.create())["state"] == "done"


def test_the_traceback_of_a_failure_is_in_the_log_only(client, science, caplog):
    science.hold, science.failure = 0, ValueError("bad shape")
    science.released.set()
    job = client.create()
    assert "Traceback" not in client.end(job)["error"] + client("GET", "/jobs").text
    assert "Traceback" in caplog.text


def test_a_full_disk_fails_the_job_with_a_sentence_and_the_next_one_works(
    client, science, monkeypatch
):
    science.hold = 1
    job = client.create(frames=3)
    wait_until(lambda: client.state(job)["frames_done"] == 1, "the first frame is made")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full_disk)
        science.released.set()
        end = client.end(job)
    assert end["state"] == "failed"
    assert "the disk of the server is full" in end["error"] and "delete" in end["error"]
    assert list(client.frames(job)) == [0]
    assert client.end(client.create())["state"] == "done"


def test_a_full_disk_refuses_a_new_job_with_a_sentence(client, backend, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full_disk)
        reply = client("POST", "/jobs", data=body_of())
    assert reply.status_code == 507
    assert "the disk of the server is full" in reply.json()["detail"]
    assert list(backend.folder.jobs.iterdir()) == [] and client("GET", "/jobs").json() == []
    assert client.end(client.create())["state"] == "done"
