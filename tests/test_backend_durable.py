"""What outlives a server, a worker, a full disk and a clock that is set."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from backend_support import FakeScience, ThreadWorker, open_backend, wait_until
from test_wire import body_of, full_disk, options_of

from moedsr_core.backend import expiry, pool
from moedsr_core.backend.expiry import Keep
from moedsr_core.backend.jobstore import JobStore
from moedsr_core.backend.parts import Backend
from moedsr_core.backend.refusals import DiskFullError, NotFoundError
from moedsr_core.backend.spool import Spool
from moedsr_core.backend.wire.request import read_request
from moedsr_core.errors import InputError
from moedsr_core.mesh_trajectory import load_trajectory

pytest_plugins = "backend_support"


def body(frames: int = 3, seed: int = 1, **more) -> bytes:
    return body_of(options=options_of(frames=frames, seed=seed, **more))


def create(backend: Backend, frames: int = 3, seed: int = 1, owner: str = "ann", **more) -> str:
    return backend.service.create(owner, body(frames, seed, **more))["id"]


def state(backend: Backend, job: str, owner: str = "ann") -> dict:
    return backend.service.status(owner, job)


def wait_for(backend: Backend, job: str, wanted: str = "done", owner: str = "ann") -> dict:
    wait_until(lambda: state(backend, job, owner)["state"] == wanted, f"the job is {wanted}")
    return state(backend, job, owner)


def records_of(backend: Backend, job: str, owner: str = "ann") -> list[bytes]:
    with backend.service.reading(owner, job) as live:
        return [live.spool.read(place) for place in range(live.job.records)]


def killed(backend: Backend) -> None:
    """Let go of the folder as a killed process does: nothing is written any more."""
    backend.service.store.close()
    backend.folder.close()


# --- servers ---------------------------------------------------------------------------------


def test_a_finished_job_is_there_after_a_restart(backend, science, tmp_path):
    job = create(backend)
    wait_for(backend, job)
    before, records = state(backend, job), records_of(backend, job)
    backend.close()
    again = open_backend(tmp_path / "data", science)
    after = state(again, job)
    assert after | {"age_s": 0} == before | {"age_s": 0}
    assert records_of(again, job) == records and len(records) == 5
    again.close()


def test_a_running_job_goes_on_after_a_kill_with_the_same_bytes(tmp_path):
    undisturbed = open_backend(tmp_path / "calm", FakeScience())
    undisturbed.start()
    wanted = create(undisturbed, frames=6)
    wait_for(undisturbed, wanted)

    science = FakeScience()
    science.hold = 3
    backend = open_backend(tmp_path / "data", science)
    backend.start()
    job = create(backend, frames=6)
    waiting = [create(backend, seed=k) for k in (2, 3)]
    wait_until(lambda: state(backend, job)["frames_done"] == 3, "three frames are made")
    killed(backend)

    science = FakeScience()
    again = open_backend(tmp_path / "data", science)
    assert state(again, job)["frames_done"] == 3 and state(again, job)["state"] == "queued"
    assert [state(again, k)["queue_position"] for k in (job, *waiting)] == [0, 1, 2]
    again.start()
    for one in (job, *waiting):
        wait_for(again, one)
    assert science.runs[0] == ("predict", 2)
    assert records_of(again, job) == records_of(undisturbed, wanted)
    undisturbed.close()
    again.close()


def test_frames_that_do_not_go_on_from_those_before_fail_the_job(tmp_path):
    science = FakeScience()
    science.hold = 3
    backend = open_backend(tmp_path / "data", science)
    backend.start()
    job = create(backend, frames=6)
    wait_until(lambda: state(backend, job)["frames_done"] == 3, "three frames are made")
    killed(backend)
    path = tmp_path / "data" / "jobs" / job / "00003.rec"
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    again = open_backend(tmp_path / "data", FakeScience())
    again.start()
    assert "are not those from before" in wait_for(again, job, "failed")["error"]
    again.close()


def test_a_server_that_ends_in_order_puts_back_what_runs_and_blames_nobody(tmp_path):
    science = FakeScience()
    science.hold = 1
    backend = open_backend(tmp_path / "data", science)
    backend.start()
    job = create(backend)
    wait_until(lambda: state(backend, job)["frames_done"] == 1, "a frame is made")
    backend.close()
    store = JobStore(tmp_path / "data" / "moedsr.sqlite")
    row = store.get(job)
    assert (row.state, row.attempts, row.restarts) == ("queued", 0, 0)
    store.close()


def test_a_job_that_ends_server_after_server_is_given_up(backend, science, tmp_path):
    science.hold = 0
    job = create(backend)
    wait_for(backend, job, "running")
    live = backend.service._live[job]
    live.job.restarts = 10
    backend.service.store.save(live.job)
    killed(backend)
    again = open_backend(tmp_path / "data", FakeScience())
    failed = state(again, job)
    assert failed["state"] == "failed" and "the server ended 11 times" in failed["error"]
    again.close()


def test_what_a_killed_server_left_half_made_is_removed(backend, science, tmp_path):
    stray = backend.folder.jobs / "0123456789abcdef"
    Spool(stray).create(b"never inserted")
    (backend.folder.scratch / "result.npz").write_bytes(b"half")
    backend.close()
    again = open_backend(tmp_path / "data", science)
    assert not stray.exists() and list(again.folder.scratch.iterdir()) == []
    again.close()


def test_a_request_sent_twice_under_one_name_is_one_job(backend):
    first = backend.service.create("ann", body(), "name")
    again = backend.service.create("ann", body(), "name")
    other = backend.service.create("bob", body(), "name")
    assert first["id"] == again["id"] != other["id"]


# --- workers ---------------------------------------------------------------------------------


@pytest.fixture
def mortal(tmp_path, monkeypatch):
    """A backend whose workers die at frame 2, as often as its list says."""
    monkeypatch.setattr(pool, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(pool, "LONGEST_PAUSE_S", 0.02)
    made: list[ThreadWorker] = []
    deaths = {"left": 1}

    def make(device: str) -> ThreadWorker:
        worker = ThreadWorker(FakeScience())
        if len(made) < deaths["left"]:
            worker.die_at = 2
        made.append(worker)
        return worker

    backend = open_backend(tmp_path / "data", FakeScience())
    backend.executor._make = make
    for slot in backend.executor._slots:
        slot._make = make
    yield backend, made, deaths
    backend.close()


def test_a_job_whose_worker_dies_goes_on_in_another(mortal):
    backend, made, _ = mortal
    backend.start()
    job = create(backend, frames=5)
    status = wait_for(backend, job)
    assert len(made) == 2 and status["frames_done"] == 5
    assert len(records_of(backend, job)) == 7


def test_a_job_that_kills_its_workers_fails_after_three_and_the_next_one_works(mortal):
    backend, _, deaths = mortal
    deaths["left"] = 100
    backend.start()
    job = create(backend, frames=5)
    failed = wait_for(backend, job, "failed")
    assert "the computing process ended 3 times" in failed["error"]
    assert failed["frames_done"] == 2
    deaths["left"] = 0
    assert wait_for(backend, create(backend, frames=2, seed=9))["frames_done"] == 2


def test_a_worker_that_cannot_start_lets_waiting_jobs_say_why(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(pool, "LONGEST_PAUSE_S", 0.01)

    class Stillborn(ThreadWorker):
        def describe(self):
            raise pool.WorkerDied("it ended with code 1: no module named torch")

    backend = open_backend(tmp_path / "data", FakeScience())
    for slot in backend.executor._slots:
        slot._make = lambda device: Stillborn(FakeScience())
    job = create(backend)
    backend.start()
    wait_until(lambda: backend.executor._slots[0].failed_starts >= 3, "three starts failed")
    backend.executor.tick()
    failed = state(backend, job)
    assert failed["state"] == "failed" and "no module named torch" in failed["error"]
    assert backend.service.workers.status()[0]["error"].endswith("no module named torch")
    backend.close()


def test_a_job_sent_before_a_worker_is_up_waits_and_is_checked_later(tmp_path):
    backend = open_backend(tmp_path / "data", FakeScience())
    good, bad = create(backend), create(backend, model="nobody", seed=2)
    with pytest.raises(InputError, match="frames must be"):
        create(backend, frames=0)
    assert state(backend, good)["state"] == state(backend, bad)["state"] == "queued"
    backend.start()
    wait_for(backend, good)
    assert "unknown model 'nobody'" in wait_for(backend, bad, "failed")["error"]
    with pytest.raises(InputError, match="unknown model 'nobody'"):
        create(backend, model="nobody", seed=2)
    backend.close()


@pytest.mark.parametrize("model", ["/etc", "../weights", "a b", "C:\\x", "fake/..", "weights"])
def test_a_model_is_a_name_and_no_path_unless_that_is_allowed(tmp_path, model):
    backend = open_backend(tmp_path / "data", FakeScience())
    backend.service._model_folders = False
    try:
        job = create(backend, model=model)
    except InputError as error:
        assert "unknown model" in str(error)
    else:
        backend.start()
        assert "unknown model" in wait_for(backend, job, "failed")["error"]
    backend.close()


def test_few_requests_are_unpacked_at_once(backend, monkeypatch):
    inside, go = threading.Semaphore(0), threading.Event()

    def read_slowly(request):
        inside.release()
        go.wait(60)
        return read_request(request)

    monkeypatch.setattr("moedsr_core.backend.service.read_request", read_slowly)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(create, backend, seed=seed) for seed in range(4)]
        assert inside.acquire(timeout=60) and inside.acquire(timeout=60)
        assert not inside.acquire(timeout=0.1)
        go.set()
        assert len({job.result(60) for job in jobs}) == 4


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


# --- expiry ----------------------------------------------------------------------------------


def finished(backend: Backend, *seeds: int) -> list[str]:
    jobs = [create(backend, seed=seed) for seed in seeds]
    for job in jobs:
        wait_for(backend, job)
    return jobs


def known(backend: Backend) -> list[str]:
    return [row["id"] for row in backend.service.statuses("ann")][::-1]


def age(backend: Backend, job: str, days: float) -> None:
    """Let a job be that much older."""
    database = backend.service.store._database
    database.execute("UPDATE jobs SET kept_s = kept_s + ? WHERE id = ?", (days * 86400, job))


def test_results_expire_by_age_but_never_while_they_are_read(backend):
    old, read, young = finished(backend, 1, 2, 3)
    age(backend, old, 7.1)
    age(backend, read, 7.1)
    age(backend, young, 6.9)
    with backend.service.reading("ann", read) as live:
        backend.service.tick()
        assert known(backend) == [read, young]
        assert live.spool.read(0) is not None
    backend.service.tick()
    assert known(backend) == [young]
    assert [path.name for path in backend.folder.jobs.iterdir()] == [young]


def test_results_expire_by_size_oldest_first(backend):
    jobs = finished(backend, 1, 2, 3)
    sizes = [state(backend, job)["bytes"] for job in jobs]
    for job, days in zip(jobs, (1, 3, 2), strict=True):
        age(backend, job, days)
    backend.service._expiry._keep = Keep(gigabytes=(sizes[0] + 1) / 1e9)
    backend.service.tick()
    assert known(backend) == [jobs[0]]


def test_size_on_disk_is_what_is_counted(backend):
    (job,) = finished(backend, 1)
    files = list((backend.folder.jobs / job).iterdir())
    assert state(backend, job)["bytes"] == sum(file.stat().st_size for file in files)


@pytest.mark.parametrize("jump_s", [-1e9, 1e9])
def test_a_clock_that_is_set_harms_nothing(backend, science, tmp_path, monkeypatch, jump_s):
    (before,) = finished(backend, 1)
    science.hold = 1
    running = create(backend, seed=2)
    wait_until(lambda: state(backend, running)["frames_done"] == 1, "a frame is made")
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + jump_s)
    backend.service.tick()
    status = state(backend, running)
    assert 0 <= status["seconds"] < 3600 and status["age_s"] >= 0
    science.released.set()
    assert 0 <= wait_for(backend, running)["seconds"] < 3600
    (after,) = finished(backend, 3)
    assert known(backend) == [before, running, after]
    backend.close()
    again = open_backend(tmp_path / "data", science)
    assert known(again) == [before, running, after]
    monkeypatch.undo()
    again.service.tick()
    again.close()
    last = open_backend(tmp_path / "data", science)
    assert known(last) == [before, running, after]
    last.close()


def test_a_week_without_a_server_counts_as_a_day(backend, science, tmp_path):
    (job,) = finished(backend, 1)
    backend.service.store.note_seen(time.time() - 8 * expiry.DAY_S)
    backend.close()
    again = open_backend(tmp_path / "data", science)
    assert known(again) == [job]
    assert again.service.store.get(job).kept_s == pytest.approx(expiry.DAY_S, abs=100)
    again.close()


# --- a full disk -----------------------------------------------------------------------------


def test_what_has_expired_makes_room_on_a_full_disk(backend, monkeypatch):
    old, young = finished(backend, 1, 2)
    age(backend, old, 8)
    write = Spool.create

    def create_if_room(self, request):
        if (backend.folder.jobs / old).exists():
            raise DiskFullError()
        write(self, request)

    monkeypatch.setattr(Spool, "create", create_if_room)
    wait_for(backend, create(backend, seed=3))
    assert old not in known(backend) and young in known(backend)


def test_a_disk_too_full_for_the_table_loses_nothing(backend, science, monkeypatch, caplog):
    (done,) = finished(backend, 1)
    science.hold = 1
    job = create(backend, seed=2)
    wait_until(lambda: state(backend, job)["frames_done"] == 1, "a frame is made")

    def no_room(*_):
        raise DiskFullError()

    with monkeypatch.context() as patch:
        patch.setattr(JobStore, "_write", no_room)
        patch.setattr("os.replace", full_disk)
        science.released.set()
        assert "disk of the server is full" in wait_for(backend, job, "failed")["error"]
        with pytest.raises(DiskFullError):
            create(backend, seed=3)
        backend.service.tick()
        assert len(records_of(backend, done)) == 5
    complaints = [line for line in caplog.messages if "disk of the server is full" in line]
    assert len(complaints) == 1
    backend.service.tick()
    assert backend.service.store.get(job).state == "failed"
    assert wait_for(backend, create(backend, seed=4))


def only_without(monkeypatch, folder) -> None:
    """Let the table have room only once a folder is gone."""
    write = JobStore._write

    def write_if_room(self, *arguments):
        if folder.exists():
            raise DiskFullError()
        write(self, *arguments)

    monkeypatch.setattr(JobStore, "_write", write_if_room)


def test_a_job_that_is_deleted_makes_room_on_a_full_disk(backend, monkeypatch):
    old, young = finished(backend, 1, 2)
    only_without(monkeypatch, backend.folder.jobs / old)
    backend.service.delete("ann", old)
    assert known(backend) == [young]


def test_a_running_job_that_is_deleted_on_a_full_disk_is_gone_once_there_is_space(
    backend, science, monkeypatch
):
    science.hold = 1
    job = create(backend)
    wait_until(lambda: state(backend, job)["frames_done"] == 1, "a frame is made")
    with monkeypatch.context() as patch:
        only_without(patch, backend.folder.path)
        backend.service.delete("ann", job)
        with pytest.raises(NotFoundError):
            state(backend, job)
        assert known(backend) == []
        wait_until(lambda: backend.executor._slots[0].state == "idle", "the worker is free")
    backend.service.tick()
    assert backend.service.store.get(job) is None and not (backend.folder.jobs / job).exists()


def test_a_server_starts_on_a_full_disk(backend, science, tmp_path, monkeypatch):
    (job,) = finished(backend, 1)
    backend.close()
    with monkeypatch.context() as patch:
        only_without(patch, tmp_path)
        again = open_backend(tmp_path / "data", science)
        assert len(records_of(again, job)) == 5
    again.close()


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
