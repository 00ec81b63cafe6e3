"""From failures of the network, and refusals of a server, to a sentence with a cure."""

from __future__ import annotations

import email.utils
import errno
import re
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import requests

from .address import Address
from .errors import BackendError, RefusedError, UnreachableError
from .records import broke_off

PROBE_S = 3.0
_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)
_EXPIRED, _NOT_YET, _OTHER_NAME = 10, 9, (62, 64)
"""Verdicts of OpenSSL, X509_V_ERR_…"""
_NOT_TLS = re.compile(r"WRONG_VERSION_NUMBER|HTTP_REQUEST|UNKNOWN_PROTOCOL|RECORD_LAYER|PACKET_LEN")
_NOT_READY = (408, 425, 500, 502, 503, 504)
"""Answers of a server, or of the proxy before it, that may be others a little later."""


def network_error(error: Exception, address: Address, *, begun: bool = False) -> BackendError:
    """What a failed request means.

    Args:
        error: What ``requests`` raised.
        address: Whom we asked.
        begun: Whether an answer had begun.

    Returns:
        An :class:`UnreachableError` where asking again may help.
    """
    found = list(_causes(error))
    for kind, explain in _EXPLANATIONS:
        for cause in found:
            if isinstance(cause, kind):
                return explain(cause, address, begun)
    return UnreachableError(f"{address.url} cannot be asked ({_short(error)})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it was made from; urllib3 hides the latter in arguments."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        cause = waiting.pop(0)
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]


def _proxy(error: Any, address: Address, begun: bool) -> BackendError:
    proxy = requests.utils.select_proxy(address.url, requests.utils.getproxies()) or "the proxy"
    proxy = re.sub(r"//[^/]*@", "//", proxy)  # without its password
    return UnreachableError(
        f"the proxy {proxy} does not let us through to {address.url} ({_short(error)}); set "
        f"NO_PROXY={address.host} if that is reached without it, or ask the network's keeper"
    )


def _certificate(error: Any, address: Address, begun: bool) -> BackendError:
    code = getattr(error, "verify_code", None)
    if code == _EXPIRED:
        problem, cure = "has expired", "ask the server's keeper to renew it"
    elif code == _NOT_YET:
        problem, cure = "is not valid yet", "check this computer's clock"
    elif code in _OTHER_NAME:
        problem, cure = (
            f"is not for the name '{address.host}'",
            "use the name that it is for, or ask the server's keeper",
        )
    elif address.ca_file:
        problem, cure = (
            f"is not one that '{address.ca_file}' vouches for",
            f"ask the server's keeper for the right file and give it with {_ca(address)}",
        )
    else:
        problem, cure = (
            "is not trusted by this computer",
            f"ask its keeper for the certificate and give it with {_ca(address)}",
        )
    return BackendError(f"the certificate of {address.url} {problem}; {cure}")


def _ca(address: Address) -> str:
    return f"{address.ways.ca_file}FILE"


def _tls(error: Any, address: Address, begun: bool) -> BackendError:
    text = f"{getattr(error, 'reason', '')} {error}".replace(" ", "_").upper()
    if _NOT_TLS.search(text):
        cure = (
            f"write http://{address.url.split('//')[1]}"
            if address.is_loopback
            else "ask its keeper for the encrypted port"
        )
        return BackendError(f"{address.url} does not speak TLS on that port; {cure}")
    return UnreachableError(
        f"no encrypted connection to {address.url} came about ({_short(error)})"
    )


def _name(error: Any, address: Address, begun: bool) -> BackendError:
    return UnreachableError(
        f"no computer named '{address.host}' is known here; check the spelling, or join the "
        "network that it belongs to (VPN)"
    )


def _refused(error: Any, address: Address, begun: bool) -> BackendError:
    return UnreachableError(
        f"nobody listens at {address.url} (connection refused); {address.ways.revive}"
    )


def _slow_connection(error: Any, address: Address, begun: bool) -> BackendError:
    return UnreachableError(
        f"{address.url} cannot be reached (time-out); check the address, and that no firewall is "
        "in the way"
    )


def _silence(error: Any, address: Address, begun: bool) -> BackendError:
    return UnreachableError(f"{address.url} has stopped answering; {address.ways.revive}")


