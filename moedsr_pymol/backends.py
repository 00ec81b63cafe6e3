"""Where a prediction can be computed."""

from __future__ import annotations

from typing import Protocol

from .errors import UserError
from .local_backend import LOCAL, LocalBackend
from .manifest import load_manifest
from .remote import BackendClient, Patience
from .servers import RemoteBackend, find_server, known_servers
from .settings import load_settings


class Backend(Protocol):
    """A process or a server that computes."""

    @property
    def name(self) -> str:
        """By which jobs remember it."""

    @property
    def running(self) -> bool:
        """Whether it can be asked without being started."""

    @property
    def stopped(self) -> bool:
        """Whether it was ended on request."""

    def client(self, patience: Patience | None = None) -> BackendClient:
        """A connection to it; it is started if need be."""

    def last_words(self) -> str:
        """The last line of its log, as far as it is known here."""


BACKENDS: dict[str, LocalBackend] = {"local": LOCAL}
_MADE_KNOWN = "'moedsr_backend https://host:port, token_file=FILE' makes another server known"


def backend_named(name: str) -> Backend:
    """A backend; the one that was chosen last for no name.

    Args:
        name: ``local``, ``remote``, or the name or address of a known server.

    Raises:
        UserError: If there is none of that name.
    """
    word = name.strip() or load_settings()["backend"] or load_manifest()["default_backend"]
    backend = find_backend(word)
    if backend is None and not name.strip():
        raise UserError(
            f"'{word}', which was chosen to compute, is not known any more; 'moedsr_backend local' "
            f"chooses this computer, and {_MADE_KNOWN}"
        )
    if backend is None:
        raise UserError(
            f"backend must be one of {', '.join(backend_names())}, got '{word}'; {_MADE_KNOWN}"
        )
    return backend


def find_backend(word: str) -> Backend | None:
    """The backend of a word; None if there is none."""
    if word.lower() in BACKENDS:
        return BACKENDS[word.lower()]
    server = find_server(word)
    return None if server is None else RemoteBackend(server)


def backend_names() -> list[str]:
    """What a backend may be called."""
    servers = known_servers()
    names = [name for server in servers for name in (server.name, server.url) if name]
    return [*BACKENDS, *(["remote"] if servers else []), *names]


def all_backends() -> list[Backend]:
    """The local one and every known server."""
    return [*BACKENDS.values(), *(RemoteBackend(server) for server in known_servers())]
