"""A stand-in for the backend that can also misbehave, and PyMOLs to try the plugin in.

Run as a module it is a child process as the real server is; ``FAKE_BACKEND`` holds its
behaviour as JSON.
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

RINGS, SEGMENTS = 9, 12
AMPLITUDE = 4.0
"""How far the stand-in's ball grows beyond its first radius [Å]."""
RADIUS = 10.0
CARD = "# Model card: fake\n\nA ball that grows.\n"
SEQUENCE = "ACDEFGHIKLMNPQRSTVWY"
TESTS = Path(__file__).resolve().parent


def triangles(faces: np.ndarray) -> set[tuple[int, ...]]:
    """Faces whatever their order and first corner, each with its winding."""
    return {tuple(np.roll(face, -face.argmin()).tolist()) for face in np.asarray(faces)}


def ball(rings: int = RINGS, segments: int = SEGMENTS) -> tuple[np.ndarray, np.ndarray]:
    """Closed unit sphere: vertices (n, 3) and faces (m, 3), counter-clockwise from outside."""
    theta = np.linspace(0, np.pi, rings + 2)[1:-1]
    phi = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    t, p = (a.ravel() for a in np.meshgrid(theta, phi, indexing="ij"))
    vertices = np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)], axis=1)
    vertices = np.vstack([vertices, [[0, 0, 1], [0, 0, -1]]])
    top, bottom = len(vertices) - 2, len(vertices) - 1
    faces = []
    for j in range(segments):
        k = (j + 1) % segments
        faces.append((top, j, k))
        faces.append((bottom, (rings - 1) * segments + k, (rings - 1) * segments + j))
        for i in range(rings - 1):
            a, b, c, d = (r * segments + s for r in (i, i + 1) for s in (j, k))
            faces += [(a, c, d), (a, d, b)]
    return vertices, np.array(faces, np.int32)


def displacement(k: int, frames: int) -> float:
    """How far frame ``k`` of the stand-in has grown [Å]."""
    return AMPLITUDE * k / max(frames - 1, 1)


