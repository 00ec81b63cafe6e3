"""A backend with an engine of numbers, a client of its protocol, and the real child process."""

from __future__ import annotations

import contextlib
import itertools
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
from test_wire import body_of, options_of

from moedsr_core.backend import server
from moedsr_core.backend.app import create_app
from moedsr_core.backend.data_folder import DataFolder
from moedsr_core.backend.parent_access import ParentAccess
from moedsr_core.backend.parts import Backend
from moedsr_core.backend.service import JobService
from moedsr_core.backend.wire.frames import encode
from moedsr_core.backend.wire.records import as_json, pack_attributes
from moedsr_core.backend.wire.request import read_request
from moedsr_core.backend.worker import failure
from moedsr_core.backend.workers import WorkerDied
from moedsr_core.errors import CancelledError, InputError
from moedsr_core.predict_options import PredictOptions

TOKEN = "a-token-for-these-tests"
SEEDS = itertools.count(1)
MODULE = [sys.executable, "-m", "moedsr_core.backend.server"]
DEADLINE_S = 60.0
"""What a test waits for at most: minutes of a busy machine's work take seconds alone [s]."""


class FakeScience:
    """A core whose frames are numbers, and which waits at frame ``hold`` until released."""

    def __init__(self) -> None:
        self.hold: int | None = None
        self.released = threading.Event()
        self.failure: Exception | None = None
        self.stopped = threading.Event()
        self.deaf = False
        self.made: list[int] = []
        self.runs: list[tuple[str, int]] = []

    def describe(self) -> dict:
        model = {"name": "fake", "default": True, "card": "/v1/models/fake/card"}
        return {
            "device": "cpu", "devices": ["cpu"], "models": [model],
            "digests": {"fake": "0"}, "cards": {"fake": "# fake"},
        }  # fmt: skip

    def check(self, options) -> dict:
        science = {name: value for name, value in options.items() if name != "kind"}
        if science.get("model") == "nobody":
            raise InputError("unknown model 'nobody'; choose fake")
        full = PredictOptions(**science)
        return {"options": vars(full) | {}, "device": "cpu", "digest": "0"}

    def run(self, request, skip_frames, on_progress, should_stop):
        job = read_request(request)
        n = 1 if job.options.kind == "surface" else job.options.frames
        seed = job.options.seed or 0
        self.runs.append((job.options.kind, skip_frames))
        on_progress("surface", n)
        on_progress("frames", n)
        state = None
        for k in range(n):
            self._wait(k, should_stop)
            if should_stop() and not self.deaf:
                self.stopped.set()
                raise CancelledError("stopped")
            self.made.append(k)
            data, state = encode(fake_frame(k, seed), state)
            if k >= skip_frames:
                yield "frame", data
            if k == 0:
                yield "attributes", pack_attributes({"atom": np.arange(4)})
        motion = {"fluctuation": np.arange(4.0), "mean_displacement": np.arange(4.0)}
        yield "attributes", pack_attributes(motion)
        yield "summary", as_json({"frames": n, "vertices": np.int64(4)})

    def _wait(self, k: int, should_stop) -> None:
        while k == self.hold and not self.released.is_set() and not should_stop():
            time.sleep(0.005)
        if k == self.hold and self.failure is not None:
            raise self.failure


class ThreadWorker:
    """A worker in the thread that asks it, around a core; ``die_at`` ends it at that frame."""

    def __init__(self, core: FakeScience) -> None:
        self.core, self.die_at = core, None
        self._stop, self._alive = threading.Event(), True

    def describe(self) -> dict:
        return self.core.describe()

    def check(self, options) -> dict:
        return self.core.check(options)

    def run(self, request, skip_frames):
        self._stop.clear()
        return self._messages(request, skip_frames)

    def _messages(self, request, frame):
        told: list[dict] = []

        def tell(stage, frames):
            told.append({"type": "progress", "stage": stage, "frames": frames, "bytes": 0})

        try:
            for kind, data in self.core.run(request, frame, tell, self._stop.is_set):
                yield from ((head, b"") for head in told)
                told.clear()
                if kind == "frame":
                    if frame == self.die_at:
                        self._alive = False
                        raise WorkerDied("it was killed")
                    yield {"type": kind, "index": frame, "bytes": len(data)}, data
                    frame += 1
                elif kind == "attributes":
                    yield {"type": kind, "bytes": len(data)}, data
                else:
                    yield {"type": kind, "summary": data, "bytes": 0}, b""
        except WorkerDied:
            raise
        except Exception as error:
            yield failure(error), b""
        else:
            yield {"type": "done"}, b""

    def stop(self) -> None:
        self._stop.set()

    def is_alive(self) -> bool:
        return self._alive

    def close(self) -> None:
        self._stop.set()
        self._alive = False


FACES = np.array([[0, 1, 2]])


def fake_frame(k: int, seed: int = 0) -> dict[str, np.ndarray]:
    return {
        "vertices": np.full((4, 3), k + 1000 * seed),
        "normals": np.full((4, 3), 3**-0.5),
        "displacement": np.full(4, k / 10),
        "faces": FACES,
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
        """Queue a job unlike all others, unless a seed is given."""
        chosen = {"frames": frames, "seed": next(SEEDS), **options}
        reply = self("POST", "/jobs", data=body_of(options=options_of(**chosen)))
        assert reply.status_code == 201, reply.text
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


def wait_until(condition, what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.01)


def port_of(client: Client) -> int:
    return int(client.url.split(":")[2].split("/")[0])


def start_child(tmp_path: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*MODULE, "--parent-pipe", "--port", "0", "--data", str(tmp_path), *arguments],
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


def open_backend(path: Path, science: FakeScience, **more) -> Backend:
    """A backend on a folder, which computes with a fake core in its own threads."""
    folder = DataFolder(path)
    service = JobService(folder, model_folders=True, **more)
    return Backend.local(folder, service, ["cpu"], make=lambda device: ThreadWorker(science))


@pytest.fixture
def backend(science, tmp_path) -> Iterator[Backend]:
    backend = open_backend(tmp_path / "data", science)
    backend.start()
    yield backend
    science.released.set()
    backend.close()


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> Iterator[tuple[FastAPI, int]]:
    """A server in a thread, and its port; each test gives it a backend of its own."""
    idle = open_backend(tmp_path_factory.mktemp("idle"), FakeScience())
    app = create_app(idle.service, ParentAccess(TOKEN))
    listener = server.listen("127.0.0.1", 0)
    config = uvicorn.Config(app, loop="asyncio", http="h11", ws="none", log_config=None)
    runner = app.state.runner = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: runner.run(sockets=[listener]))
    thread.start()
    yield app, listener.getsockname()[1]
    runner.should_exit = True
    thread.join()
    idle.close()


@pytest.fixture
def client(web, science, backend) -> Iterator[Client]:
    """Client of a server whose workers are fake ones."""
    app, port = web
    app.state.service = backend.service
    wait_until(lambda: backend.service.workers.describe() is not None, "the worker is up")
    client = Client(port)
    yield client
    science.released.set()
    client.session.close()
