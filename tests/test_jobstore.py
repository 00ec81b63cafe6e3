"""What the table of jobs keeps, and what a folder of records does."""

from __future__ import annotations

import errno
import sqlite3
import subprocess
import sys

import pytest
from test_wire import full_disk

from moedsr_core.backend.data_folder import DataFolder
from moedsr_core.backend.jobstore import Job, JobStore
from moedsr_core.backend.refusals import DiskFullError, is_disk_full
from moedsr_core.backend.spool import Spool
from moedsr_core.errors import BackendError


def job(number: int, **changes) -> Job:
    facts = {
        "id": f"{number:016x}", "owner": "ann", "kind": "predict", "options": {"frames": 3},
        "content": "c", "created": 1.0e9, "position": number,
    }  # fmt: skip
    return Job(**{**facts, **changes})


@pytest.fixture
def store(tmp_path):
    store = JobStore(tmp_path / "moedsr.sqlite")
    yield store
    store.close()


@pytest.fixture
def spool(tmp_path) -> Spool:
    spool = Spool(tmp_path / "job")
    spool.create(b"request")
    return spool


def fill(spool: Spool, frames: int) -> None:
    for k in range(frames):
        spool.add(k, {"type": "frame", "index": k}, b"frame %d" % k)


def test_a_job_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "moedsr.sqlite"
    written = job(1, summary={"a": [1, 2.5]}, error="why", key="k", result_of=None)
    store = JobStore(path)
    store.insert(written)
    written.state, written.frames_done, written.ended = "failed", 7, 1.5e9
    store.save(written)
    store.close()
    again = JobStore(path)
    assert again.get(written.id) == written
    again.close()


def test_jobs_are_listed_newest_first_by_arrival_and_not_by_date(store):
    for number in range(250):
        store.insert(job(number, created=1.0e9 - number))
    store.insert(job(999, owner="bob"))
    assert [row.position for row in store.of_owner("ann")] == list(range(249, -1, -1))


def test_a_job_that_another_one_needs_is_not_removable(store):
    store.insert(job(1, state="done", bytes=10))
    store.insert(job(2, state="done", result_of=job(1).id))
    store.insert(job(3, state="running"))
    assert [row[0] for row in store.removable()] == [job(2).id]
    assert store.total_bytes() == 10


def test_the_database_is_in_wal_mode_and_of_a_version(store, tmp_path):
    database = sqlite3.connect(tmp_path / "moedsr.sqlite")
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.execute("UPDATE schema_version SET version = 99")
    database.commit()
    database.close()
    with pytest.raises(BackendError, match="is of version 99"):
        JobStore(tmp_path / "moedsr.sqlite")


def test_a_file_that_is_no_database_is_one_sentence(tmp_path):
    (tmp_path / "moedsr.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(BackendError, match="move it away to begin anew"):
        JobStore(tmp_path / "moedsr.sqlite")


def test_changes_made_together_are_all_made_or_none(store):
    store.insert(job(1))
    with pytest.raises(ZeroDivisionError), store.together():
        store.delete(job(1).id)
        raise ZeroDivisionError
    assert store.get(job(1).id) is not None


def test_only_whole_records_in_a_row_count_and_the_rest_is_removed(spool):
    fill(spool, 5)
    whole = spool.folder / "00002.rec"
    whole.write_bytes(whole.read_bytes()[:-1])
    (spool.folder / ".00005.rec.0123abcd").write_bytes(b"half")
    held = spool.recount()
    assert (held.records, held.frames) == (2, 2)
    names = sorted(path.name for path in spool.folder.iterdir())
    assert names == ["00000.rec", "00001.rec", "request.npz"]
    assert held.bytes == sum(path.stat().st_size for path in spool.folder.iterdir())


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"\0" * 40, b'{"type": "frame", "bytes": -1}\n'])
def test_a_damaged_record_is_not_whole(spool, damage):
    fill(spool, 2)
    (spool.folder / "00001.rec").write_bytes(damage)
    assert spool.recount().records == 1


def test_a_record_appears_whole_or_not_at_all(spool, monkeypatch):
    fill(spool, 1)
    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(DiskFullError):
        spool.add(1, {"type": "frame", "index": 1}, b"data")
    assert sorted(p.name for p in spool.folder.iterdir()) == ["00000.rec", "request.npz"]


def test_the_last_frame_is_found_behind_attributes(spool):
    fill(spool, 2)
    spool.add(2, {"type": "attributes"}, b"a")
    assert spool.last_frame(3).endswith(b"frame 1")
    assert spool.last_frame(0) is None


def test_a_full_disk_is_known_whoever_says_so():
    cause = OSError(errno.ENOSPC, "No space left on device")
    outer = BackendError("could not write")
    outer.__cause__ = cause
    assert is_disk_full(outer) and is_disk_full(
        sqlite3.OperationalError("database or disk is full")
    )
    assert not is_disk_full(OSError(errno.EACCES, "denied")) and not is_disk_full(None)


def test_a_second_server_on_one_folder_is_refused_and_a_third_process_may_follow(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from moedsr_core.backend.data_folder import DataFolder\n"
        "from moedsr_core.errors import BackendError\n"
        "try: DataFolder(Path(sys.argv[1]))\n"
        "except BackendError as error: sys.exit(str(error))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    folder = DataFolder(tmp_path)
    second = subprocess.run(command, capture_output=True, text=True)
    folder.close()
    assert second.returncode == 1 and "another moedsr server uses" in second.stderr
    assert subprocess.run(command).returncode == 0


def test_local_servers_take_the_first_free_folder(tmp_path):
    first, second = DataFolder.first_free(tmp_path), DataFolder.first_free(tmp_path)
    assert (first.path.name, second.path.name) == ("0", "1")
    first.close()
    again = DataFolder.first_free(tmp_path)
    assert again.path.name == "0"
    again.close()
    second.close()
