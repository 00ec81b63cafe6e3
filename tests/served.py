"""A small application behind the gates, served on a loopback socket by a thread of the test."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import requests
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from moedsr_core.backend.access.binding import listen
from moedsr_core.backend.access.connections import GuardedServer, server_config
from moedsr_core.backend.access.front import Access
from moedsr_core.backend.access.limits import Limits


def small_app(access: Access, **more: Any) -> FastAPI:
    """Routes shaped like the backend's, which answer with what they were given."""
    app = FastAPI(openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None, **more)
    app.state.streams_ended = threading.Event()

    @app.get("/v1/health")
    def health() -> dict[str, str]:
        return {"name": "moedsr"}

    @app.get("/v1/jobs")
    def jobs(request: Request) -> dict[str, str]:
        return {"owner": request.state.owner}

    @app.post("/v1/jobs")
    async def create(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.get("/v1/jobs/{job_id}/stream")
    async def stream(job_id: str) -> StreamingResponse:
        return StreamingResponse(_records(app, job_id), media_type="application/octet-stream")

    @app.get("/v1/metrics")
    def metrics() -> dict[str, str]:
        return {}

    @app.get("/v1/broken")
    def broken() -> None:
        raise ZeroDivisionError("12.345 67.890 GLY")

    access.install(app)
    return app


async def _records(app: FastAPI, job_id: str) -> AsyncIterator[bytes]:
    """One line, then silence; or lines as fast as they are read."""
    try:
        yield b"first\n"
        while job_id == "endless":
            yield b"x" * 65536
            await asyncio.sleep(0)  # lets the loop notice that nobody listens
        await asyncio.sleep(3600)
    finally:
        app.state.streams_ended.set()


@dataclass(frozen=True)
class Served:
    """Where the application listens, and what runs it."""

    address: tuple[str, int]
    app: FastAPI
    server: GuardedServer
    tls: bool

    @property
    def url(self) -> str:
        return f"http{'s' * (self.tls)}://localhost:{self.address[1]}"

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        """A plain socket to it."""
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(30)
        client.connect(self.address)
        return client


@contextmanager
def served(
    access: Access, *, context: ssl.SSLContext | None = None, **limits: Any
) -> Iterator[Served]:
    """Serve the small application until the block ends."""
    if limits:
        access = replace(access, limits=Limits(**limits))
    app = small_app(access)
    with listen("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        server = GuardedServer(server_config(app, access.limits), access.limits, context)
        server.config.timeout_graceful_shutdown = 1
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Served(address, app, server, context is not None)
        finally:
            server.should_exit = True
            thread.join()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def call(
    server: Served, method: str, path: str, headers: Any = None, **more: Any
) -> requests.Response:
    return requests.request(method, server.url + path, headers=headers, timeout=30, **more)


def read_all(client: socket.socket) -> bytes:
    """Everything until the other side closes or resets."""
    got = b""
    try:
        while piece := client.recv(65536):
            got += piece
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    return got


def read_answer(client: socket.socket) -> bytes:
    """One answer whose body is a JSON object."""
    got = b""
    while not got.endswith(b"}"):
        piece = client.recv(65536)
        assert piece, got
        got += piece
    return got


class LinesHeard(logging.Handler):
    """Keeps the lines that a formatter makes of everything that is logged."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []
        self._came = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._came:
            self.lines.append(self.format(record))
            self._came.notify_all()

    def wait_for(self, words: str, count: int) -> list[str]:
        """Lines that hold some words, once there are so many: they come after the answer."""

        def found() -> list[str]:
            return [line for line in self.lines if words in line]

        with self._came:
            assert self._came.wait_for(lambda: len(found()) >= count, 30), self.lines
            return found()
