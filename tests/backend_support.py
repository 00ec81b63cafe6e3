"""A backend with an engine of numbers, a client of its protocol, and the real child process."""

from __future__ import annotations

import contextlib
import io
import json
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
from moedsr_core.backend.jobs import Event, JobQueue
from test_wire import body_of, options_of

from moedsr_core.backend import server
from moedsr_core.backend.app import create_app
from moedsr_core.errors import InputError

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


def port_of(client: Client) -> int:
    return int(client.url.split(":")[2].split("/")[0])


def start_child(tmp_path: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*MODULE, "--parent-pipe", "--port", "0", "--jobs-dir", str(tmp_path), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def answers(client: Client) -> bool:
    try:
        return client("GET", "/jobs").status_code == 200
    except requests.ConnectionError:
        return False


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
