"""Real server and worker processes, ended without a warning."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from backend_support import DEADLINE_S, TOKEN, Client, wait_until
from fake_worker import NumberCore, fake_worker
from test_wire import body_of, options_of

from moedsr_core.backend.data_folder import DataFolder
from moedsr_core.backend.parts import Backend
from moedsr_core.backend.service import JobService
from moedsr_core.backend.workers import WorkerDied
from moedsr_core.errors import BackendError

SERVER = Path(__file__).with_name("fake_server.py")
FRAMES = 40


class Server:
    """A server process with fake workers on a data folder."""

    def __init__(self, folder: Path, pause_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER), str(pause_s), "--token-file", str(folder / "token"),
             "--port", "0", "--data", str(folder / "data")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            self.client = Client(json.loads(self.process.stdout.readline())["port"])
        except BaseException:
            self.process.kill()
            raise

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        self.client.session.close()


@contextlib.contextmanager
def serving(folder: Path, pause_s: float = 0.0) -> Iterator[Server]:
    (folder / "token").write_text(f"{TOKEN}\n")
    server = Server(folder, pause_s)
    try:
        yield server
    finally:
        server.kill()


def frames_until_broken(client: Client, job: str, start: int, most: int) -> dict[int, bytes]:
    """Frames from one on: so many, or as many as come before the stream breaks."""
    frames: dict[int, bytes] = {}
    with contextlib.suppress(requests.RequestException, AssertionError):
        with client.stream(job, start) as records:
            for head, data in records:
                if head["type"] == "frame":
                    frames[head["index"]] = data
                    if len(frames) >= most:
                        break
    return frames


def test_a_server_killed_again_and_again_loses_and_changes_nothing(tmp_path):
    request = body_of(options=options_of(frames=FRAMES, seed=1))
    made = NumberCore(0.0).run(request, 0, lambda *_: None, lambda: False)
    wanted = dict(enumerate(data for kind, data in made if kind == "frame"))
    rng, received = random.Random(0), {}
    with serving(tmp_path, 0.02) as server:
        job = server.client.create(frames=FRAMES, seed=1)
        others = [server.client.create(frames=2, seed=k) for k in (2, 3)]
        received |= frames_until_broken(server.client, job, 0, rng.randint(1, 5))
    for _ in range(2):
        with serving(tmp_path, 0.02) as server:
            listed = [row["id"] for row in server.client("GET", "/jobs").json()]
            assert listed == [*reversed(others), job]
            received |= frames_until_broken(server.client, job, len(received), rng.randint(1, 8))
    with serving(tmp_path) as server:
        received |= server.client.frames(job, len(received))
        assert server.client.frames(job) == received == wanted
        assert server.client.end(others[1])["state"] == "done"
        assert [server.client.state(k)["state"] for k in (job, *others)] == ["done"] * 3


def test_the_server_answers_without_having_read_torch(tmp_path):
    code = (
        "import sys, moedsr_core.backend.server, moedsr_core.backend.result\n"
        "print([name for name in ('torch', 'e3nn') if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


def test_a_second_server_on_a_folder_is_one_sentence_and_exit_code_3(tmp_path):
    with serving(tmp_path):
        second = subprocess.run(
            [sys.executable, str(SERVER), "0", "--token-file", str(tmp_path / "token"),
             "--port", "0", "--data", str(tmp_path / "data")],
            capture_output=True, text=True, timeout=DEADLINE_S,
        )  # fmt: skip
    assert second.returncode == BackendError.exit_code
    assert len(second.stderr.splitlines()) == 1
    assert "another moedsr server uses" in second.stderr


@pytest.fixture
def backend(tmp_path) -> Iterator[Backend]:
    """A backend in this process whose worker is another one."""
    folder = DataFolder(tmp_path / "data")
    service = JobService(folder, model_folders=True)
    backend = Backend.local(folder, service, ["cpu"], make=fake_worker(0.01))
    backend.start()
    wait_until(lambda: service.workers.describe() is not None, "the worker is up")
    yield backend
    backend.close()


def create(backend: Backend, **options) -> str:
    chosen = {"frames": FRAMES, "seed": 1, **options}
    return backend.service.create("ann", body_of(options=options_of(**chosen)))["id"]


def records(backend: Backend, job: str) -> list[bytes]:
    with backend.service.reading("ann", job) as live:
        return [live.spool.read(place) for place in range(live.job.records)]


def status(backend: Backend, job: str) -> dict:
    return backend.service.status("ann", job)


def test_a_killed_worker_is_replaced_and_its_job_goes_on_with_the_same_bytes(backend, tmp_path):
    job = create(backend)
    wait_until(lambda: status(backend, job)["frames_done"] > 3, "some frames are made")
    pid = backend.executor._slots[0].worker.pid
    os.kill(pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    wait_until(lambda: status(backend, job)["state"] == "done", "the job is done")
    assert backend.executor._slots[0].worker.pid != pid
    first = records(backend, job)
    again = create(backend, model="prints")  # other key, same numbers
    wait_until(lambda: status(backend, again)["state"] == "done", "the other job is done")
    assert records(backend, again) == first


def test_a_job_that_ends_its_worker_fails_with_a_sentence(backend, monkeypatch):
    monkeypatch.setattr("moedsr_core.backend.pool.LONGEST_PAUSE_S", 0.1)
    job = create(backend, model="dies")
    wait_until(lambda: status(backend, job)["state"] == "failed", "the job has failed")
    assert "ended 3 times while it computed this job" in status(backend, job)["error"]
    assert status(backend, job)["frames_done"] == 2


def test_a_worker_checks_options_while_it_computes_and_stops_when_told(backend):
    job = create(backend, frames=2000)
    wait_until(lambda: status(backend, job)["frames_done"] > 1, "it computes")
    worker = backend.executor._slots[0].worker
    assert worker.check({"frames": 7})["options"]["frames"] == 7
    backend.service.cancel("ann", job)
    wait_until(lambda: backend.executor._slots[0].state == "idle", "the worker is free")
    assert backend.executor._slots[0].worker is worker and worker.is_alive()
    made = status(backend, job)["frames_done"]
    assert made < 2000 and len(records(backend, job)) == made + 1


def test_a_worker_that_has_ended_says_so(backend):
    worker = fake_worker()("cpu")
    assert worker.describe()["device"] == "cpu"
    worker.close()
    assert not worker.is_alive()
    with pytest.raises(WorkerDied):
        worker.check({})


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes in /proc")
def test_a_worker_ends_with_its_server(tmp_path):
    with serving(tmp_path, 0.01) as server:
        job = server.client.create(frames=2000)
        wait_until(lambda: server.client.state(job)["frames_done"] > 0, "it computes")
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(server.process.pid)], capture_output=True, text=True
        ).stdout.split()
        server.kill()
    assert children
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "it is gone")
