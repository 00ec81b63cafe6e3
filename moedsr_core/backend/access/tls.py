"""The server's certificate: read, tried out, and read again when it is renewed."""

from __future__ import annotations

import logging
import os
import ssl
import stat
import time
from pathlib import Path

from moedsr_core.errors import InputError

log = logging.getLogger(__name__)

SOON_S = 14 * 86_400.0
"""How long before the end of a certificate its renewal is asked for [s]."""


class Certificate:
    """A certificate with its key, and the TLS settings that use them.

    Args:
        cert: PEM file of the certificate, followed by those of its issuers but the root.
        key: PEM file of its private key, not encrypted.

    Raises:
        InputError: If a file is missing or unreadable, or the two do not belong together.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._files = cert, key
        self._stamp = _stamp(cert, key)
        self.context = _context(cert, key)

    def concerns(self) -> list[str]:
        """What whoever runs the server should know, in a sentence each."""
        found = [_validity(self._files[0], self.context), _exposure(self._files[1])]
        return [sentence for sentence in found if sentence]

    def refresh(self) -> bool:
        """Read the files again if they were renewed; new connections use them then.

        Returns:
            Whether they were. A pair that cannot be used is logged, and the old one stays.
        """
        try:
            stamp = _stamp(*self._files)
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            _context(*self._files)
            _load(self.context, *self._files)
        except InputError as error:
            log.error("the old certificate stays in use: %s", error)
            return False
        return True


def _context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, cert, key)
    return context


def _load(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    for path, what, flag in ((cert, "certificate", "--tls-cert"), (key, "key", "--tls-key")):
        _refuse_unreadable(path, what, flag)
    try:
        context.load_cert_chain(cert, key, password=_refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InputError(
                f"the key {key} does not belong to the certificate {cert}; give the pair that was "
                "made together"
            ) from error
        raise InputError(
            f"expected a certificate in {cert} and its key in {key}, both as PEM text, but they "
            f"cannot be read as such ({error.reason or error})"
        ) from error


def _refuse_unreadable(path: Path, what: str, flag: str) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise InputError(
            f"could not read the {what} {path} ({error.strerror or error}); give a PEM file with "
            f"{flag} that the server's user may read"
        ) from error


def _refuse_password() -> str:
    raise InputError(
        "the TLS key is encrypted, and nobody is there to type its password when a server "
        "starts; give a key without one in a file of mode 0600"
    )


def _stamp(*files: Path) -> tuple[tuple[int, int], ...]:
    found = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            found.append((0, 0))
        else:
            found.append((status.st_mtime_ns, status.st_size))
    return tuple(found)


def _validity(cert: Path, server: ssl.SSLContext) -> str | None:
    """What a client that trusts exactly this certificate makes of it, name aside."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cert)
    try:
        ends = _shake_hands(client, server).get("notAfter")
    except ssl.SSLCertVerificationError as error:
        return f"clients will refuse the certificate {cert}: {error.verify_message}; renew it"
    except ssl.SSLError as error:
        return f"the certificate {cert} could not be tried out ({error.reason or error})"
    left = ssl.cert_time_to_seconds(str(ends)) - time.time()
    if left < SOON_S:
        return f"the certificate {cert} ends in {left / 86_400:.0f} days; renew it"
    return None


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> dict[str, object]:
    """Have the two talk in memory; returns the certificate as the client sees it."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(down, up, server_side=False),
        server.wrap_bio(up, down, server_side=True),
    )
    for _ in range(8):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return dict(ends[0].getpeercert() or {})


def _exposure(key: Path) -> str | None:
    if os.name == "nt" or not key.stat().st_mode & stat.S_IROTH:
        return None
    return f"others on this computer may read the TLS key {key}; chmod 600 it"
