"""What outlives a server and a worker."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from backend_support import FakeScience, ThreadWorker, open_backend, wait_until
from service_calls import body, create, killed, records_of, state, wait_for

from moedsr_core.backend import pool
from moedsr_core.backend.jobstore import JobStore
from moedsr_core.backend.spool import Spool
from moedsr_core.backend.wire.request import read_request
from moedsr_core.errors import InputError

pytest_plugins = "backend_support"

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
