"""What is kept, for how long, and on a full disk."""

from __future__ import annotations

import time

import pytest
from backend_support import open_backend, wait_until
from service_calls import age, create, finished, known, records_of, state, wait_for
from test_wire import full_disk

from moedsr_core.backend import expiry
from moedsr_core.backend.expiry import Keep
from moedsr_core.backend.jobstore import JobStore
from moedsr_core.backend.refusals import DiskFullError, NotFoundError
from moedsr_core.backend.spool import Spool

pytest_plugins = "backend_support"


# --- expiry ----------------------------------------------------------------------------------
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
