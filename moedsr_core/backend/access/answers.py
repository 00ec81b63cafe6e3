"""Refusals: one sentence each, in the one form that every error of the interface has."""

from __future__ import annotations

import math

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from moedsr_core.errors import MoedsrError


class BusyError(MoedsrError):
    """The server has enough to do; the same request may succeed later.

    Args:
        sentence: What is full, and what to do.
        retry_after: When to try again [s].
    """

    def __init__(self, sentence: str, retry_after: float) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


def refusal(status: int, sentence: str, **headers: str) -> JSONResponse:
    """An error of the interface; ``_`` in a header's name stands for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"detail": sentence}, status_code=status, headers=named)


def too_many(sentence: str, retry_after: float) -> JSONResponse:
    """Answer 429, with the seconds after which to come back."""
    return refusal(429, sentence, Retry_After=str(max(math.ceil(retry_after), 1)))


async def answer_busy(request: Request, error: Exception) -> Response:
    """Handler of :class:`BusyError`."""
    return too_many(str(error), getattr(error, "retry_after", 1.0))
