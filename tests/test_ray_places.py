"""What a server makes of a Ray cluster's news; no cluster is needed."""

from __future__ import annotations

import contextlib
import queue
import sys
import time
from pathlib import Path

import pytest
from backend_support import FakeScience, ThreadWorker, wait_until
from test_wire import body_of, options_of

from moedsr_core import __version__
from moedsr_core.backend.cluster import cluster as clusters
from moedsr_core.backend.cluster import ray_workers
from moedsr_core.backend.cluster.actor import actor_class
from moedsr_core.backend.cluster.cluster import Census, Cluster, ClusterOptions
from moedsr_core.backend.cluster.places import kind_of, places_on, room_left
from moedsr_core.backend.cluster.post import AHEAD, Post
from moedsr_core.backend.cluster.ray_workers import RayWorkers
from moedsr_core.backend.commands import main
from moedsr_core.backend.data_folder import DataFolder
from moedsr_core.backend.parts import Backend
from moedsr_core.backend.service import JobService
from moedsr_core.backend.workers import WorkerDied
from moedsr_core.errors import BackendError

pytest_plugins = "backend_support"


def node(name: str, cpus: float, gpus: float = 0, alive: bool = True) -> dict:
    resources = {"CPU": cpus, "memory": 1e9} | ({"GPU": gpus} if gpus else {})
    return {"NodeID": name, "NodeManagerHostname": name, "Alive": alive, "Resources": resources}


def names(places) -> list[str]:
    return [str(place) for place in places]


def test_a_cluster_with_a_gpu_has_a_place_on_each_gpu_and_one_without_on_each_processor():
    gone = node("gone", 8, 8, alive=False)
    nodes = [node("b", 4, 2), node("a", 8, 1), node("c", 16), gone]
    assert kind_of(nodes) == "GPU" and kind_of([node("c", 16), gone]) == "CPU"
    assert names(places_on(nodes, "GPU", 1)) == ["GPU 0 of a", "GPU 0 of b", "GPU 1 of b"]
    assert names(places_on(nodes, "GPU", 4)) == ["GPU 0 of a", "GPU 0 of b"]
    assert names(places_on(nodes[:2], "CPU", 3)) == ["CPU 0 of a", "CPU 0 of b", "CPU 1 of a"]
    assert len({place.key for place in places_on(nodes, "CPU", 1)}) == 28


def test_room_is_left_where_processors_and_a_gpu_are_free():
    assert room_left({"CPU": 2.0}, "CPU", 2) and not room_left({"CPU": 2.0}, "CPU", 3)
    assert room_left({"CPU": 2.0, "GPU": 1.0}, "GPU", 2)
    assert not room_left({"CPU": 2.0, "GPU": 0.5}, "GPU", 2) and not room_left({}, "CPU", 1)


# --- the server's side -----------------------------------------------------------------------


