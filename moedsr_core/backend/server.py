"""The process that serves: ``python -m moedsr_core.backend.server``.

Either a child of the program that uses it (``--parent-pipe``), which dies with that program, or
a server of its own on this computer's loopback address. It computes in worker processes, imports
no torch itself, and answers at once.
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
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

import platformdirs
import uvicorn

from moedsr_core.backend.app import create_app
from moedsr_core.backend.data_folder import DataFolder
from moedsr_core.backend.local_workers import LocalWorker
from moedsr_core.backend.messages import private_stdin, private_stdout, text_channel
from moedsr_core.backend.parent_access import ParentAccess, read_token
from moedsr_core.backend.parts import Backend
from moedsr_core.backend.service import JobService
from moedsr_core.backend.wire.records import PROTOCOL
from moedsr_core.backend.workers import Worker
from moedsr_core.errors import BackendError, InputError, MoedsrError

log = logging.getLogger(__name__)

DEFAULT_PORT = 8642
DATA_VARIABLE = "MOEDSR_JOBS_DIR"
"""Environment variable that names the folder of the local backends' data folders."""
_MAX_TOKEN_LENGTH = 4096
_BACKLOG = 128
_GRACE_S = 2.0
"""How long a clean end may take before the process is ended anyway [s]."""


class _Server(uvicorn.Server):
    """Says when it listens, and ends with the program whose child it is."""

    def __init__(
        self,
        config: uvicorn.Config,
        backend: Backend,
        channel: TextIO,
        orphaned: threading.Event | None,
    ) -> None:
        super().__init__(config)
        self._backend, self._channel, self._orphaned = backend, channel, orphaned

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        answer = {"port": port, "pid": os.getpid(), "protocol": PROTOCOL}
        self._channel.write(json.dumps(answer) + "\n")
        self._channel.flush()

    async def on_tick(self, counter: int) -> bool:
        lost = self._orphaned is not None and self._orphaned.is_set()
        useless = self._backend.executor.refused is not None
        return await super().on_tick(counter) or lost or useless

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in order; uvicorn would raise the signal again before the jobs are put back."""
        if sig != signal.SIGINT or self._orphaned is None:  # a child leaves Ctrl-C to its parent
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._backend.service.stop_taking()  # which ends the streams
        await super().shutdown(sockets)


def main(
    arguments: Sequence[str] | None = None, make: Callable[[str], Worker] = LocalWorker
) -> int:
    """Run the server until it is told to end.

    Args:
        arguments: The command line's, by default.
        make: Makes a worker for a device.

    Returns:
        The exit code.
    """
    options = _parse(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        _serve(options, make)
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
    parser.add_argument("--data", type=Path, help="folder of jobs and results; one of the user's")
    parser.add_argument("--device", default="auto", help="auto, cpu, mps, cuda or cuda:N")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, got {text!r}")
    return int(text)


def _serve(options: argparse.Namespace, make: Callable[[str], Worker]) -> None:
    orphaned = None
    if options.parent_pipe:
        pipe = private_stdin()
        token = read_token(_first_line(pipe), "standard input")
        orphaned = _watch_parent(pipe)
    else:
        token = read_token(_file_line(options.token_file), str(options.token_file))
    channel = text_channel(private_stdout())
    with listen(options.host, options.port) as listener:
        folder = _data_folder(options.data)
        service = JobService(folder, model_folders=True)
        backend = Backend.local(folder, service, [options.device], make=make)
        backend.start()
        try:
            config = uvicorn.Config(
                create_app(service, ParentAccess(token)), loop="asyncio", http="h11", ws="none",
                log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=1,
            )  # fmt: skip
            _Server(config, backend, channel, orphaned).run(sockets=[listener])
        finally:
            backend.close()
        if backend.executor.refused:
            raise InputError(backend.executor.refused)


def _data_folder(named: Path | None) -> DataFolder:
    """The folder that was named, or the first of the user's own that no server uses."""
    if named is not None:
        return DataFolder(named)
    default = Path(platformdirs.user_data_dir("moedsr", appauthor=False)) / "jobs"
    return DataFolder.first_free(Path(os.environ.get(DATA_VARIABLE) or default))


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
    os._exit(code)  # a thread may be inside a library that does not end
