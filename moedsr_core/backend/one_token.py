"""The token of a server that has one user: the program that started it."""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass, field

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moedsr_core.errors import InputError

log = logging.getLogger(__name__)

MIN_TOKEN_LENGTH = 16


@dataclass(frozen=True)
class OneToken:
    """Lets in who knows the token."""

    token: str = field(repr=False)

    def install(self, app: FastAPI) -> None:
        """Put the gates in front of an application."""
        app.add_middleware(FailureGate)
        app.add_middleware(TokenGate, token=self.token)


class TokenGate:
    """Answers 401 to every request without the bearer token, whatever its path."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = b"Bearer " + token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan" or self._holds_token(scope):
            await self._app(scope, receive, send)
            return
        refusal = JSONResponse(
            {"detail": "this needs the backend's token, as Authorization: Bearer TOKEN"},
            status_code=401,
            headers={"WWW-Authenticate": "Bearer"},
        )
        await refusal(scope, receive, send)

    def _holds_token(self, scope: Scope) -> bool:
        given = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
        return hmac.compare_digest(given, self._expected)


class FailureGate:
    """Answers 500 with one sentence where a route fails unforeseen; the log has the traceback.

    Starlette's own handler would end the connection as well, and with it the client's next call.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer it if that fails before an answer has begun."""
        begun = False

        async def noting_send(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except Exception as error:
            if begun:
                raise
            log.exception("%s %s failed", scope.get("method"), scope.get("path"))
            sentence = f"internal error: {type(error).__name__}; the backend's log has more"
            await JSONResponse({"detail": sentence}, status_code=500)(scope, receive, send)


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
