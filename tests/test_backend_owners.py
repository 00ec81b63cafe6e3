"""Whose jobs are whose, and results that answer several."""

from __future__ import annotations

import numpy as np
import pytest
from backend_support import FakeScience, open_backend, wait_until
from service_calls import body, create, records_of, state, wait_for
from test_wire import body_of, options_of

from moedsr_core.backend.refusals import NotFoundError
from moedsr_core.mesh_trajectory import load_trajectory

pytest_plugins = "backend_support"

# --- owners ----------------------------------------------------------------------------------


def test_a_job_is_nobody_elses(backend):
    job = create(backend)
    service = backend.service
    for attempt in (service.status, service.cancel, service.delete):
        with pytest.raises(NotFoundError):
            attempt("bob", job)
    with pytest.raises(NotFoundError), service.reading("bob", job):
        pass
    assert list(service.statuses("bob")) == [] and len(list(service.statuses("ann"))) == 1


def test_unfinished_jobs_of_whom_the_server_expels_are_cancelled(backend, science):
    science.hold = 1
    running, waiting = (create(backend, seed=seed) for seed in (1, 2))
    wait_until(lambda: state(backend, running)["frames_done"] == 1, "a frame is made")
    other = create(backend, seed=3, owner="bob")
    backend.service.tick()
    assert state(backend, running)["state"] == "running"
    backend.service._expelled = lambda: {"ann"}
    backend.service.tick()
    for job, frames in ((running, 1), (waiting, 0)):
        found = state(backend, job)
        assert (found["state"], found["frames_done"]) == ("cancelled", frames)
        assert found["error"] == "the token of its owner was revoked"
    science.hold = None
    wait_for(backend, other, owner="bob")


def test_owners_take_turns(tmp_path):
    science = FakeScience()
    backend = open_backend(tmp_path / "data", science)
    for seed in range(4):
        create(backend, frames=1, seed=seed)
    late = create(backend, frames=1, seed=9, owner="bob")
    assert state(backend, late, "bob")["queue_position"] == 1
    backend.close()


# --- results that are there already ----------------------------------------------------------


def test_an_identical_request_is_answered_from_what_is_there(backend, science):
    first = create(backend)
    wait_for(backend, first)
    second = backend.service.create("bob", body())
    assert second["state"] == "done" and second["id"] != first and second["bytes"] == 0
    assert second["frames_done"] == 3
    assert records_of(backend, second["id"], "bob") == records_of(backend, first)
    assert len(science.runs) == 1
    for other in (body(seed=2), body(frames=4), body(kind="surface"), body(spacing=0.8)):
        assert backend.service.create("bob", other)["state"] == "queued"
    moved = np.arange(18.0).reshape(6, 3) + 1e-9
    shifted = body_of(options=options_of(frames=3, seed=1), coords=moved)
    assert backend.service.create("bob", shifted)["state"] == "queued"


def test_equal_jobs_that_wait_are_computed_once(tmp_path):
    science = FakeScience()
    backend = open_backend(tmp_path / "data", science)
    jobs = [create(backend) for _ in range(5)]
    backend.start()
    records = [wait_for(backend, job) and records_of(backend, job) for job in jobs]
    assert len(science.runs) == 1 and all(one == records[0] for one in records)
    assert len(list(backend.folder.jobs.iterdir())) == 1
    backend.close()


def test_a_result_outlives_its_job_while_another_job_is_answered_by_it(backend):
    first = create(backend)
    wait_for(backend, first)
    second = backend.service.create("bob", body())["id"]
    records = records_of(backend, first)
    backend.service.delete("ann", first)
    with pytest.raises(NotFoundError):
        state(backend, first)
    assert records_of(backend, second, "bob") == records
    backend.service.delete("bob", second)
    assert list(backend.folder.jobs.iterdir()) == []


# --- whole results ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["predict", "surface"])
def test_a_whole_result_is_a_trajectory_file(client, backend, tmp_path, kind):
    job = client.create(frames=4, kind=kind, seed=0)
    assert client.end(job)["state"] == "done"
    reply = client("GET", f"/jobs/{job}/result")
    path = tmp_path / "result.npz"
    path.write_bytes(reply.content)
    trajectory = load_trajectory(path)
    frames = 1 if kind == "surface" else 4
    assert len(trajectory) == frames and trajectory.topologies == 1
    for k, frame in enumerate(trajectory.frames):
        np.testing.assert_array_equal(frame.vertices, np.full((4, 3), k, np.float32))
    np.testing.assert_array_equal(trajectory.atom, np.arange(4))
    assert trajectory.metadata["options"]["seed"] == 0
    wait_until(lambda: not list(backend.folder.scratch.iterdir()), "nothing is left behind")


def test_an_unfinished_job_has_no_whole_result(client, science):
    science.hold = 1
    job = client.create()
    reply = client("GET", f"/jobs/{job}/result")
    assert reply.status_code == 409 and "no whole result" in reply.json()["detail"]
