"""The token of a server that has one user: the program that started it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import FastAPI

from moedsr_core.backend.access.failure import FailureGate
from moedsr_core.backend.access.gate import TokenGate
from moedsr_core.backend.access.tokens import OneToken
from moedsr_core.errors import InputError

MIN_TOKEN_LENGTH = 16
_FAILURES_PER_MINUTE = 100_000
"""So that no program of this computer, asking with a wrong token, makes the parent wait."""


@dataclass(frozen=True)
class ParentAccess:
    """Lets in the program that started the server, which alone knows the token."""

    token: str = field(repr=False)

    def install(self, app: FastAPI) -> None:
        """Put the gates in front of an application."""
        app.add_middleware(
            TokenGate, keys=OneToken(self.token), failures_per_minute=_FAILURES_PER_MINUTE
        )
        app.add_middleware(FailureGate)


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