def _system(error: Any, address: Address, begun: bool) -> BackendError:
    if error.errno in _NO_WAY:
        return UnreachableError(
            f"there is no way to {address.url} ({error.strerror}); check this computer's network"
        )
    return _broken(error, address, begun)


def _broken(error: Any, address: Address, begun: bool) -> BackendError:
    if not begun and not address.is_encrypted and speaks_tls(address.host, address.port):
        return BackendError(
            f"what listens at {address.url} speaks TLS; write https://{address.url.split('//')[1]}"
        )
    return UnreachableError(broke_off(address.url))


def _malformed(error: Any, address: Address, begun: bool) -> BackendError:
    return BackendError(f"{address.url} cannot be asked ({_short(error)}); check the address")


_EXPLANATIONS: tuple[tuple[Any, Any], ...] = (
    (requests.exceptions.ProxyError, _proxy),
    (ssl.SSLCertVerificationError, _certificate),
    (ssl.SSLError, _tls),
    (socket.gaierror, _name),
    (ConnectionRefusedError, _refused),
    (requests.ConnectTimeout, _slow_connection),
    ((requests.Timeout, socket.timeout), _silence),
    (
        (
            requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader,
            requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema, UnicodeError,
        ),
        _malformed,
    ),
    (OSError, _system),
    (Exception, _broken),
)  # fmt: skip
"""Tried from the top for every cause; ``requests``' own errors are OSErrors too."""


def speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake succeeds; nothing of ours is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), PROBE_S) as plain:
            with context.wrap_socket(plain, server_hostname=host):
                return True
    except (OSError, ValueError):
        return False


def refusal(answer: requests.Response, address: Address) -> BackendError:
    """What an answer that is no success means.

    Returns:
        An :class:`UnreachableError` where asking again may help.
    """
    status, detail = answer.status_code, _detail(answer)
    if 300 <= status < 400:
        return BackendError(
            f"{address.url} sends us on to {_elsewhere(answer)}; give that address if you trust it"
        )
    if status == 407:
        return _proxy("it wants a login", address, False)
    if status == 401:
        return RefusedError(_no_entry(address), status)
    if status in _NOT_READY and not (status == 500 and detail):
        return UnreachableError(
            f"{address.url} is not ready ({detail or f'HTTP {status}'}); wait, or tell its keeper",
            retry_after(answer),
        )
    if not detail:
        return not_moedsr(answer, address)
    if status == 429:
        wait = retry_after(answer)
        return UnreachableError(f"{address.url} is busy: {detail}", 1.0 if wait is None else wait)
    if status == 413:
        return RefusedError(f"{address.url} takes no request of this size: {detail}", status)
    if status == 507:
        return RefusedError(
            f"the disk of {address.url} is full ({detail}); delete old jobs, or tell its keeper",
            status,
        )
    return RefusedError(detail, status)


def _no_entry(address: Address) -> str:
    way = f"and name its file with {address.ways.token_file}FILE"
    if not address.token:
        return f"{address.url} wants a token and has got none; ask its keeper for one, {way}"
    return (
        f"{address.url} does not accept this token, which is wrong, has expired or was revoked; "
        f"ask its keeper for another, {way}"
    )


def not_moedsr(answer: requests.Response, address: Address) -> BackendError:
    """What an answer means that no moedsr server gives."""
    kind = answer.headers.get("Content-Type", "").split(";")[0] or "nothing"
    server = answer.headers.get("Server", "")
    by = f" by '{_short(server, 30)}'" if server else ""
    return BackendError(
        f"what answers at {address.url} is not a moedsr server (HTTP {answer.status_code}, "
        f"{_short(kind, 40)}{by}); check the address and the port"
    )


def _detail(answer: requests.Response) -> str:
    """The sentence of an error answer; empty if there is none."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError, requests.RequestException):
        return ""
    return _short(detail, 500) if isinstance(detail, str) else ""


def _elsewhere(answer: requests.Response) -> str:
    return _short(answer.headers.get("Location", "nowhere").split("?")[0], 100)


def retry_after(answer: requests.Response) -> float | None:
    """Seconds until the time that a server names, as a number or a date."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _short(value: object, limit: int = 120) -> str:
    """One line of somebody else's text, fit for a sentence."""
    text = " ".join(str(value).split()) or type(value).__name__
    return text if len(text) <= limit else text[:limit] + "…"
