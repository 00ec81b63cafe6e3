"""Connections that may not take for ever: uvicorn's protocol with a watch over slow clients.

uvicorn limits none of these, and each would keep a connection, and memory, for as long as a client
likes: headers that dribble in, a body that does, a body that goes on after it was refused, an
answer that nobody reads, and too many connections at once.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from moedsr_core.backend.access.limits import Limits
from moedsr_core.backend.access.logs import log_event

_CHECK_S = 1.0
"""How often a connection is looked at [s]; oftener where a time limit is shorter."""
BODY_WINDOW_S = 10.0
"""Over how long the rate of a body is measured [s]."""
_LINGER_S = 1.0
"""How long the rest of a refused body is taken and thrown away [s], so that the client, which
may read only after it has sent all, does not find the connection reset in place of the answer."""


class GuardedProtocol(H11Protocol):
    """One connection, looked at every second.

    Args:
        limits: How slow a client may be, and how many there may be.
    """

    def __init__(self, *arguments: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = limits
        self._check: asyncio.TimerHandle | None = None
        self._phase: tuple[str, object] = ("", None)
        self._since, self._received = 0.0, 0
        self._stuck_since: float | None = None
        self._turned_away = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch, unless there are too many connections already."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            self._turn_away()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the watch."""
        if self._check is not None:
            self._check.cancel()
            self._check = None
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes."""
        if self._turned_away or self.transport.is_closing():
            return
        self._received += len(data)
        super().data_received(data)

    def _look(self) -> None:
        """Judge the connection by how long it has been in its phase."""
        now = time.monotonic()
        phase = self._now_in(), self.cycle
        if phase != self._phase:
            self._phase, self._since, self._received = phase, now, 0
        self._judge(now - self._since)
        self._judge_reader(now)
        self._check = self.loop.call_later(self._pause_s(), self._look)

    def _pause_s(self) -> float:
        limits = self._limits
        shortest = min(limits.header_timeout_s, limits.write_timeout_s, BODY_WINDOW_S)
        return min(_CHECK_S, shortest / 4)

    def _now_in(self) -> str:
        if self._turned_away:
            return "unwanted"
        if self.conn.their_state is h11.IDLE:
            return "headers" if self.timeout_keep_alive_task is None else "pause"
        if self.conn.their_state is h11.SEND_BODY:
            answered = self.cycle is not None and self.cycle.response_complete
            return "unwanted" if answered else "body"
        return "answer"

    def _judge(self, seconds: float) -> None:
        if self.transport.is_closing():
            return
        phase = self._phase[0]
        if phase == "headers" and seconds >= self._limits.header_timeout_s:
            self._end(408, "the headers of the request took too long", "headers")
        elif phase == "unwanted" and seconds >= _LINGER_S:
            self.transport.close()
        elif phase == "body" and seconds >= BODY_WINDOW_S:
            wanted = self._limits.min_body_kb_per_s * 1000 * seconds
            if self._received < wanted and not self.flow.read_paused:
                self._end(408, "the body of the request came too slowly", "body")
            self._since, self._received = self._since + seconds, 0

    def _judge_reader(self, now: float) -> None:
        """Cut a client that leaves what was sent to it unread."""
        if not (self.flow.write_paused or self.transport.is_closing()):
            self._stuck_since = None
            return
        self._stuck_since = self._stuck_since or now
        if now - self._stuck_since >= self._limits.write_timeout_s:
            log_event("connection cut", reason="reader", client=self._client_host())
            self.transport.abort()

    def _turn_away(self) -> None:
        """Answer whatever will be asked, and close a moment later."""
        log_event("connection cut", reason="connections", client=self._client_host())
        self._turned_away = True
        self.connections.discard(self)
        self.transport.write(_plain_answer(503, "too many connections; try again later"))

    def _end(self, status: int, sentence: str, reason: str) -> None:
        """Answer, where no answer has begun, and close."""
        log_event("connection cut", reason=reason, client=self._client_host())
        begun = self.cycle is not None and self.cycle.response_started
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not begun or self.conn.our_state is h11.IDLE:
            self.transport.write(_plain_answer(status, sentence))
        self.transport.close()

    def _client_host(self) -> str | None:
        return self.client[0] if self.client else None


def _plain_answer(status: int, sentence: str) -> bytes:
    reasons = {408: "Request Timeout", 503: "Service Unavailable"}
    body = b'{"detail": "%s"}' % sentence.encode()
    lines = (
        f"HTTP/1.1 {status} {reasons[status]}", "content-type: application/json",
        f"content-length: {len(body)}", "connection: close", "retry-after: 5",
    )  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class GuardedServer(uvicorn.Server):
    """Serves with :class:`GuardedProtocol`, and gives TLS handshakes no longer than headers.

    Args:
        config: uvicorn's settings; see :func:`server_config`.
        limits: How slow a client may be, and how many there may be.
        context: TLS settings; plain HTTP without.
    """

    def __init__(
        self, config: uvicorn.Config, limits: Limits, context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(config)
        self._limits, self._context = limits, context

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listen, with a time limit on handshakes, which uvicorn leaves at a minute."""
        loop = asyncio.get_running_loop()
        create = loop.create_server
        if self._context is not None:
            self.config.ssl = self._context
            timed = partial(create, **_handshake_limits(self._limits.header_timeout_s))
            loop.create_server = timed  # type: ignore[method-assign]
        try:
            await super().startup(sockets)
        finally:
            loop.create_server = create  # type: ignore[method-assign]

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """End, and cut whoever has not gone by then."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0.1)  # lets connections that are being closed end with the loop alive


def _handshake_limits(seconds: float) -> dict[str, float]:
    limits = {"ssl_handshake_timeout": seconds}
    if sys.version_info >= (3, 11):
        limits["ssl_shutdown_timeout"] = seconds
    return limits


def server_config(
    app: Callable[..., Any],
    limits: Limits,
    *,
    proxies: str | None = None,
    **more: Any,
) -> uvicorn.Config:
    """Settings of uvicorn for a server that slow and hostile clients may reach.

    Args:
        app: The application.
        limits: How slow a client may be, and how many there may be.
        proxies: Addresses, separated by commas, whose word on the client's address is believed.
        more: Further settings of uvicorn.
    """
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=partial(GuardedProtocol, limits=limits),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=limits.keep_alive_s,  # type: ignore[arg-type]
        proxy_headers=proxies is not None,
        forwarded_allow_ips=proxies or "",
        **more,
    )
