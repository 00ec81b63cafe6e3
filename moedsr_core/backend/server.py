"""The process that computes: ``python -m moedsr_core.backend.server``.

Either a child of the program that uses it (``--parent-pipe``), which dies with that program, or
a server of its own on this computer's loopback address.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

import uvicorn

from moedsr_core.backend.app import create_app
from moedsr_core.backend.jobs import JobQueue
from moedsr_core.backend.wire import PROTOCOL
from moedsr_core.errors import BackendError, InputError, MoedsrError

log = logging.getLogger(__name__)

DEFAULT_PORT = 8642
MIN_TOKEN_LENGTH = 16
_MAX_TOKEN_LENGTH = 4096
_BACKLOG = 128
_GRACE_S = 2.0
"""How long a clean end may take before the process is ended anyway [s]."""


class _Server(uvicorn.Server):
    """Says when it listens, and ends with the program whose child it is."""

    def __init__(
        self,
        config: uvicorn.Config,
        jobs: JobQueue,
        channel: TextIO,
        orphaned: threading.Event | None,
    ) -> None:
        super().__init__(config)
        self._jobs, self._channel, self._orphaned = jobs, channel, orphaned

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        answer = {"port": port, "pid": os.getpid(), "protocol": PROTOCOL}
        self._channel.write(json.dumps(answer) + "\n")
        self._channel.flush()

    async def on_tick(self, counter: int) -> bool:
        lost = self._orphaned is not None and self._orphaned.is_set()
        return await super().on_tick(counter) or lost

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in order; uvicorn would raise the signal again before the jobs are cleared away."""
        if sig != signal.SIGINT or self._orphaned is None:  # a child leaves Ctrl-C to its parent
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._jobs.cancel_all()  # which ends their streams
        await super().shutdown(sockets)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is told to end; returns the exit code."""
    options = _parse(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        _serve(options)
    except MoedsrError as error:
        log.error("%s", error)
        return error.exit_code
    return 0


def loopback_address(host: str) -> str:
    """Address to bind for a host name, which must be this computer's loopback.

    Raises:
        InputError: If it is any other.
    """
    address = "127.0.0.1" if host == "localhost" else host
    try:
        if ipaddress.ip_address(address).is_loopback:
            return address
    except ValueError:
        pass
    raise InputError(
        f"this server has no encryption yet and listens on loopback only, got host {host!r}; "
        "use 127.0.0.1 and reach it from elsewhere through an ssh tunnel"
    )


def listen(host: str, port: int) -> socket.socket:
    """Open the socket that is served; port 0 takes any free one.

    Raises:
        InputError: If the host is not loopback.
        BackendError: If the port is taken.
    """
    address = loopback_address(host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # asyncio turns off Nagle's delay, 40 ms per record, only where the protocol is named
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere this would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise BackendError(
            f"could not listen on {address} port {port} ({error.strerror or error}); it is "
            "probably taken, choose another --port, or 0 for any free one"
        ) from error
    return listener


def read_token(line: bytes, origin: str) -> str:
    """Token in a line of text.

    Raises:
        InputError: If there is none, or it is too short to be safe.
    """
    token = line.strip().decode("ascii", errors="replace")
    if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable():
        raise InputError(
            f"{origin} must begin with a line that holds the token, at least "
            f"{MIN_TOKEN_LENGTH} plain characters; write a fresh random one there"
        )
    return token


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="moedsr_core.backend.server", description=__doc__)
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument(
        "--parent-pipe", action="store_true",
        help="read the token from standard input and end when that closes",
    )  # fmt: skip
    start.add_argument("--token-file", type=Path, help="file whose first line is the token")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="0 takes a free one")
    parser.add_argument("--jobs-dir", type=Path, help="where jobs keep frames while it runs")
    parser.add_argument("--device", default="auto", help="auto, cpu, mps, cuda or cuda:N")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, got {text!r}")
    return int(text)


def _serve(options: argparse.Namespace) -> None:
    orphaned = None
    if options.parent_pipe:
        pipe = _private_stdin()
        token = read_token(_first_line(pipe), "standard input")
        orphaned = _watch_parent(pipe)
    else:
        token = read_token(_file_line(options.token_file), str(options.token_file))
    channel = _private_stdout()
    with listen(options.host, options.port) as listener:
        from moedsr_core.backend.engine import CoreEngine  # takes seconds; the checks above do not

        engine = CoreEngine(options.device)
        jobs = JobQueue(engine, options.jobs_dir, prepare=engine.warm_up)
        try:
            config = uvicorn.Config(
                create_app(jobs, engine, token), loop="asyncio", http="h11", ws="none",
                log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=1,
            )  # fmt: skip
            _Server(config, jobs, channel, orphaned).run(sockets=[listener])
        finally:
            jobs.close()


def _watch_parent(pipe: int) -> threading.Event:
    """End this process when the pipe from the parent closes, which happens however that ends.

    Returns:
        What is set then; a short while later the process is ended whatever it does.
    """
    orphaned = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        with suppress(OSError):  # a broken pipe is closed as well
            while os.read(pipe, _MAX_TOKEN_LENGTH):
                pass
        orphaned.set()
        time.sleep(_GRACE_S)
        os._exit(0)

    threading.Thread(target=watch, name="moedsr-parent", daemon=True).start()
    return orphaned


def _private_stdin() -> int:
    """Move standard input to a descriptor of our own and leave an empty one in its place.

    On Windows a library that looks at its standard input while a thread reads that pipe would
    wait for the pipe's end.
    """
    try:
        pipe = os.dup(0)
    except OSError as error:
        raise InputError(
            "--parent-pipe needs a pipe as standard input, got none; start it from the program "
            "that uses it, or give --token-file"
        ) from error
    _point_at_null(0, os.O_RDONLY)
    return pipe


def _private_stdout() -> TextIO:
    """Keep standard output for the one line of the protocol; what else is printed is log."""
    channel = os.fdopen(os.dup(1), "w", encoding="ascii")
    try:
        os.dup2(2, 1)
    except OSError:
        _point_at_null(1, os.O_WRONLY)
    return channel


def _point_at_null(descriptor: int, mode: int) -> None:
    null = os.open(os.devnull, mode)
    os.dup2(null, descriptor)
    os.close(null)


def _first_line(descriptor: int) -> bytes:
    """Bytes up to the first line's end, read singly so that nothing behind it is lost."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _MAX_TOKEN_LENGTH:
        byte = os.read(descriptor, 1)
        if not byte:
            break
        line += byte
    return line


def _file_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.readline(_MAX_TOKEN_LENGTH)
    except OSError as error:
        raise InputError(
            f"could not read the token from {path} ({error.strerror or error}); write one there"
        ) from error


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)  # the computing thread may be inside a library that does not end
