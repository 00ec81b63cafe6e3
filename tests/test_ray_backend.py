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
from moedsr_core.backend.cluster.ray_workers import ClusterOptions, RayWorkers
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
FRAMES = 40
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

    def close(self) -> None:
        with self.process:
            self.process.stdin.close()


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


@contextlib.contextmanager
def computing(folder: Path, head: Head, **options) -> Iterator[Backend]:
    """A backend in this process with actors on the cluster, once all are up."""
    service = JobService(DataFolder(folder), model_folders=True)
    cluster = ClusterOptions(address=head.address, **{"core": NUMBERS, **options})
    backend = Backend(service.folder, service, RayWorkers(service, cluster))
    backend.start()
    try:
        wait_until(lambda: set(states(backend)) == {"idle"}, "the actors are up")
        yield backend
    finally:
        backend.close()


@pytest.fixture(scope="module")
def backend(head, tmp_path_factory) -> Iterator[Backend]:
    """One with two actors, which make numbers."""
    with computing(tmp_path_factory.mktemp("ray") / "data", head, most=2) as backend:
        yield backend


@pytest.fixture(scope="module")
def small_model(tmp_path_factory) -> Path:
    """An untrained model that moves."""
    folder = tmp_path_factory.mktemp("weights") / "small"
    kind = "moedsr-anchored"
    save_model(folder, untrained(SMALL), architecture=kind, summary="for tests", time=TimeMap())
    return folder


def states(backend: Backend) -> list[str]:
    return [row["state"] for row in backend.service.workers.status()]


def body(frames: int = FRAMES, seed: int = 1) -> bytes:
    return body_of(options=options_of(frames=frames, seed=seed))


def status(backend: Backend, job: str, owner: str = "ann") -> dict:
    return backend.service.status(owner, job)


def records(backend: Backend, job: str, owner: str = "ann") -> list[bytes]:
    wait_until(lambda: status(backend, job, owner)["state"] == "done", "the job is done")
    with backend.service.reading(owner, job) as live:
        return [live.spool.read(place).partition(b"\n")[2] for place in range(live.job.records)]


def expected(request: bytes, core=None) -> list[bytes]:
    """What a job's records hold, as computed in this process."""
    core = core or NumberCore(0.0)
    return [data for kind, data in core.run(request, 0, lambda *_: None, lambda: False)][:-1]


def wait_for_frames(backend: Backend, job: str, n: int = 3) -> None:
    wait_until(lambda: status(backend, job)["frames_done"] >= n, f"{n} frames are made")


def test_an_actor_killed_in_mid_job_is_replaced_and_the_job_has_the_same_bytes(backend, caplog):
    jobs = [backend.service.create("ann", body(seed=seed))["id"] for seed in (1, 2)]
    for job in jobs:
        wait_for_frames(backend, job)
    assert states(backend) == ["busy", "busy"]
    pids = {slot.description["pid"] for slot in backend.executor._slots}
    os.kill(min(pids), signal.SIGKILL)
    assert [records(backend, job) for job in jobs] == [expected(body(seed=s)) for s in (1, 2)]
    assert "the Ray actor on" in caplog.text and "has ended" in caplog.text
    wait_until(lambda: states(backend) == ["idle", "idle"], "the actor is replaced")
    now = {slot.description["pid"] for slot in backend.executor._slots}
    assert len(now) == 2 and now & pids == {max(pids)}


def test_a_cancelled_job_ends_and_its_actor_goes_on(backend):
    job = backend.service.create("ann", body(frames=2000))["id"]
    wait_for_frames(backend, job)
    slot = next(slot for slot in backend.executor._slots if slot.state == "busy")
    worker = slot.worker
    assert worker.check({"frames": 7})["options"]["frames"] == 7
    backend.service.cancel("ann", job)
    wait_until(lambda: slot.state == "idle", "the worker is free")
    assert slot.worker is worker and worker.is_alive()
    assert status(backend, job)["frames_done"] < 2000


