"""Refusals: one sentence each, in the one form that every error of the interface has."""

from __future__ import annotations

import math

from starlette.responses import JSONResponse


def refusal(status: int, sentence: str, **headers: str) -> JSONResponse:
    """An error of the interface; ``_`` in a header's name stands for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"detail": sentence}, status_code=status, headers=named)


def too_many(sentence: str, retry_after: float) -> JSONResponse:
    """Answer 429, with the seconds after which to come back."""
    return refusal(429, sentence, Retry_After=str(max(math.ceil(retry_after), 1)))