class FakeBackend:
    """Answers as the protocol says, unless its behaviour says otherwise."""

    def __init__(self, *, port: int = 0, certificate: Any = None, **behaviour: Any) -> None:
        self.behaviour = behaviour
        self.token = behaviour.get("token", "t" * 32)
        self.jobs: dict[str, dict[str, Any]] = behaviour.get("jobs", {})
        self.requests: list[str] = []
        self.headers: list[Any] = []
        self.closing = threading.Event()
        self.sent: list[int] = []
        """Bytes of each stream."""
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if certificate is not None:
            self.url = f"https://127.0.0.1:{self.port}"
            self.server.socket = certificate.context().wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )

    def __enter__(self) -> FakeBackend:
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def health(self) -> dict[str, Any]:
        known = {"name": "moedsr", "version": "0.1.0", "protocol": 2, "device": "cpu"}
        return {**known, "pid": os.getpid(), **self.behaviour.get("health", {})}

    def create(self, body: bytes) -> dict[str, Any]:
        with np.load(io.BytesIO(body), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        options = json.loads(str(arrays.pop("options")))
        job_id = f"job{len(self.jobs)}"
        self.jobs[job_id] = {"arrays": arrays, "options": options, "cancelled": False}
        self.jobs[job_id]["status"] = {
            "id": job_id, "state": "queued", "kind": options.get("kind", "predict"),
            "frames_done": 0, "frames": options.get("frames", 1), "age_s": 1.0, "seconds": 0.0,
            "error": None,
        }  # fmt: skip
        return self.jobs[job_id]["status"]

    def stream(self, job: dict[str, Any], start: int, send: Callable[[bytes], None]) -> None:
        frames = job["options"].get("frames", 1)
        drop_after = self.behaviour.get("drop_after")
        center = job["arrays"]["coords"].mean(axis=0)
        first = ball(segments=self.behaviour.get("segments", SEGMENTS))[0]
        status, state = job["status"], None
        send(record("progress", stage="waiting", frames_done=0, frames=frames, seconds_left=None))
        if self.behaviour.get("say"):
            said = self.behaviour["say"]
            send(said if isinstance(said, bytes) else said.encode())
        for k in range(frames):
            if self._misbehaves(k):
                return
            if job["cancelled"]:
                status["state"] = "cancelled"
                send(record("end", state="cancelled", error=None, summary={}))
                return
            sent, state = frame_record(k, frames, center, self.behaviour, state)
            if k >= start:
                status |= {"state": "running", "frames_done": max(status["frames_done"], k + 1)}
                send(sent)
            if k == 0:
                send(record("attributes", first_attributes(job["arrays"]["coords"], first)))
            if drop_after is not None and k >= start and k - start == drop_after:
                return
            time.sleep(self.behaviour.get("pause", 0.0))
        if self.behaviour.get("fails"):
            status |= {"state": "failed", "error": self.behaviour["fails"]}
            end = {"state": "failed", "error": self.behaviour["fails"], "summary": {}}
            send(record("end", **end))
            return
        send(record("attributes", last_attributes(first)))
        status["state"] = "done"
        send(record("end", state="done", error=None, summary={"model": "fake"}))

    def _misbehaves(self, k: int) -> bool:
        if self.behaviour.get("die_at") == k:
            sys.stderr.write("out of memory\n")
            sys.stderr.flush()
            os._exit(9)
        if self.behaviour.get("silent_at") == k:
            if self.behaviour.get("silent_once"):
                del self.behaviour["silent_at"]
            self.closing.wait(60)
            return True
        return False

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            left: int | None = None
            """Bytes of the stream until the connection is cut."""

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                self._answer("GET")

            def do_POST(self) -> None:
                self._answer("POST")

            def do_DELETE(self) -> None:
                self._answer("DELETE")

            def _answer(self, method: str) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                backend.requests.append(f"{method} {self.path}")
                backend.headers.append(self.headers)
                try:
                    self._route(method, self.path.split("?"), body)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def _route(self, method: str, parts: list[str], body: bytes) -> None:
                path = parts[0].removeprefix("/v1")
                script = backend.behaviour.get("answers", {}).get(f"{method} {path}", [])
                if script:
                    return self._scripted(*script.pop(0))
                if self.headers.get("Authorization") != f"Bearer {backend.token}":
                    return self._json(401, {"detail": "this needs the backend's token"})
                if path == "/health":
                    return self._json(200, backend.health())
                if path == "/models":
                    model = {"name": "fake", "summary": "a growing ball", "default": True}
                    more = {"experts": 2, "size_mb": 0, "span_ps": 0, "card": "MODEL_CARD.md"}
                    return self._json(200, [{**model, **more}])
                if path == "/models/fake/card":
                    return self._bytes(200, {"Content-Type": "text/markdown"}, CARD.encode())
                if path == "/jobs" and method == "GET":
                    rows = [job["status"] for job in backend.jobs.values()]
                    return self._json(200, rows[::-1])
                if path == "/jobs" and method == "POST":
                    if "refuse" in backend.behaviour:
                        return self._json(422, {"detail": backend.behaviour["refuse"]})
                    return self._json(201, backend.create(body))
                job = backend.jobs.get(path.split("/")[2])
                if job is None:
                    return self._json(404, {"detail": "there is no such job"})
                if path.endswith("/stream"):
                    return self._stream(job, int(parts[1].split("=")[1]) if parts[1:] else 0)
                if path.endswith("/result"):
                    return self._bytes(200, {}, backend.behaviour["result"])
                if method == "GET":
                    return self._json(200, job["status"])
                if method == "DELETE":
                    del backend.jobs[path.split("/")[2]]
                    return self._bytes(204, {}, b"")
                status = job["status"]
                if status.get("state") not in ("done", "failed"):
                    job["cancelled"], status["state"] = True, "cancelled"
                return self._json(200, {"state": status["state"]})

            def _scripted(self, status: int, headers: dict[str, str], body: Any) -> None:
                """Answer as told: text as it stands, anything else as JSON; 0 just hangs up."""
                if status == 0:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    raise ConnectionResetError
                data = body if isinstance(body, str) else json.dumps(body)
                self._bytes(status, headers, data.encode())

            def _json(self, status: int, value: Any) -> None:
                self._bytes(
                    status, {"Content-Type": "application/json"}, json.dumps(value).encode()
                )

            def _bytes(self, status: int, headers: dict[str, str], data: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _stream(self, job: dict[str, Any], start: int) -> None:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                cuts = backend.behaviour.get("cuts", [])
                self.left = cuts.pop(0) if cuts else None
                backend.sent.append(0)
                backend.stream(job, start, self._chunk)
                self.wfile.write(b"0\r\n\r\n")

            def _chunk(self, data: bytes) -> None:
                half = len(data) // 2  # records do not respect the borders of chunks
                for part in (data[:half], data[half:]):
                    cut = self.left is not None and len(part) > self.left
                    part = part[: self.left] if cut else part
                    if part:
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                        backend.sent[-1] += len(part)
                    if cut:
                        self.connection.shutdown(socket.SHUT_RDWR)
                        raise ConnectionResetError
                    if self.left is not None:
                        self.left -= len(part)

        return Handler


def record(
    kind: str, arrays: dict[str, np.ndarray] | None = None, data: bytes = b"", **fields: Any
) -> bytes:
    """One record of the stream, of arrays or of bytes that are packed already."""
    if arrays is not None:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        data = buffer.getvalue()
    return json.dumps({"type": kind, **fields, "bytes": len(data)}).encode() + b"\n" + data


def frame_record(
    k: int, frames: int, center: np.ndarray, behaviour: dict[str, Any], state: Any = None
) -> tuple[bytes, Any]:
    """A ball about the atoms' centre that has grown by ``displacement(k)``; every mesh anew with
    ``remesh``, none at all at the frame ``bare_at``."""
    rings = RINGS + (k if behaviour.get("remesh") else 0)
    unit, faces = ball(rings, behaviour.get("segments", SEGMENTS))
    grown = displacement(k, frames)
    arrays = {
        "vertices": (center + (RADIUS + grown) * unit).astype(np.float32),
        "normals": unit.astype(np.float32),
        "displacement": np.full(len(unit), grown, np.float32),
        "faces": faces[:0] if behaviour.get("bare_at") == k else faces,
    }
    from moedsr_core.backend.wire.frames import encode

    data, state = encode(arrays, state)
    return record("frame", data=data, index=k), state


def first_attributes(coords: np.ndarray, unit: np.ndarray) -> dict[str, np.ndarray]:
    """Nearest atoms, and two experts that share the ball at its equator."""
    points = coords.mean(axis=0) + RADIUS * unit
    atom = np.concatenate([
        ((part[:, None] - coords[None]) ** 2).sum(axis=2).argmin(axis=1)
        for part in np.array_split(points, 1 + len(points) // 500)
    ])  # fmt: skip
    share = (unit[:, 2] > 0).astype(np.float32)
    return {"atom": atom.astype(np.int32), "expert": np.stack([share, 1 - share], axis=1)}


def last_attributes(unit: np.ndarray) -> dict[str, np.ndarray]:
    """A ball that moves most at its north pole."""
    height = unit[:, 2].astype(np.float32)
    return {"fluctuation": 1 + height, "mean_displacement": height}


class BackendDouble:
    """Stands where the plugin keeps its local backend; its server is in this process."""

    def __init__(self, fake: FakeBackend) -> None:
        self.fake, self.running, self.stopped, self.stops = fake, True, False, 0
        self.name = "local"

    def client(self, patience: Any = None) -> Any:
        from moedsr_pymol.remote import Address, BackendClient

        return BackendClient(Address(self.fake.url, self.fake.token), patience)

    def last_words(self) -> str:
        return ""

    def stop(self) -> None:
        self.stopped = True
        self.stops += 1


def main() -> None:
    """Be the child process of a plugin, until standard input closes."""
    behaviour = json.loads(os.environ.get("FAKE_BACKEND", "{}"))
    token = sys.stdin.readline().strip()
    if behaviour.get("refuses_to_start"):
        sys.stderr.write(behaviour["refuses_to_start"] + "\n")
        sys.exit(1)
    if behaviour.get("mute"):
        sys.stdin.read()
        return
    with FakeBackend(**behaviour, token=token) as backend:
        port = backend.server.server_address[1]
        sys.stdout.write(json.dumps({"port": port, "pid": os.getpid(), "protocol": 2}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


@contextmanager
def open_pymol(sequence: str = SEQUENCE) -> Iterator[Any]:
    """A PyMOL of its own with the plugin's commands and one peptide ``prot``, chain A."""
    import pymol2

    import moedsr_pymol

    with pymol2.PyMOL() as instance:
        moedsr_pymol.register(instance.cmd)
        if sequence:
            instance.cmd.fab(sequence, "prot", chain="A")
        yield instance.cmd


def call(cmd: Any, command: str, /, *args: Any, **more: Any) -> Any:
    """Call a command as PyMOL's parser does."""
    return cmd.keyword[command][0](*args, **more, _self=cmd)


@contextmanager
def backend_double(monkeypatch: Any, **behaviour: Any) -> Iterator[FakeBackend]:
    """Put a stand-in of the given behaviour in the place of the local backend."""
    from moedsr_pymol import backends

    with FakeBackend(**behaviour) as fake:
        monkeypatch.setitem(backends.BACKENDS, "local", BackendDouble(fake))
        yield fake


def child_environment(**behaviour: Any) -> dict[str, str]:
    """Environment in which ``-m pymol_support`` is a backend of the given behaviour."""
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, "FAKE_BACKEND": json.dumps(behaviour)}


def wait_until(condition: Any, seconds: float = 30.0) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return done.stdout.strip() not in ("", "Z")


if __name__ == "__main__":
    main()
