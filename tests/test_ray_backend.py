"""Jobs as actors on a Ray cluster of this computer."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray_head
from backend_support import Client, wait_until
from fake_worker import NumberCore
from small_anchored import SMALL, untrained
from test_backend_engine import SPACING, peptide
from test_wire import body_of, options_of

from moedsr_core.backend.client import pack_request
from moedsr_core.backend.cluster.cluster import Cluster, ClusterOptions
from moedsr_core.backend.cluster.ray_workers import RayWorkers
from moedsr_core.backend.commands import main
from moedsr_core.backend.data_folder import DataFolder
from moedsr_core.backend.local_workers import LocalWorker
from moedsr_core.backend.parts import Backend
from moedsr_core.backend.service import JobService
from moedsr_core.backend.worker import WorkerCore
from moedsr_core.errors import BackendError, InputError
from moedsr_core.frame import TimeMap
from moedsr_core.models.registry import save_model

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes in /proc"),
]
TESTS = Path(__file__).parent
FRAMES = 200
NUMBERS = "fake_worker:core_on_ray"


class Head:
    """The process that is the cluster, with four processors."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(TESTS / "ray_head.py"), "4"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.address = self.process.stdout.readline().strip()

    def __call__(self, order: str) -> None:
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == order

    def actors(self) -> set[int]:
        """Process ids of the actors on it."""
        names = {pid: _read(pid, "cmdline") for pid in _processes()}
        workers = {pid for pid, name in names.items() if "MoedsrWorker" in name}
        return {pid for pid in workers if _parent(_parent(pid)) == self.process.pid}

    def close(self) -> None:
        with self.process:
            self.process.stdin.close()


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:  # it has ended
        return ""


def _parent(pid: int) -> int:
    return int((_read(pid, "stat").rpartition(")")[2].split() or [0, 0])[1])


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with pytest.MonkeyPatch.context() as patch:
        path = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
        for name, value in ray_head.SETTINGS.items():
            patch.setenv(name, value)
        head = Head()
        try:
            yield head
        finally:
            head.close()


class Server:
    """A process of `moedsr serve` with two actors that make numbers."""

    def __init__(self, folder: Path, head: Head) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "real_servers", "serve", "--data-dir", str(folder)]
        command += ["--no-token", "--port", "0", "--ray", head.address, "--ray-workers", "2"]
        command += ["--rate-per-s", "10000"]  # these tests ask again and again
        self.log = folder.with_suffix(".log")
        with self.log.open("w") as file:
            self.process = subprocess.Popen(command, stderr=file)
        try:
            wait_until(lambda: "address=http" in self.log.read_text(), "the server listens")
            port = self.log.read_text().partition("address=http://127.0.0.1:")[2].split()[0]
            self.client = Client(int(port))
            wait_until(lambda: self.states() == ["idle", "idle"], "the actors are up")
        except BaseException:
            self.kill()
            raise

    def states(self) -> list[str]:
        return [row["state"] for row in self.client("GET", "/health").json()["workers"]]

    def create(self, seed: int, frames: int = FRAMES) -> str:
        """A job of which some frames are made."""
        job = self.client.create(frames=frames, seed=seed)
        wait_until(lambda: self.client.state(job)["frames_done"] >= 3, "some frames are made")
        return job

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def server(head, tmp_path_factory) -> Iterator[Server]:
    """One for all tests here, of which the last one kills it."""
    server = Server(tmp_path_factory.mktemp("ray") / "data", head)
    yield server
    server.client.session.close()
    server.kill()


@contextlib.contextmanager
def computing(folder: Path, head: Head, **options) -> Iterator[Backend]:
    """A backend in this process with actors on the cluster, once all are up."""
    service = JobService(DataFolder(folder), model_folders=True)
    cluster = ClusterOptions(address=head.address, **{"core": NUMBERS, **options})
    backend = Backend(service.folder, service, RayWorkers(service, Cluster(cluster)))
    backend.start()
    try:
        wait_until(lambda: set(states(backend)) == {"idle"}, "the actors are up")
        yield backend
    finally:
        backend.close()


@pytest.fixture(scope="module")
def small_model(tmp_path_factory) -> Path:
    """An untrained model that moves."""
    folder = tmp_path_factory.mktemp("weights") / "small"
    kind = "moedsr-anchored"
    save_model(folder, untrained(SMALL), architecture=kind, summary="for tests", time=TimeMap())
    return folder


def body(seed: int, frames: int = FRAMES) -> bytes:
    return body_of(options=options_of(frames=frames, seed=seed))


def states(backend: Backend) -> list[str]:
    return [row["state"] for row in backend.service.workers.status()]


def records(backend: Backend, job: str, owner: str = "ann") -> list[bytes]:
    """What a job has made, once it is done."""
    wait_until(lambda: backend.service.status(owner, job)["state"] == "done", "the job is done")
    with backend.service.reading(owner, job) as live:
        return [live.spool.read(place).partition(b"\n")[2] for place in range(live.job.records)]


def expected(request: bytes, core=None) -> list[bytes]:
    """The same, computed in this process."""
    core = core or NumberCore(0.0)
    return [data for kind, data in core.run(request, 0, lambda *_: None, lambda: False)][:-1]


