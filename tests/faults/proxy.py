"""A connection on loopback that is cut at a byte of one's choice."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class CuttingProxy:
    """Passes bytes between clients and a server; each cut ends one connection.

    Args:
        port: Port of the server.
    """

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cuts: list[tuple[int, bool]] = []
        """For each connection to come: after how many bytes of the server's it is cut, and whether
        with a reset. The connections after these are left alone."""
        self.upload_cuts: list[int] = []
        """The same for the client's bytes."""
        self.done = 0
        """Connections that were cut."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            down, reset = self.cuts.pop(0) if self.cuts else (None, False)
            up = self.upload_cuts.pop(0) if self.upload_cuts else None
            for source, sink, most in ((client, server, up), (server, client, down)):
                pair = (source, sink, most, reset)
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(
        self, source: socket.socket, sink: socket.socket, most: int | None, reset: bool
    ) -> None:
        left = most
        with suppress(OSError):
            while left != 0 and (piece := source.recv(65536 if left is None else left)):
                sink.sendall(piece)
                left = None if left is None else left - len(piece)
        self.done += left == 0
        for end in (source, sink):
            if reset and left == 0:
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for end in (source, sink):
            end.close()


@contextmanager
def cutting_proxy(port: int) -> Iterator[CuttingProxy]:
    """A proxy before a server's port, until the block ends."""
    proxy = CuttingProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