def test_the_science_gives_the_same_bytes_as_on_this_computer(
    head, tmp_path, small_model, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as many as an actor has
    options = {
        "frames": 3,
        "model": str(small_model),
        "spacing": SPACING,
        "device": "cpu",
        "seed": 1,
    }
    names = ("coords", "elements", "atom_names", "residue_names", "residue_ids", "chain_ids")
    sent = peptide()
    arrays = {name: getattr(sent, name) for name in (*names, "residue_index")}
    request = pack_request(arrays, {"kind": "predict", **options})
    with computing(tmp_path / "data", head, most=1, core=ClusterOptions.core) as backend:
        job = backend.service.create("ann", request)["id"]
        made = records(backend, job)
    assert made == expected(request, WorkerCore("cpu")) and len(made) == 5


@contextlib.contextmanager
def serving(folder: Path, head: Head) -> Iterator[Client]:
    """A server process with one actor; killed in the end."""
    command = [sys.executable, "-m", "real_servers", "serve", "--data-dir", str(folder)]
    command += ["--no-token", "--port", "0", "--ray", head.address, "--ray-workers", "1"]
    log = folder.with_suffix(".log")
    with log.open("w") as file:
        server = subprocess.Popen(command, stderr=file)
    try:
        wait_until(lambda: "address=http" in log.read_text(), "the server listens")
        client = Client(int(log.read_text().partition("address=http://127.0.0.1:")[2].split()[0]))
        yield client
        client.session.close()
    finally:
        server.kill()
        server.wait()


def test_actors_end_with_a_killed_server_and_the_next_one_goes_on(head, tmp_path):
    folder, before = tmp_path / "data", actors()
    with serving(folder, head) as client:
        job = client("POST", "/jobs", data=body()).json()["id"]
        wait_until(lambda: client.state(job)["frames_done"] > 3, "some frames are made")
        own = actors() - before
    assert len(own) == 1
    wait_until(lambda: not own & actors(), "the actor has ended")
    with computing(folder, head, most=1) as backend:
        assert 3 < status(backend, job, "local")["frames_done"]
        assert records(backend, job, "local") == expected(body())


def actors() -> set[str]:
    """Process ids of all actors."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and b"MoedsrWorker" in (entry / "cmdline").read_bytes():
                found.add(entry.name)
    return found


def test_a_cluster_whose_room_is_taken_is_one_sentence(head, backend, tmp_path, monkeypatch):
    monkeypatch.setattr("moedsr_core.backend.cluster.ray_workers.ROOM_S", 0.1)
    with pytest.raises(BackendError, match="has room for 1 worker, but other programs use it all"):
        RayWorkers(backend.service, ClusterOptions(address=head.address, cpus=3))


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


def test_a_cluster_that_does_not_answer_is_one_sentence_and_exit_code_3(tmp_path, capsys):
    command = ["serve", "--no-token", "--port", "0", "--data-dir", str(tmp_path / "data")]
    assert main([*command, "--ray", "127.0.0.1:1"]) == BackendError.exit_code
    error = capsys.readouterr().err
    assert "no Ray cluster answers at '127.0.0.1:1'" in error and "Traceback" not in error


@pytest.mark.soak
def test_computers_that_join_and_leave_are_noticed(head, tmp_path):
    with computing(tmp_path / "data", head) as backend:
        assert len(states(backend)) == 4
        head("add 1")
        wait_until(lambda: states(backend) == ["idle"] * 5, "the new computer is used")
        pids = {slot.description["pid"] for slot in backend.executor._slots}
        jobs = [backend.service.create("ann", body(400, seed))["id"] for seed in range(5)]
        for job in jobs:
            wait_for_frames(backend, job)
        head("remove")
        wait_until(lambda: len(states(backend)) == 4, "it is noticed that it has left")
        for seed, job in enumerate(jobs):
            assert records(backend, job) == expected(body(400, seed))
        assert {slot.description["pid"] for slot in backend.executor._slots} < pids
