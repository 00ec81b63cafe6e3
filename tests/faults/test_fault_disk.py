"""A disk that is full: a small one in memory, which is filled to the last byte.

It takes an administrator of a Linux computer to make one. ``test_backend_kept.py`` and
``test_backend_refusals.py`` let single writes fail for want of space, everywhere and in short.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from backend_support import Client, wait_until
from lab import Lab, running_lab
from test_wire import body_of, options_of

from moedsr_core.backend.spool import Spool

FULL = "the disk of the server is full"
_SIZE = 16 << 20
pytestmark = pytest.mark.soak


class SmallDisk:
    """A file system of its own that can be filled."""

    def __init__(self, path: Path) -> None:
        self.path, self._ballast = path, path / "ballast"
        path.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(path)]
        try:
            subprocess.run(["mount", *options], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no small disk can be made here: {error}")

    def fill(self) -> None:
        """Leave no byte, also where one was just given back."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path_factory.mktemp("disk") / "small")
    yield disk
    disk.close()


@pytest.fixture(scope="module")
def cramped(disk: SmallDisk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server whose data folder is on the small disk."""
    log = tmp_path_factory.mktemp("log") / "log"
    with running_lab(disk.path / "data", 0.02, log=log) as lab:
        yield lab


@pytest.fixture
def full_later(disk: SmallDisk) -> Iterator[SmallDisk]:
    """The disk, which has space again afterwards."""
    yield disk
    with contextlib.suppress(FileNotFoundError):
        disk.free()


def is_sound(lab: Lab, client: Client) -> None:
    """See to it that the server works, and that nothing half-written is about; empty it."""
    job = client.create(frames=3)
    end = client.end(job)
    assert end["state"] == "done", end
    assert client("GET", f"/jobs/{job}/result").status_code == 200
    known = {row["id"] for row in client("GET", "/jobs").json()}
    assert {path.name for path in (lab.folder / "jobs").iterdir()} == known
    for name in known:
        spool = Spool(lab.folder / "jobs" / name)
        files = sorted(path.name for path in spool.folder.iterdir())
        records = [name for name in files if name.endswith(".rec")]
        assert files == [*records, "request.npz"]
        assert all(spool.head(place) for place in range(len(records)))
    wait_until(lambda: not list((lab.folder / "scratch").iterdir()), "results are put away")
    for name in known:
        assert client("DELETE", f"/jobs/{name}").status_code == 204
    wait_until(lambda: not list((lab.folder / "jobs").iterdir()), "all jobs are removed")


def one_done_one_running(client: Client) -> tuple[str, dict[int, bytes], str]:
    """A finished job and its frames, and a long one of which two frames are made."""
    old = client.create(frames=5)
    frames, job = client.frames(old), client.create(frames=1000)
    wait_until(lambda: client.state(job)["frames_done"] >= 2, "two frames are made")
    return old, frames, job


def test_a_job_is_refused_while_the_disk_is_full(cramped, full_later):
    client = cramped.client()
    before = [row["id"] for row in client("GET", "/jobs").json()]
    full_later.fill()
    refused = client("POST", "/jobs", data=body_of(options=options_of(frames=9)))
    assert refused.status_code == 507 and FULL in refused.json()["detail"]
    assert [row["id"] for row in client("GET", "/jobs").json()] == before
    full_later.free()
    is_sound(cramped, client)


def test_a_job_fails_when_the_disk_is_full_and_others_are_read_meanwhile(cramped, full_later):
    client = cramped.client()
    old, wanted, job = one_done_one_running(client)
    full_later.fill()
    wait_until(lambda: full_later.fill() or client.state(job)["state"] == "failed", "it fails")
    status = client.state(job)
    assert FULL in status["error"] and 2 <= status["frames_done"] < 1000
    assert list(client.frames(job)) == list(range(status["frames_done"]))
    assert client.frames(old) == wanted
    assert client("GET", f"/jobs/{old}/result").status_code == 507
    for path in ("/health", "/models", "/jobs", "/metrics"):
        assert client("GET", path).status_code == 200
    full_later.free()
    assert list(client.frames(job)) == list(range(status["frames_done"]))
    is_sound(cramped, client)


def test_deleting_jobs_makes_room_on_a_full_disk(cramped, full_later):
    client = cramped.client()
    jobs = [client.create(frames=40) for _ in range(2)]
    for job in jobs:
        assert client.end(job)["state"] == "done"
    full_later.fill()
    assert client("DELETE", f"/jobs/{jobs[0]}").status_code == 204
    assert not (cramped.folder / "jobs" / jobs[0]).exists()
    new = client.create(frames=1)
    assert client.end(new)["state"] == "done"
    full_later.free()
    is_sound(cramped, client)


def test_a_server_killed_on_a_full_disk_starts_again(cramped, full_later):
    client = cramped.client()
    old, wanted, job = one_done_one_running(client)
    full_later.fill()
    cramped.kill()
    full_later.fill()
    cramped.start()
    client = cramped.client()
    assert client.frames(old) == wanted
    assert client.state(job)["state"] in ("queued", "running", "failed")
    full_later.free()
    assert client("DELETE", f"/jobs/{job}").status_code == 204
    wait_until(lambda: client("GET", "/models").status_code == 200, "a worker is up")
    is_sound(cramped, client)
