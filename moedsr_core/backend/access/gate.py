"""Who are you: the bearer token in front of every path, known or not."""

from __future__ import annotations

import asyncio
import ipaddress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moedsr_core.backend.access.answers import refusal, too_many
from moedsr_core.backend.access.rates import Buckets
from moedsr_core.backend.access.revocation import RunningRequests
from moedsr_core.backend.access.tokens import LOCAL, MAX_TOKEN_LENGTH, Holder, Keys

METRICS_PATHS = ("/v1/health", "/v1/metrics")
"""What a token of the scope ``metrics`` opens."""


class TokenGate:
    """Answers 401 to every request without a valid token; sets ``request.state.owner`` else.

    A failed try costs the address that made it one unit of its bucket. Where that is empty the
    answer is 429; valid tokens pass all the same, so that nobody is locked out by a neighbour
    behind the same router. The bucket keeps the log short; guessing is hopeless anyway.

    Args:
        app: What is behind the gate.
        keys: What knows the valid tokens.
        failures_per_minute: Failed tries of one address that are answered 401.
    """

    def __init__(self, app: ASGIApp, keys: Keys, failures_per_minute: int) -> None:
        self._app, self._keys = app, keys
        self._failures = Buckets(failures_per_minute / 60, failures_per_minute)
        self._running = RunningRequests(keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif (holder := self._holder(scope)) is None:
            await self._refuse(scope, receive, send)
        elif holder.scope == "metrics" and scope["path"] not in METRICS_PATHS:
            sentence = "this token is for health and metrics only; ask for one that may run jobs"
            await refusal(403, sentence)(scope, receive, send)
        else:
            scope.setdefault("state", {})["owner"] = holder.owner
            await self._pass(holder, scope, receive, send)

    def _holder(self, scope: Scope) -> Holder | None:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return None
        scheme, _, secret = given[0].partition(b" ")
        secret = secret.strip()
        if scheme.lower() != b"bearer" or not 0 < len(secret) <= MAX_TOKEN_LENGTH:
            return None
        return self._keys.find(secret.decode("latin-1"))

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        wait = self._failures.take(_network(scope))
        if wait:
            answer = too_many("too many requests without a valid token; wait, then try again", wait)
        else:
            answer = refusal(
                401,
                "this needs a valid token, as Authorization: Bearer TOKEN; ask whoever runs the "
                "server for one, or for a new one if yours has expired or was revoked",
                WWW_Authenticate='Bearer realm="moedsr"',
            )
        await answer(scope, receive, send)

    async def _pass(self, holder: Holder, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noting_send(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        with self._running.watched(holder) as request:
            try:
                await self._app(scope, receive, noting_send)
            except asyncio.CancelledError:
                if not request.revoked:
                    raise
                request.absorb()
        if request.revoked and not begun:
            await self._refuse(scope, receive, send)


class OpenGate:
    """Lets everybody in who is on this computer, and keeps out web pages that are not.

    A page in the user's browser can reach loopback addresses too, directly or by a name of its own
    that it has resolve there; it gives itself away by its origin, or by that name.

    Args:
        app: What is behind the gate.
        any_host: Whether the server is reached by names other than loopback's.
    """

    def __init__(self, app: ASGIApp, any_host: bool = False) -> None:
        self._app, self._any_host = app, any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif not self._is_of_here(scope):
            sentence = "without tokens only programs on this computer are served, not web pages"
            await refusal(403, sentence)(scope, receive, send)
        else:
            scope.setdefault("state", {})["owner"] = LOCAL
            await self._app(scope, receive, send)

    def _is_of_here(self, scope: Scope) -> bool:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        return b"origin" not in headers and (self._any_host or _names_loopback(host))


def _names_loopback(host: str) -> bool:
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return name.lower() == "localhost"


def _network(scope: Scope) -> str:
    """Whose tries are counted together: an IPv4 address, or an IPv6 network of one customer."""
    host = (scope.get("client") or ("", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return host
