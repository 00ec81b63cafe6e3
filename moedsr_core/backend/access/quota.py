"""How much at once: the rate of each owner, its streams, and the size of a body."""

from __future__ import annotations

from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moedsr_core.backend.access.answers import refusal, too_many
from moedsr_core.backend.access.limits import Limits
from moedsr_core.backend.access.rates import Buckets

_STREAM_RETRY_S = 5.0


class QuotaGate:
    """Answers 429 to owners who ask too often or follow too many streams.

    Args:
        app: What is behind the gate; the owner is known in front of it.
        limits: How much is too much.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._limits = app, limits
        self._rates = Buckets(limits.rate_per_s, limits.rate_burst)
        self._streams: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        owner = scope["state"]["owner"]
        if wait := self._rates.take(owner):
            sentence = (
                f"more than {self._limits.rate_per_s:g} requests per second with this token; "
                "ask less often"
            )
            await too_many(sentence, wait)(scope, receive, send)
        elif is_stream(scope):
            await self._stream(owner, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _stream(self, owner: str, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams[owner] >= self._limits.max_streams_per_token:
            sentence = (
                f"{self._streams[owner]} streams are open with this token, the most that may be; "
                "end one first"
            )
            await too_many(sentence, _STREAM_RETRY_S)(scope, receive, send)
            return
        self._streams[owner] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._streams[owner] -= 1
            if not self._streams[owner]:
                del self._streams[owner]


def is_stream(scope: Scope) -> bool:
    """Whether a request follows a job."""
    path = scope["path"].rstrip("/")
    return path.startswith("/v1/jobs/") and path.endswith("/stream")


class BodyGate:
    """Answers 413 to bodies that are, say they are, or turn out to be too large.

    Args:
        app: What is behind the gate.
        limits: How much is too much.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._most = app, limits.max_body
        self._sentence = f"a request is at most {limits.max_body_mb} MB long; select fewer atoms"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, cut it, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._announced(scope) > self._most:
            await refusal(413, self._sentence)(scope, receive, send)
        else:
            await self._counted(scope, receive, send)

    def _announced(self, scope: Scope) -> int:
        length = dict(scope["headers"]).get(b"content-length", b"0")
        short = length.isdigit() and len(length) < 20
        return int(length) if short else self._most + 1

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken, begun, refused = 0, False, False

        async def counting_receive() -> Message:
            nonlocal taken, refused
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._most and not refused:
                refused = True
                if not begun:
                    await refusal(413, self._sentence)(scope, receive, send)
            return {"type": "http.disconnect"} if refused else message

        async def noting_send(message: Message) -> None:
            nonlocal begun
            begun = True
            if not refused:
                await send(message)

        await self._app(scope, counting_receive, noting_send)
