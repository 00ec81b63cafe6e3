"""Type checks that are written when a function is first called.

Writing them for every function of the core takes each test process some five seconds, and most
processes call few of them; what is called is checked all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from beartype import BeartypeConf, beartype

CHECKED = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which checks its arguments and result by their annotations."""
    written: list[Callable[..., Any]] = []

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not written:
            written.append(CHECKED(function))
        return written[0](*args, **kwargs)

    return call