def frames_of(request: bytes) -> dict[int, bytes]:
    made = NumberCore(0.0).run(request, 0, lambda *_: None, lambda: False)
    return dict(enumerate(data for kind, data in made if kind == "frame"))


def test_an_actor_killed_in_mid_job_is_replaced_and_the_job_has_the_same_bytes(server, head):
    before, jobs = head.actors(), [server.create(seed) for seed in (1, 2)]
    assert len(before) == 2 and server.states() == ["busy", "busy"]
    os.kill(min(before), signal.SIGKILL)
    for seed, job in enumerate(jobs, 1):
        assert server.client.frames(job) == frames_of(body(seed=seed))
        assert server.client.state(job)["state"] == "done"
    wait_until(lambda: server.states() == ["idle", "idle"], "the actor is replaced")
    assert head.actors() & before == {max(before)} and len(head.actors()) == 2
    assert server.log.read_text().count("warning worker on CPU") == 1


def test_a_cancelled_job_ends_and_its_actor_goes_on(server, head):
    before, job = head.actors(), server.create(seed=3, frames=1000)
    server.client("POST", f"/jobs/{job}/cancel")
    wait_until(lambda: server.states() == ["idle", "idle"], "the actor is free")
    assert server.client.state(job)["state"] == "cancelled" and head.actors() == before
    assert len(server.client.frames(job)) == server.client.state(job)["frames_done"] < 1000


def test_the_science_gives_the_same_bytes_as_on_this_computer(
    head, tmp_path, small_model, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as many as an actor has
    options = {"frames": 3, "model": str(small_model), "spacing": SPACING, "device": "cpu"}
    names = ("coords", "elements", "atom_names", "residue_names", "residue_ids", "chain_ids")
    sent = peptide()
    arrays = {name: getattr(sent, name) for name in (*names, "residue_index")}
    request = pack_request(arrays, {"kind": "predict", **options})
    with computing(tmp_path / "data", head, most=1, core=ClusterOptions.core) as backend:
        job = backend.service.create("ann", request)["id"]
        made = records(backend, job)
    assert made == expected(request, WorkerCore("cpu")) and len(made) == 5


def test_a_cluster_that_does_not_answer_is_one_sentence_and_exit_code_3(tmp_path, capsys):
    command = ["serve", "--no-token", "--port", "0", "--data-dir", str(tmp_path / "data")]
    assert main([*command, "--ray", "127.0.0.1:1"]) == BackendError.exit_code
    error = capsys.readouterr().err
    assert "no Ray cluster answers at '127.0.0.1:1'" in error and "Traceback" not in error


def test_actors_end_with_a_killed_server_and_the_next_one_goes_on(server, head):
    job = server.create(seed=4)
    assert head.actors()
    server.kill()
    wait_until(lambda: not head.actors(), "the actors have ended")
    with computing(server.folder, head, most=1) as backend:
        assert records(backend, job, "local") == expected(body(seed=4))
        with backend.service.reading("local", job) as live:
            assert live.job.summary["frames"] == FRAMES


@pytest.fixture
def backend(head, tmp_path) -> Iterator[Backend]:
    with computing(tmp_path / "data", head, most=2) as backend:
        yield backend


@pytest.mark.soak
def test_a_cluster_whose_room_is_taken_is_one_sentence(head, backend, monkeypatch):
    monkeypatch.setattr("moedsr_core.backend.cluster.cluster.ROOM_S", 0.1)
    with pytest.raises(BackendError, match="has room for 1 worker, but other programs use it all"):
        Cluster(ClusterOptions(address=head.address, cpus=3))


@pytest.mark.soak
def test_a_cluster_with_another_moedsr_is_one_sentence(head, backend):
    place = next(iter(backend.executor._places.values()))
    options = ClusterOptions(address=head.address)
    code = (
        "import sys, moedsr_core; moedsr_core.__version__ = '9.9'\n"
        "from moedsr_core.backend.cluster import bridge\n"
        "sys.exit(bridge.main())"
    )
    flags = options.bridge_command(place)[3:]
    worker = LocalWorker("cpu", lambda device: [sys.executable, "-c", code, *flags])
    try:
        with pytest.raises(InputError, match=r"has moedsr 0\..*, but this server is moedsr 9\.9"):
            worker.describe()
    finally:
        worker.close()


@pytest.mark.soak
def test_computers_that_join_and_leave_are_noticed(head, tmp_path):
    with computing(tmp_path / "data", head) as backend:
        assert len(states(backend)) == 4
        head("add 1")
        wait_until(lambda: states(backend) == ["idle"] * 5, "the new computer is used")
        pids = {slot.description["pid"] for slot in backend.executor._slots}
        jobs = [backend.service.create("ann", body(seed, 400))["id"] for seed in range(5)]
        wait_until(lambda: states(backend) == ["busy"] * 5, "all compute")
        head("remove")
        wait_until(lambda: len(states(backend)) == 4, "it is noticed that it has left")
        for seed, job in enumerate(jobs):
            assert records(backend, job) == expected(body(seed, 400))
        assert {slot.description["pid"] for slot in backend.executor._slots} < pids
