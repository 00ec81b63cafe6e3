"""A web server on loopback that serves files as badly as it is told to."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Trouble = Callable[["Handler", bytes], bool]
"""Does something bad to one request and returns True, or leaves it alone."""


@dataclass
class Site:
    """What is served and how."""

    files: dict[str, bytes] = field(default_factory=dict)
    """Content by path."""
    troubles: list[Trouble] = field(default_factory=list)
    """One for each request, in order; none afterwards."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every file."""
    ranges: bool = True
    """Whether Range is honoured."""
    sizes: bool = True
    """Whether Content-Length is sent."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of every request."""
    base: str = ""


class Handler(BaseHTTPRequestHandler):
    """One request."""

    site: Site

    def do_GET(self) -> None:
        site = self.site
        site.asked.append((self.path, self.headers.get("Range")))
        content = site.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        trouble = site.troubles.pop(0) if site.troubles else None
        if trouble is None or not trouble(self, content):
            self.serve(content)

    def serve(self, content: bytes, cut: int | None = None) -> None:
        """Send a file, or the part asked for; break off after ``cut`` bytes."""
        start = self.wanted_start()
        if start >= len(content) and start:
            self.answer(416)
            return
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.site.sizes:
            self.send_header("Content-Length", str(len(body)))
        for name, value in self.site.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = True

    def wanted_start(self) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, self.site.headers.get("ETag"))
        return int(found[1]) if found and same and self.site.ranges else 0

    def answer(self, code: int, **headers: str) -> None:
        """An answer without a body."""
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def cut(size: int) -> Trouble:
    """Break off after that many bytes."""

    def trouble(handler: Handler, content: bytes) -> bool:
        handler.serve(content, size)
        return True

    return trouble


def busy(code: int, **headers: str) -> Trouble:
    """Answer with a code and nothing else."""

    def trouble(handler: Handler, content: bytes) -> bool:
        handler.answer(code, **headers)
        return True

    return trouble


def other(content: bytes) -> Trouble:
    """Serve something else."""

    def trouble(handler: Handler, _: bytes) -> bool:
        handler.serve(content)
        return True

    return trouble


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve a site on loopback."""
    handler = type("Bound", (Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        site.base = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
