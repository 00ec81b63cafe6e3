"""Where a server listens, and what it must have for that."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass

from moedsr_core.errors import BackendError, InputError

_BACKLOG = 128


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Who can reach a server, and what keeps strangers out."""

    loopback: bool
    """Whether only programs on this computer reach it."""
    tls: bool
    """Whether what is sent is encrypted."""
    tokens: bool
    """Whether every request needs a token."""

    def concerns(self, *, insecure_no_tls: bool, insecure_no_tokens: bool) -> list[str]:
        """Judge it.

        Args:
            insecure_no_tls: Whether doing without TLS was asked for in so many words.
            insecure_no_tokens: The same for tokens.

        Returns:
            What is dangerous but was asked for, in a sentence each.

        Raises:
            InputError: If something is dangerous and was not.
        """
        if self.loopback:
            return []
        found = []
        if not self.tokens:
            if not insecure_no_tokens:
                raise InputError(
                    "beyond this computer's loopback address a server needs tokens; leave out "
                    "--no-token, or add --insecure-no-tokens if the network keeps strangers out"
                )
            found.append("NO TOKENS: whoever reaches this address reads and deletes all jobs")
        if not self.tls:
            if not insecure_no_tls:
                raise InputError(
                    "beyond this computer's loopback address a server needs TLS; give --tls-cert "
                    "and --tls-key, or add --insecure-no-tls if the network itself is encrypted"
                )
            found.append("NO TLS: tokens and structures cross the network for anybody to read")
        return found


def resolve(host: str) -> str:
    """The address of a host name, or an address as it is.

    Raises:
        InputError: If it is neither, or a name of several addresses of which some are loopback's.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"there is no host {host[:80]!r}; give an address of this computer, such as 127.0.0.1, "
            "or 0.0.0.0 for all of them"
        ) from error
    addresses = [str(info[4][0]) for info in infos]
    return next((address for address in addresses if "." in address), addresses[0])


def is_loopback(address: str) -> bool:
    """Whether only programs on this computer reach an address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def listen(address: str, port: int) -> socket.socket:
    """Listen on an address.

    Args:
        address: An address of this computer; all of its network cards for ``0.0.0.0`` and ``::``.
        port: Port; 0 takes a free one.

    Raises:
        BackendError: If somebody else does, or one may not.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # asyncio turns off Nagle's delay, 40 ms per record, only where the protocol is named
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "nt":  # where REUSEADDR would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise BackendError(f"could not listen on {address}:{port}: {_cure(error)}") from error
    return listener


def _cure(error: OSError) -> str:
    cures = {
        errno.EADDRINUSE: "another program does already; choose another --port",
        errno.EADDRNOTAVAIL: "this computer has no such address; choose another --host",
        errno.EACCES: "ports below 1024 are not for everybody; choose another --port",
    }
    return cures.get(error.errno or 0, error.strerror or str(error))
