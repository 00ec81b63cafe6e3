"""The servers that a user has made known, kept in the settings without their tokens."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .errors import UserError
from .needs import plugin_needs
from .remote import Address, BackendClient, Patience, Ways, checked_health, plain_url
from .settings import load_settings, save_settings
from .tokens import drop_token, find_token

ASKING = Patience(connect_s=5.0, silence_s=15.0, retries=1)
"""Patience of a command that PyMOL's window waits for."""


@dataclass(frozen=True)
class Server:
    """One server.

    Attributes:
        url: Its address.
        ca_file: File of certificates to trust; empty trusts the system's.
        name: What the user calls it; may be empty.
    """

    url: str
    ca_file: str = ""
    name: str = ""

    def address(self, token: str | None = None) -> Address:
        """How it is reached; with the token that is kept for it, or another one.

        Raises:
            UserError: If the token or the certificates cannot be used.
        """
        here = f"moedsr_backend {self.url}, "
        return Address(
            self.url,
            find_token(self.url) if token is None else token,
            self.ca_file,
            Ways(token_file=f"{here}token_file=", ca_file=f"{here}ca_file="),
        )


class RemoteBackend:
    """A server elsewhere, which neither starts nor ends with PyMOL.

    Args:
        server: Which one.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.running, self.stopped = True, False

    @property
    def name(self) -> str:
        """Its address, by which jobs remember it."""
        return self.server.url

    def last_words(self) -> str:
        """Nothing: its log stays there."""
        return ""

    def client(self, patience: Patience | None = None) -> BackendClient:
        """A connection to it, after a look at who answers.

        Raises:
            BackendError: If it cannot be reached or does not fit this plugin.
        """
        client = BackendClient(self.server.address(), patience)
        checked_health(client, plugin_needs())
        return client


def known_servers() -> list[Server]:
    """All of them, the last one made known first."""
    return [Server(**row) for row in load_settings()["servers"] if _is_row(row)]


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and set(row) <= {"url", "ca_file", "name"}
        and all(isinstance(value, str) for value in row.values())
        and bool(row.get("url"))
    )


def remember_server(server: Server) -> None:
    """Put a server first among those known, and make it the one that is used.

    Raises:
        UserError: If its name means another one, or the settings cannot be written.
    """
    others = [known for known in known_servers() if known.url != server.url]
    if any(server.name and server.name == known.name for known in others):
        raise UserError(f"another server is called '{server.name}' already; choose another name")
    rows = [asdict(known) for known in (server, *others)]
    save_settings(servers=rows, backend=server.url)


def forget_server(server: Server) -> None:
    """Forget a server and its token."""
    drop_token(server.url)
    rows = [asdict(known) for known in known_servers() if known.url != server.url]
    used = load_settings()["backend"]
    save_settings(servers=rows, backend="" if used == server.url else used)


def find_server(text: str) -> Server | None:
    """The server of a name or an address, or ``remote`` for the last one; None if unknown."""
    known = known_servers()
    if text == "remote":
        return known[0] if known else None
    url = plain_url(text) if is_address(text) else ""
    return next((s for s in known if s.url == url or (s.name and s.name == text)), None)


def is_address(text: str) -> bool:
    """Whether a word is an address rather than a name."""
    return "://" in text
