"""Joining an existing Ray cluster. Ray is imported only where it is asked for."""

from __future__ import annotations

import logging
import platform
import socket
from types import ModuleType

from moedsr_core.errors import BackendError

_KNOCK_SECONDS = 10.0


def join(address: str = "auto") -> tuple[ModuleType, bool]:
    """Join a cluster, unless this process is in one.

    Args:
        address: ``auto`` for the cluster this machine belongs to, ``HOST:PORT``, or ``ray://…``.

    Returns:
        The module ``ray``, and whether it was this call that joined.

    Raises:
        BackendError: If Ray is not installed, or no cluster answers or lets us in.
    """
    try:
        import ray
    except ImportError as error:
        raise BackendError(
            "Ray is not installed; install moedsr[cluster], or leave out --ray"
        ) from error
    if ray.is_initialized():
        return ray, False
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise BackendError(_reason(address, ray.__version__, str(error))) from error
    return ray, True


def _knock(address: str) -> None:
    """Fail at once where nobody listens; Ray itself tries for minutes.

    Raises:
        OSError: If there is no connection.
        ValueError: If that is no address.
    """
    if address != "auto":
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()


def _reason(address: str, version: str, text: str) -> str:
    if "ersion mismatch" in text:
        return (
            f"the Ray cluster at {address!r} runs another version of Ray or Python than this "
            f"program (Ray {version}, Python {platform.python_version()}); install the same on all "
            "its computers"
        )
    return (
        f"no Ray cluster answers at {address!r}, or it does not let us in; start one with `ray "
        "start --head`, give its address, or set RAY_AUTH_MODE and RAY_AUTH_TOKEN where it asks "
        "for a token"
    )
