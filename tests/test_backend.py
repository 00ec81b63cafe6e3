"""The backend as its client sees it: over a real socket, and as a real child process."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
import uvicorn
from fastapi import FastAPI
from test_wire import BAD_BODIES, body_of, full_disk, options_of

from moedsr_core.backend import server
from moedsr_core.backend.app import create_app
from moedsr_core.backend.jobs import Event, Job, JobQueue
from moedsr_core.backend.wire import MAX_BODY_BYTES, read_request
from moedsr_core.errors import BackendError, InputError

TOKEN = "a-token-for-these-tests"
MODULE = [sys.executable, "-m", "moedsr_core.backend.server"]
DEADLINE_S = 20.0


class FakeScience:
    """An engine whose frames are numbers, and which waits at frame ``hold`` until released."""

    def __init__(self) -> None:
        self.hold: int | None = None
        self.released = threading.Event()
        self.failure: Exception | None = None
        self.stopped = threading.Event()
        self.options = None

    def device(self) -> str:
        return "cpu"

    def models(self) -> list[dict]:
        return [{"name": "fake", "default": True}]

    def check(self, options) -> None:
        if options.mesh == "cubes":
            raise InputError("mesh must be one of spheres, got 'cubes'")

    def __call__(self, structure, options, on_progress, should_stop):
        self.options = options
        n = 1 if options.kind == "surface" else options.frames
        on_progress("surface", n)
        on_progress("frames", n)
        faces = np.array([[0, 1, 2]])
        for k in range(n):
            self._wait(k, should_stop)
            if should_stop():
                self.stopped.set()
                return
            yield Event(kind="frame", data=fake_frame(k) | {"faces": faces})
            if k == 0:
                yield Event(kind="attributes", data={"atom": np.arange(4)})
        yield Event(kind="attributes", data={"fluctuation": np.arange(4.0)})
        yield Event(kind="summary", data={"frames": n, "vertices": np.int64(4)})

    def _wait(self, k: int, should_stop) -> None:
        while k == self.hold and not self.released.is_set() and not should_stop():
            time.sleep(0.005)
        if k == self.hold and self.failure is not None:
            raise self.failure


def fake_frame(k: int) -> dict[str, np.ndarray]:
    return {
        "vertices": np.full((4, 3), k),
        "normals": np.ones((4, 3)),
        "displacement": np.full(4, k / 10),
    }


class Client:
    """A few calls of the protocol, with the token."""

    def __init__(self, port: int, token: str = TOKEN) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {token}"

    def __call__(self, method: str, path: str, **kwargs) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=DEADLINE_S, **kwargs)

    def create(self, frames: int = 5, **options) -> str:
        reply = self("POST", "/jobs", data=body_of(options=options_of(frames=frames, **options)))
        assert reply.status_code == 201, reply.text
        assert set(reply.json()) == {"id", "state"}
        return reply.json()["id"]

    def state(self, job: str) -> dict:
        return self("GET", f"/jobs/{job}").json()

    @contextlib.contextmanager
    def stream(self, job: str, start: int = 0) -> Iterator[Iterator[tuple[dict, bytes]]]:
        with self("GET", f"/jobs/{job}/stream?from={start}", stream=True) as reply:
            assert reply.status_code == 200, reply.text
            yield read_records(reply.iter_content(chunk_size=None))

    def frames(self, job: str, start: int = 0) -> dict[int, bytes]:
        with self.stream(job, start) as records:
            return {head["index"]: data for head, data in records if head["type"] == "frame"}

    def end(self, job: str) -> dict:
        with self.stream(job) as records:
            return [head for head, _ in records][-1]


def read_records(chunks: Iterator[bytes]) -> Iterator[tuple[dict, bytes]]:
    """Records until the end of the stream, which must be an ``end`` record."""
    held, head = b"", {}
    for chunk in chunks:
        held += chunk
        while b"\n" in held:
            line, rest = held.split(b"\n", 1)
            head = json.loads(line)
            if len(rest) < head["bytes"]:
                break
            yield head, rest[: head["bytes"]]
            held = rest[head["bytes"] :]
    assert head["type"] == "end" and not held


def read_array(data: bytes, name: str) -> np.ndarray:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return arrays[name]


def wait_until(condition, what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.01)


@pytest.fixture
def science() -> FakeScience:
    return FakeScience()


@pytest.fixture
def jobs(science, tmp_path) -> Iterator[JobQueue]:
    queue = JobQueue(science, tmp_path / "jobs")
    yield queue
    queue.close()


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> Iterator[tuple[FastAPI, int]]:
    """A server in a thread, and its port; each test gives it a queue of its own."""
    idle = FakeScience()
    queue = JobQueue(idle, tmp_path_factory.mktemp("idle"))
    app = create_app(queue, idle, TOKEN)
    listener = server.listen("127.0.0.1", 0)
    config = uvicorn.Config(app, loop="asyncio", http="h11", ws="none", log_config=None)
    runner = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: runner.run(sockets=[listener]))
    thread.start()
    yield app, listener.getsockname()[1]
    runner.should_exit = True
    thread.join()
    queue.close()


@pytest.fixture
def client(web, science, jobs) -> Iterator[Client]:
    """Client of a server whose engine is the fake one."""
    app, port = web
    app.state.jobs, app.state.science = jobs, science
    client = Client(port)
    yield client
    science.released.set()
    client.session.close()


# --- one job ---------------------------------------------------------------------------------


def test_a_job_streams_its_frames_then_its_attributes_then_its_end(client):
    job = client.create(frames=3)
    with client.stream(job) as records:
        received = [(head, data) for head, data in records if head["type"] != "progress"]
    kinds = [head["type"] for head, _ in received]
    assert kinds == ["frame", "attributes", "frame", "frame", "attributes", "end"]
    assert [head["index"] for head, _ in received if "index" in head] == [0, 1, 2]
    assert all(head["bytes"] == len(data) for head, data in received)
    end = received[-1][0]
    assert (end["state"], end["error"]) == ("done", None)
    assert end["summary"]["frames"] == 3 and end["summary"]["seconds"] > 0


def test_frames_arrive_as_the_engine_made_them_and_faces_only_once(client):
    frames = client.frames(client.create(frames=3))
    for k, data in frames.items():
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            sent = {name: arrays[name] for name in arrays.files}
        expected = fake_frame(k) | ({"faces": np.array([[0, 1, 2]])} if k == 0 else {})
        assert set(sent) == set(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(sent[name], np.asarray(values, sent[name].dtype))


def test_a_stream_resumed_in_mid_job_brings_the_same_bytes(client, science):
    science.hold = 4
    job = client.create(frames=6)
    first: dict[int, bytes] = {}
    with client.stream(job) as records:
        for head, data in records:
            if head["type"] == "frame":
                first[head["index"]] = data
            if len(first) == 4:
                break
    with client.stream(job, start=2) as records:
        head, data = next(r for r in records if r[0]["type"] == "frame")
        assert (head["index"], data) == (2, first[2])
        assert client.state(job)["state"] == "running"
        science.released.set()
        resumed = {h["index"]: d for h, d in records if h["type"] == "frame"}
    assert list(resumed) == [3, 4, 5]
    assert client.frames(job) == {**first, **resumed}


def test_a_resumed_stream_does_not_miss_the_attributes(client):
    job = client.create(frames=3)
    with client.stream(job, start=3) as records:
        kinds = [head["type"] for head, _ in records]
    assert [kind for kind in kinds if kind != "progress"] == ["attributes", "attributes", "end"]


def test_two_streams_of_one_job_at_once_bring_the_same(client, science):
    science.hold = 1
    job = client.create(frames=20)
    results: list[dict[int, bytes]] = []
    readers = [
        threading.Thread(target=lambda: results.append(Client(port_of(client)).frames(job)))
        for _ in range(2)
    ]
    for reader in readers:
        reader.start()
    wait_until(lambda: client.state(job)["frames_done"] == 1, "the first frame is made")
    science.released.set()
    for reader in readers:
        reader.join(DEADLINE_S)
    assert results[0] == results[1]
    assert list(results[0]) == list(range(20))


def port_of(client: Client) -> int:
    return int(client.url.split(":")[2].split("/")[0])


def test_a_waiting_stream_shows_signs_of_life(client, science):
    science.hold = 1
    job = client.create(frames=3)
    with client.stream(job) as records:
        start, beats = time.monotonic(), []
        for head, _ in records:
            if head["type"] == "progress":
                beats.append(time.monotonic() - start)
            if beats and beats[-1] > 3.0:
                break
    assert np.diff(beats).max() < 2.0
    assert set(head) == {"type", "stage", "frames_done", "frames", "seconds_left", "bytes"}
    assert (head["stage"], head["frames_done"], head["frames"]) == ("frames", 1, 3)


def test_a_job_reports_all_fields_of_its_state(client, science):
    science.hold = 3
    job = client.create(frames=5)
    wait_until(lambda: client.state(job)["frames_done"] == 3, "three frames are made")
    state = client.state(job)
    assert set(state) == {
        "id", "state", "stage", "frames_done", "frames", "seconds", "seconds_left", "error",
        "summary",
    }  # fmt: skip
    assert (state["id"], state["state"], state["stage"]) == (job, "running", "frames")
    assert state["frames"] == 5 and state["seconds"] > 0 and state["seconds_left"] >= 0
    science.released.set()
    assert client.end(job)["state"] == "done"
    assert client("GET", "/jobs").json() == [client.state(job)]
    assert client.state(job)["seconds_left"] == 0


def test_jobs_run_one_at_a_time_in_the_order_of_arrival(client, science):
    science.hold = 1
    first, second = client.create(frames=2), client.create(frames=2)
    wait_until(lambda: client.state(first)["frames_done"] == 1, "the first job has begun")
    assert client.state(second)["state"] == "queued"
    science.released.set()
    assert client.end(second)["state"] == "done"
    assert client.state(first)["state"] == "done"


def test_a_surface_job_has_one_frame(client, science):
    job = client.create(kind="surface", frames=50)
    assert list(client.frames(job)) == [0]
    assert client.state(job)["frames"] == 1


def test_answers_do_not_wait_for_the_network_to_fill_a_packet(client):
    job = client.create(frames=1)
    seconds = []
    for _ in range(31):
        start = time.perf_counter()
        client.state(job)
        seconds.append(time.perf_counter() - start)
    assert np.median(seconds) < 0.03  # 0.045 with Nagle's algorithm, 0.003 without


# --- stopping --------------------------------------------------------------------------------


def test_a_cancelled_job_stops_and_its_stream_ends(client, science):
    science.hold = 2
    job = client.create(frames=1000)
    with client.stream(job) as records:
        next(r for r in records if r[0].get("index") == 1)
        began = time.monotonic()
        assert client("POST", f"/jobs/{job}/cancel").json()["state"] == "cancelled"
        rest = [head for head, _ in records]
    assert rest[-1]["state"] == "cancelled" and rest[-1]["error"] is None
    assert science.stopped.wait(DEADLINE_S)
    assert time.monotonic() - began < 1.0
    assert client.state(job)["frames_done"] == 2
    science.hold = None
    assert client.end(client.create())["state"] == "done"


def test_a_cancelled_job_stops_even_if_its_engine_does_not_listen(jobs):
    made = []

    def deaf(structure, options, on_progress, should_stop):
        for k in range(1000):
            made.append(k)
            yield Event(kind="frame", data=fake_frame(k))
            job.cancel()

    job = Job(read_request(body_of()), jobs.folder)
    job.run(deaf)
    assert job.state == "cancelled"
    assert made == [0, 1] and job.spool.n_frames == 1


def test_a_queued_job_that_is_cancelled_never_runs(client, science):
    science.hold = 0
    running, waiting = client.create(), client.create()
    client("POST", f"/jobs/{waiting}/cancel")
    science.released.set()
    assert client.end(running)["state"] == "done"
    assert client.end(client.create())["state"] == "done"
    state = client.state(waiting)
    assert (state["state"], state["frames_done"], state["seconds"]) == ("cancelled", 0, 0)


def test_cancelling_a_finished_job_changes_nothing(client):
    job = client.create()
    assert client.end(job)["state"] == "done"
    assert client("POST", f"/jobs/{job}/cancel").json()["state"] == "done"


def test_a_deleted_job_is_gone_with_its_files(client, science, jobs):
    science.hold = 2
    job = client.create(frames=10)
    wait_until(lambda: client.state(job)["frames_done"] == 2, "two frames are made")
    assert [path.name for path in jobs.folder.iterdir()] == [job]
    with client.stream(job) as records:
        next(records)
        reply = client("DELETE", f"/jobs/{job}")
        assert (reply.status_code, reply.content) == (204, b"")
        assert [head for head, _ in records][-1]["state"] == "cancelled"
    assert client("GET", f"/jobs/{job}").status_code == 404
    assert client("GET", "/jobs").json() == []
    wait_until(lambda: not list(jobs.folder.iterdir()), "the folder is empty")


def test_a_finished_job_that_is_deleted_leaves_no_files(client, jobs):
    job = client.create()
    assert client.end(job)["state"] == "done"
    assert len(list((jobs.folder / job).iterdir())) == 7
    assert client("DELETE", f"/jobs/{job}").status_code == 204
    assert list(jobs.folder.iterdir()) == []


def test_files_lost_under_a_stream_end_it_with_a_sentence(client, jobs):
    job = client.create(frames=3)
    assert client.end(job)["state"] == "done"
    (jobs.folder / job / "frame_00001.npz").unlink()
    end = client.end(job)
    assert end["state"] == "failed" and "run it again" in end["error"]


def test_a_closed_queue_leaves_no_files(science, tmp_path):
    queue = JobQueue(science, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    queue.close()
    assert list(tmp_path.iterdir()) == []


# --- failing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (InputError("the protein is too large"), "the protein is too large"),
        (ValueError("bad\n  shape"), "internal error: ValueError: bad shape"),
        (MemoryError(), "ran out of memory; use a larger spacing"),
    ],
)
def test_a_job_whose_engine_raises_fails_with_one_sentence(client, science, failure, sentence):
    science.hold, science.failure = 1, failure
    science.released.set()
    job = client.create(frames=3)
    end = client.end(job)
    assert end["state"] == "failed"
    assert sentence in end["error"] and "\n" not in end["error"]
    assert client.state(job)["error"] == end["error"]
    assert list(client.frames(job)) == [0]
    science.hold = None
    assert client.end(client.create())["state"] == "done"


def test_the_traceback_of_a_failure_is_in_the_log_only(client, science, caplog):
    science.hold, science.failure = 0, ValueError("bad shape")
    science.released.set()
    job = client.create()
    assert "Traceback" not in client.end(job)["error"] + client("GET", "/jobs").text
    assert "Traceback" in caplog.text and job in caplog.text


def test_a_full_disk_fails_the_job_with_a_sentence_and_the_next_one_works(
    client, science, monkeypatch
):
    science.hold = 1
    job = client.create(frames=3)
    wait_until(lambda: client.state(job)["frames_done"] == 1, "the first frame is made")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full_disk)
        science.released.set()
        end = client.end(job)
    assert end["state"] == "failed"
    assert "No space left on device" in end["error"] and "free some space" in end["error"]
    assert client.end(client.create())["state"] == "done"


def test_a_full_disk_refuses_a_new_job_with_a_sentence(client, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", full_disk)
        reply = client("POST", "/jobs", data=body_of())
    assert reply.status_code == 500
    assert "free some space" in reply.json()["detail"]
    assert client.end(client.create())["state"] == "done"


def test_an_engine_that_cannot_be_prepared_still_lets_jobs_say_why(science, tmp_path):
    def fail() -> None:
        raise ImportError("no torch")

    queue = JobQueue(science, tmp_path, prepare=fail)
    try:
        job = queue.submit(read_request(body_of()))
        wait_until(lambda: job.finished, "the job ends")
        assert job.state == "done"
    finally:
        queue.close()


# --- who may, and what is refused ------------------------------------------------------------

ROUTES = [
    ("GET", "/health"), ("GET", "/models"), ("POST", "/jobs"), ("GET", "/jobs"),
    ("GET", "/jobs/ID"), ("GET", "/jobs/ID/stream"), ("POST", "/jobs/ID/cancel"),
    ("DELETE", "/jobs/ID"), ("GET", "/openapi.json"), ("GET", "/no/such/route"),
]  # fmt: skip
WRONG = [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN,
         f"Basic {TOKEN}", "Bearer \xe9\xff"]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_answers_without_the_token(client, method, path):
    path = path.replace("ID", client.create())
    for header in WRONG:
        headers = {} if header is None else {"Authorization": header.encode("latin-1")}
        reply = requests.request(method, client.url + path, headers=headers, timeout=DEADLINE_S)
        assert reply.status_code == 401, header
        assert "token" in reply.json()["detail"] and TOKEN not in reply.text
    assert len(client("GET", "/jobs").json()) == 1


def test_health_and_models_answer_as_the_protocol_says(client):
    from moedsr_core import __version__

    assert client("GET", "/health").json() == {
        "name": "moedsr", "version": __version__, "protocol": 1, "device": "cpu",
        "pid": os.getpid(),
    }  # fmt: skip
    assert client("GET", "/models").json() == [{"name": "fake", "default": True}]
    assert "/v1/jobs/{job_id}/stream" in client("GET", "/openapi.json").json()["paths"]


def test_bad_bodies_are_answered_422_and_the_server_stays_well(client):
    refused = {"by the engine": lambda: body_of(options=options_of(mesh="cubes"))}
    for case, make in (BAD_BODIES | refused).items():
        reply = client("POST", "/jobs", data=make())
        assert reply.status_code == 422, case
        assert list(reply.json()) == ["detail"] and "\n" not in reply.json()["detail"]
    assert client("GET", "/jobs").json() == []
    assert client.end(client.create())["state"] == "done"


@pytest.mark.parametrize("announced", [MAX_BODY_BYTES + 1, 10**18])
def test_a_body_announced_too_large_is_refused_before_it_is_sent(client, announced):
    connection = http.client.HTTPConnection("127.0.0.1", port_of(client), timeout=DEADLINE_S)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/v1/jobs")
        connection.putheader("Authorization", f"Bearer {TOKEN}")
        connection.putheader("Content-Length", str(announced))
        connection.endheaders()
        reply = connection.getresponse()
        assert reply.status == 413
        assert "at most 64 MB" in json.loads(reply.read())["detail"]
    assert client("GET", "/health").status_code == 200


def test_a_body_that_grows_too_large_without_saying_so_is_refused(client, monkeypatch):
    monkeypatch.setattr("moedsr_core.backend.app.MAX_BODY_BYTES", 2**20)
    reply = client("POST", "/jobs", data=iter([b"x" * 2**18] * 5))
    assert reply.status_code == 413
    assert client.end(client.create())["state"] == "done"


def test_a_client_that_leaves_in_mid_body_does_no_harm(client, caplog):
    with socket.create_connection(("127.0.0.1", port_of(client))) as half:
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        half.sendall((head + "Content-Length: 1000\r\n\r\nabc").encode())
        time.sleep(0.1)
    assert client.end(client.create())["state"] == "done"
    assert "Traceback" not in caplog.text


def test_a_reader_that_leaves_in_mid_stream_does_not_stop_the_job(client, science):
    science.hold = 2
    job = client.create(frames=4)
    with client.stream(job) as records:
        next(records)
    science.released.set()
    assert list(client.frames(job)) == [0, 1, 2, 3]


def test_a_reader_that_left_is_forgotten(client, science, jobs):
    science.hold = 1
    job = client.create(frames=2)
    with client.stream(job) as records:
        next(records)
        assert len(jobs.get(job)._listeners) == 1
    wait_until(lambda: not jobs.get(job)._listeners, "the stream is closed")
    assert client.state(job)["state"] == "running"


@pytest.mark.parametrize("start", ["6", "-1", "x", "1e3", "99999999999999999999"])
def test_a_stream_cannot_start_where_no_frame_will_be(client, start):
    job = client.create(frames=5)
    client.end(job)
    reply = client("GET", f"/jobs/{job}/stream?from={start}")
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith("from ")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/jobs/no"), ("GET", "/jobs/no/stream"), ("POST", "/jobs/no/cancel"),
     ("DELETE", "/jobs/no"), ("GET", "/jobs/..%2f..%2fetc")],
)  # fmt: skip
def test_an_unknown_job_is_404(client, method, path):
    reply = client(method, path)
    assert reply.status_code == 404 and isinstance(reply.json()["detail"], str)


def test_an_unforeseen_error_is_answered_without_its_text(client, science, monkeypatch):
    monkeypatch.setattr(FakeScience, "models", lambda self: 1 / 0)
    reply = client("GET", "/models")
    assert reply.status_code == 500
    assert "ZeroDivisionError" in reply.json()["detail"] and "division by" not in reply.text
    assert client("GET", "/health").status_code == 200


# --- the process -----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_only_loopback_is_served(host):
    with pytest.raises(InputError, match="loopback only"):
        server.listen(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_loopback_is_served_by_any_of_its_names(host):
    assert server.loopback_address(host).startswith("127.")


def test_a_token_must_be_long_enough():
    with pytest.raises(InputError, match="at least 16 plain characters"):
        server.read_token(b"short\n", "standard input")
    assert server.read_token(b"0123456789abcdef\r\n", "standard input") == "0123456789abcdef"


def start_child(tmp_path: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*MODULE, "--parent-pipe", "--port", "0", "--jobs-dir", str(tmp_path), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_child_answers_its_handshake_leaves_ctrl_c_to_its_parent_and_ends_with_its_input(
    tmp_path,
):
    child = start_child(tmp_path)
    with child:
        child.stdin.write(f"{TOKEN}\n".encode())
        child.stdin.flush()
        answer = json.loads(child.stdout.readline())
        assert answer == {"port": answer["port"], "pid": child.pid, "protocol": 1}
        health = Client(answer["port"])("GET", "/health")
        assert health.status_code == 200 and health.json()["pid"] == child.pid
        assert len(list(tmp_path.iterdir())) == 1
        if os.name == "posix":
            child.send_signal(signal.SIGINT)
            time.sleep(0.3)
        assert answers(Client(answer["port"]))
        began = time.monotonic()
        child.stdin.close()
        assert child.wait(DEADLINE_S) == 0
        assert time.monotonic() - began < server._GRACE_S + 1
        assert child.stdout.read() == b""
        log = child.stderr.read().decode()
    assert TOKEN not in log and "Traceback" not in log
    assert list(tmp_path.iterdir()) == []


def test_a_server_dies_with_a_parent_that_is_killed(tmp_path):
    parent_code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen({[*MODULE, '--parent-pipe', '--port', '0']!r},"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)\n"
        f"child.stdin.write({f'{TOKEN}{os.linesep}'.encode()!r}); child.stdin.flush()\n"
        "sys.stdout.buffer.write(child.stdout.readline()); sys.stdout.flush()\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE)
    with parent:
        client = Client(json.loads(parent.stdout.readline())["port"])
        assert client("GET", "/jobs").status_code == 200
        parent.kill()
        wait_until(lambda: not answers(client), "the server is gone")


def answers(client: Client) -> bool:
    try:
        return client("GET", "/jobs").status_code == 200
    except requests.ConnectionError:
        return False


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_a_server_of_its_own_ends_in_order_with_ctrl_c(tmp_path):
    token_file, folder = tmp_path / "token", tmp_path / "jobs"
    token_file.write_text(f"{TOKEN}\n")
    command = [*MODULE, "--port", "0", "--token-file", str(token_file), "--jobs-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        client = Client(json.loads(process.stdout.readline())["port"])
        assert client("GET", "/jobs").json() == []
        process.send_signal(signal.SIGINT)
        log = process.communicate(timeout=DEADLINE_S)[1]
    assert (process.returncode, log) == (0, b"")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("given", [b"", b"\n", b"short\n"])
def test_a_child_without_a_token_says_so_and_ends(tmp_path, given):
    child = start_child(tmp_path)
    output, log = child.communicate(given, timeout=DEADLINE_S)
    assert (child.returncode, output) == (InputError.exit_code, b"")
    assert b"standard input must begin with a line that holds the token" in log
    assert b"Traceback" not in log


def test_a_taken_port_is_one_sentence_and_exit_code_3(tmp_path, caplog):
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    with server.listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        run = subprocess.run(
            [*MODULE, "--port", port, "--token-file", str(token_file)],
            capture_output=True, timeout=DEADLINE_S,
        )  # fmt: skip
    assert (run.returncode, run.stdout) == (BackendError.exit_code, b"")
    sentence = run.stderr.decode().strip()
    assert len(sentence.splitlines()) == 1
    assert f"could not listen on 127.0.0.1 port {port}" in sentence and TOKEN not in sentence


def test_a_host_in_the_network_is_refused_by_the_command(tmp_path):
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    run = subprocess.run(
        [*MODULE, "--host", "0.0.0.0", "--port", "0", "--token-file", str(token_file)],
        capture_output=True, timeout=DEADLINE_S,
    )  # fmt: skip
    assert run.returncode == InputError.exit_code
    assert b"loopback only" in run.stderr and b"Traceback" not in run.stderr
