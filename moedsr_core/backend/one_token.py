"""The token of a server that has one user: the program that started it."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from moedsr_core.backend.access.failure import FailureGate
from moedsr_core.errors import InputError

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