class News(Census):
    """In place of the process that has joined the cluster."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[dict | None] = queue.SimpleQueue()
        self.joined: list[ClusterOptions] = []

    def __call__(self, options: ClusterOptions) -> News:
        self.joined.append(options)
        self.closed = False
        return self

    def say(self, *nodes: dict, free: bool = True, kind: str = "CPU") -> None:
        places = [vars(place) for place in places_on(nodes, kind, 1)]
        self.queue.put({"type": "room", "places": places, "free": free, "kind": kind})

    def next(self, seconds: float) -> dict:
        while not self.closed:
            with contextlib.suppress(queue.Empty):
                if (news := self.queue.get(timeout=0.02)) is not None:
                    return news
                break
        raise WorkerDied("no Ray cluster answers")

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def news() -> News:
    return News()


@pytest.fixture
def cluster(news, science, tmp_path, monkeypatch):
    """Makes a backend on what was said of a cluster; its workers are threads."""
    opened: list[Backend] = []
    monkeypatch.setattr(ray_workers, "LocalWorker", lambda key, command: ThreadWorker(science))

    def start(**options) -> Backend:
        service = JobService(DataFolder(tmp_path / "data"), model_folders=True)
        options = ClusterOptions(address="h:1", **options)
        try:
            workers = RayWorkers(service, Cluster(options, news))
        except BackendError:
            service.close()
            raise
        opened.append(Backend(service.folder, service, workers))
        opened[0].start()
        return opened[0]

    yield start
    science.released.set()
    for backend in opened:
        backend.close()


def workers(backend: Backend) -> dict[str, str]:
    return {row["device"]: row["state"] for row in backend.executor.status()}


def wait_for_workers(backend: Backend, **wanted: str) -> None:
    expected = {name.replace("_", " "): state for name, state in wanted.items()}
    wait_until(lambda: workers(backend) == expected, f"the workers are {expected}")


def test_workers_come_and_go_with_the_places_of_the_cluster(cluster, news):
    news.say(node("a", 1))
    backend = cluster()
    wait_for_workers(backend, CPU_0_of_a="idle")
    first = backend.executor._slots[0].worker
    news.say(node("a", 1), node("b", 2))
    wait_for_workers(backend, CPU_0_of_a="idle", CPU_0_of_b="idle", CPU_1_of_b="idle")
    news.say(node("a", 1))
    wait_for_workers(backend, CPU_0_of_a="idle")
    assert backend.executor._slots[0].worker is first and first.is_alive()


def test_a_job_whose_computer_has_left_goes_on_at_another_place(cluster, news, science):
    science.hold = 2
    news.say(node("a", 1))
    backend = cluster()
    body = body_of(options=options_of(frames=4, seed=1))
    job = backend.service.create("ann", body)["id"]
    wait_until(lambda: backend.service.status("ann", job)["frames_done"] == 2, "it computes")
    news.say(node("b", 1))
    wait_for_workers(backend, CPU_0_of_b="busy")
    science.released.set()
    wait_until(lambda: backend.service.status("ann", job)["state"] == "done", "it is done")
    assert science.runs == [("predict", 0), ("predict", 1)]


def test_no_more_workers_than_asked_for_and_those_on_different_computers(cluster, news):
    news.say(node("a", 4), node("b", 4))
    wait_for_workers(cluster(most=2), CPU_0_of_a="idle", CPU_0_of_b="idle")


def test_while_the_cluster_is_away_jobs_wait_and_the_status_says_so(cluster, news, monkeypatch):
    monkeypatch.setattr(ray_workers, "FIRST_PAUSE_S", 0.01)
    news.say(node("a", 1))
    backend = cluster()
    wait_for_workers(backend, CPU_0_of_a="idle")
    monkeypatch.setattr(ray_workers, "FRESH_S", 0.0)
    news.say()
    wait_until(lambda: len(workers(backend)) == 1, "no worker is left")
    job = backend.service.create("ann", body_of(options=options_of(frames=1)))["id"]
    news.queue.put(None)
    wait_until(lambda: len(news.joined) == 2, "it joins again")
    assert [options.device for options in news.joined] == ["auto", "cpu"]
    assert backend.executor.status() == [
        {"device": "Ray cluster h:1", "state": "down", "error": "no Ray cluster answers"}
    ]
    news.say(node("b", 1))
    wait_until(lambda: backend.service.status("ann", job)["state"] == "done", "it is done")


def test_jobs_do_not_fail_for_starts_that_failed_while_the_cluster_was_away(cluster, news):
    news.say(node("a", 1))
    backend = cluster()
    slot = backend.executor._slots[0]
    wait_for_workers(backend, CPU_0_of_a="idle")
    slot.close(5)
    job = backend.service.create("ann", body_of(options=options_of(frames=1)))["id"]
    for heard, wanted in ((-1e9, "queued"), (time.monotonic(), "failed")):
        slot.failed_starts, backend.executor._heard = 3, heard
        backend.executor.tick()
        assert backend.service.status("ann", job)["state"] == wanted


@pytest.mark.parametrize(
    ("nodes", "kind", "sentence"),
    [
        ([], "CPU", "has no computer with 1 processor for a worker"),
        ([node("a", 4)], "GPU", "has no computer with a GPU and 1 processor for a worker"),
        ([node("a", 2)], "CPU", "has room for 2 workers, but other programs use it all"),
    ],
)
def test_a_cluster_without_room_is_one_sentence(cluster, news, monkeypatch, nodes, kind, sentence):
    monkeypatch.setattr(clusters, "ROOM_S", 0.0)
    news.say(*nodes, free=False, kind=kind)
    with pytest.raises(BackendError, match=f"the Ray cluster at 'h:1' {sentence}"):
        cluster()


def test_room_that_a_server_before_has_just_left_is_waited_for(cluster, news):
    news.say(node("a", 1), free=False)
    news.say(node("a", 1))
    wait_for_workers(cluster(), CPU_0_of_a="idle")


# --- the cluster's side ----------------------------------------------------------------------


def test_an_actor_says_which_moedsr_is_there_where_it_is_another():
    worker = actor_class()()
    assert worker.begin("0.0.0", "", "cpu", 1) == __version__


def test_an_actor_without_moedsr_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "moedsr_core", None)
    assert actor_class()().begin(__version__, "", "cpu", 1) == ""


def test_a_worker_that_nobody_hears_waits():
    core = FakeScience()
    post = Post(lambda: core)
    frames, heard = 50, 0
    post.say({"type": "run", "skip": 0}, body_of(options=options_of(frames=frames)))
    while heard < frames:
        wait_until(post._outbox.full, "it waits") if heard + AHEAD < frames else None
        assert len(core.made) <= heard + AHEAD + 1
        heard += sum(fields["type"] == "frame" for fields, _ in post.hear())
    assert core.made == list(range(frames))


def test_a_worker_that_cannot_begin_says_why():
    def make():
        raise RuntimeError("no such library")

    assert Post(make).hear() == [
        ({"type": "broken", "error": "internal error: RuntimeError: no such library"}, b"")
    ]


# --- the command -----------------------------------------------------------------------------


def serve_on_ray(folder: Path, *flags: str) -> int:
    return main(["serve", "--no-token", "--port", "0", "--data-dir", str(folder), *flags])


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--ray-cpus", "2"], "go with --ray"),
        (["--ray-workers", "2"], "go with --ray"),
        (["--ray", "auto", "--ray-cpus", "0"], "ray-cpus"),
        (["--ray", "auto", "--devices", "cuda:1"], "must be auto, cpu or cuda, got cuda:1"),
    ],
)
def test_flags_of_a_cluster_that_do_not_fit_are_refused(tmp_path, flags, reason, capsys):
    assert serve_on_ray(tmp_path / "data", *flags) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1


def test_without_ray_installed_the_server_says_once_how_to_get_it(
    tmp_path, monkeypatch, capsys, caplog
):
    caplog.set_level("INFO")
    (tmp_path / "ray.py").write_text("raise ImportError('not here')\n")
    path = [str(tmp_path), *sys.path]
    monkeypatch.setenv("PYTHONPATH", ":".join(path))
    assert main(["serve", "--data-dir", str(tmp_path / "data"), "--ray", "auto"]) == 3
    error = capsys.readouterr().err
    assert error == ("moedsr: Ray is not installed; install moedsr[cluster], or leave out --ray\n")
    assert caplog.text == "" and not (tmp_path / "data").exists()
