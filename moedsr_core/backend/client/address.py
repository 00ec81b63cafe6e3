"""Where a server is, and what proves that we may ask it."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from .errors import UserError

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Ways:
    """How the user of this program does what an error's sentence advises.

    Attributes:
        token_file: Beginning of the argument that names a file with a token.
        ca_file: Beginning of the argument that names a file with certificates.
        revive: What to do where nobody answers.
    """

    token_file: str = "token_file="
    ca_file: str = "ca_file="
    revive: str = "check the port, and that 'moedsr serve' runs there"


@dataclass(frozen=True)
class Address:
    """A server and the means to talk to it. Neither ``repr`` nor ``str`` shows the token.

    Attributes:
        url: ``https://host:port``, without ``/v1``; ``http://`` too on this computer.
        token: What proves that we may ask; empty for none.
        ca_file: File of certificates (PEM) to trust; empty trusts the system's.
        ways: How users do what a sentence advises.

    Raises:
        UserError: If it is no such address, the token would travel readable, or the file of
            certificates cannot be used.
    """

    url: str
    token: str = field(default="", repr=False)
    ca_file: str = ""
    ways: Ways = field(default_factory=Ways, repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot work, and take the URL's plain form."""
        object.__setattr__(self, "url", plain_url(self.url))
        if self.token and not self.is_encrypted and not self.is_loopback:
            raise UserError(
                f"{self.url} is not encrypted, so everybody on the way could read the token and "
                f"the structure; use https://{self.host}, or an ssh tunnel to this computer"
            )
        if self.token and not (self.token.isascii() and self.token.isprintable()):
            raise UserError(
                f"the token for {self.url} must be plain characters on one line; name the file "
                f"that holds it with {self.ways.token_file}FILE"
            )
        if self.ca_file:
            _check_certificates(self.ca_file, self.ways)

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        """Name or number of the computer."""
        return self._parts.hostname or ""

    @property
    def port(self) -> int:
        """Its port."""
        return self._parts.port or PORTS[self._parts.scheme]

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody on the way can read along."""
        return self._parts.scheme == "https"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this very computer."""
        return is_loopback(self.host)

    @property
    def verify(self) -> Any:
        """What ``requests`` is to trust."""
        return self.ca_file or True


def is_loopback(host: str) -> bool:
    """Whether a host's name or number means this very computer."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def plain_url(text: str) -> str:
    """The one way in which an address is written here: no slash at its end, no ``/v1``.

    Raises:
        UserError: If it is not ``http(s)://host[:port]``.
    """
    url = text.strip().rstrip("/")
    url = url[: -len("/v1")] if url.endswith("/v1") else url
    try:
        parts = urlsplit(url)
        sound = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise UserError(_no_address(text)) from None
    if "@" in parts.netloc:
        raise UserError(
            "an address holds no user and password, which servers of moedsr do not know; leave out "
            "what stands before the @, and give a token"
        )
    if not sound or parts.query or parts.fragment or not url.isprintable():
        raise UserError(_no_address(text))
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}"


def _no_address(text: str) -> str:
    shown = text.rsplit("@", 1)[-1][:80]  # what stands before an @ may be a password
    return f"an address is written https://host:port, got '{shown}'"


def _check_certificates(path: str, ways: Ways) -> None:
    file = Path(path).expanduser()
    advice = f"give {ways.ca_file}FILE the server's certificate, or its authority's, as PEM"
    if not file.is_file():
        raise UserError(f"there is no file of certificates at '{path}'; {advice}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(str(file))
    except OSError as error:  # ssl.SSLError is one
        raise UserError(f"'{path}' holds no certificate that can be read; {advice}") from error
