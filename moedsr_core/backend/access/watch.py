"""What every answer carries, and the line and the numbers that every request leaves."""

from __future__ import annotations

import logging
import re
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moedsr_core.backend.access.logs import log_event
from moedsr_core.backend.access.metrics import Metrics
from moedsr_core.backend.access.quota import is_stream

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Accel-Buffering": "no",
}
"""Results are private and no page's content; the last keeps nginx from holding streams back.

No ``Strict-Transport-Security``: browsers would extend it to every other port of the computer.
"""
UNMATCHED = "unmatched"
"""Route of requests that were answered before there was one, or that have none."""
_JOB_ID = re.compile(r"[0-9a-f]{16}")


class HeaderGate:
    """Adds :data:`HEADERS` to every answer.

    Args:
        app: What is behind the gate.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def adding_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, adding_send)


class RequestWatch:
    """Logs and counts every request, when its answer has ended.

    Args:
        app: What is behind.
        metrics: What counts.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, received, sent = time.monotonic(), 0, 0, 0

        async def counting_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def counting_send(message: Message) -> None:
            nonlocal status, sent
            status = message.get("status", status)
            sent += len(message.get("body", b""))
            await send(message)

        streams = is_stream(scope)
        if streams:
            self._metrics.streams.inc()
        try:
            await self._app(scope, counting_receive, counting_send)
        finally:
            if streams:
                self._metrics.streams.dec()
            self._note(scope, status, time.monotonic() - began, received, sent)

    def _note(self, scope: Scope, status: int, seconds: float, received: int, sent: int) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED)
        self._metrics.note_request(
            method=scope["method"], route=route, status=status,
            seconds=seconds, received=received, sent=sent,
        )  # fmt: skip
        job = str(scope.get("path_params", {}).get("job_id", ""))
        log_event(
            "request",
            level=logging.ERROR if status >= 500 else logging.INFO,
            owner=scope.get("state", {}).get("owner"),
            method=scope["method"][:10],
            route=route,
            job=job if _JOB_ID.fullmatch(job) else None,
            status=status,
            ms=round(seconds * 1000, 1),
            bytes=received,
            sent=sent,
            client=(scope.get("client") or ("",))[0],
        )
