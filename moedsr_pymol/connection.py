"""What can be said of a backend, and how a server is made known."""

from __future__ import annotations

import time
from typing import Any

from .errors import UserError
from .local_backend import LocalBackend
from .needs import plugin_needs
from .remote import BackendClient, checked_health, plain_url, read_token
from .servers import ASKING, RemoteBackend, Server, find_server, remember_server
from .settings import load_settings
from .tokens import find_token, keep_token, token_place


def local_state(backend: LocalBackend) -> dict[str, Any]:
    """What is known of the process on this computer, which is not started for it."""
    state = {"backend": "local", "python": load_settings()["python"] or "found automatically"}
    if not backend.running:
        return {**state, "running": "no"}
    health = backend.client(ASKING).health()
    return {**state, "running": "yes", **_shown(health), "pid": backend.pid}


def remote_state(backend: RemoteBackend) -> dict[str, Any]:
    """What is known of a server, which is asked for it.

    Raises:
        UserError: If it cannot be used.
    """
    return _state(backend.server, backend.client(ASKING))


def set_up(url: str, name: str, token_file: str, ca_file: str) -> dict[str, Any]:
    """Make a server known, and the one that is used, once it has answered.

    Args:
        url: Its address.
        name: What to call it; empty keeps the name it has.
        token_file: File that holds its token; empty keeps the token it has.
        ca_file: File of certificates to trust; empty keeps the one it has.

    Returns:
        What is known of it.

    Raises:
        UserError: If something is wrong; nothing is kept then.
    """
    if not name.replace("-", "").replace("_", "").isalnum() and name:
        raise UserError(f"name must be letters, digits, - or _, got '{name}'")
    if name in ("local", "remote", "status", "stop", "forget"):
        raise UserError(f"'{name}' means something else already; choose another name")
    known = find_server(plain_url(url)) or Server(plain_url(url))
    server = Server(known.url, ca_file or known.ca_file, name or known.name)
    token = read_token(token_file) if token_file else find_token(server.url)
    client = BackendClient(server.address(token), ASKING)
    checked_health(client, plugin_needs())
    client.jobs()  # health may be open to all; this is not
    remember_server(server)
    if token_file:
        keep_token(server.url, token)
    return _state(server, client)


def _state(server: Server, client: BackendClient) -> dict[str, Any]:
    begin = time.perf_counter()
    health = client.health()
    latency = 1000 * (time.perf_counter() - begin)
    return {
        "backend": server.url,
        "name": server.name or "none",
        "token": token_place(server.url),
        "ca_file": server.ca_file or "the system's certificates",
        **_shown(health),
        "latency_ms": round(latency, 1),
    }


def _shown(health: dict[str, Any]) -> dict[str, Any]:
    names = ("version", "protocol", "device", "devices", "workers", "queue")
    return {key: health[key] for key in names if key in health}
