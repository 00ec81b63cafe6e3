"""Single requests: sent to one address and nowhere else, again where that is safe."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import requests
from requests.auth import AuthBase

from .address import Address
from .errors import StoppedError, UnreachableError
from .explain import network_error, not_moedsr, refusal
from .patience import Patience
from .records import broke_off


class _Bearer(AuthBase):
    """Our token, or none.

    Being there it also keeps ``requests`` from sending a password of the user's .netrc.
    """

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: Any) -> Any:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Transport:
    """Requests of one thread to one server. No redirect is followed, so the token stays here.

    Args:
        address: The server.
        patience: How long to wait for it.
    """

    def __init__(self, address: Address, patience: Patience) -> None:
        self.address, self.patience = address, patience
        self._stopped = threading.Event()
        self._open: requests.Response | None = None
        self._session = requests.Session()
        self._session.trust_env = not address.is_loopback  # no proxy stands before loopback
        self._session.auth = _Bearer(address.token)
        self._session.headers["Accept-Encoding"] = "identity"  # frames are compressed already

    def json(self, method: str, path: str, **more: Any) -> Any:
        """An answer as JSON; the arguments are those of :meth:`ask`."""
        with self.ask(method, path, **more) as answer:
            try:
                return answer.json()
            except ValueError as error:
                raise not_moedsr(answer, self.address) from error

    def ask(self, method: str, path: str, *, repeat: bool = True, **more: Any) -> requests.Response:
        """Send one request; the caller closes the answer.

        Args:
            method: GET, POST or DELETE.
            path: What follows ``/v1``.
            repeat: Whether to send it again where no answer came.
            more: Arguments of ``requests``.

        Raises:
            UnreachableError: If no answer comes, also when asked again.
            RefusedError: If the server says no.
            BackendError: If this server cannot be used.
            StoppedError: If :meth:`stop` was called.
        """
        failures, told_to_wait = 0, 0.0
        while True:
            try:
                return self._send(method, path, **more)
            except UnreachableError as error:
                wait = error.wait_s
                if wait is None:
                    failures += 1
                    wait = self.patience.wait(failures)
                else:
                    told_to_wait += wait
                gone = failures > self.patience.retries or told_to_wait > self.patience.busy_s
                if not repeat or gone:
                    raise
            self.pause(wait)

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            StoppedError: As soon as :meth:`stop` is called.
        """
        if self._stopped.wait(seconds):
            raise StoppedError("stopped on request")

    def stop(self) -> None:
        """Give up, now and in future, whatever the owning thread is waiting for."""
        self._stopped.set()
        shutdown = getattr(getattr(self._open, "raw", None), "shutdown", None)
        if shutdown is not None:  # urllib3 2.3 and later; before, the next record ends the wait
            with suppress(Exception):  # it may have ended by itself meanwhile
                shutdown()

    def guarded(self, answer: requests.Response, chunk: int) -> Iterator[bytes]:
        """Bytes of an answer, in pieces as they come; failures are our own errors.

        Raises:
            UnreachableError: If the answer breaks off or falls silent.
            StoppedError: If :meth:`stop` was called.
        """
        self._open = answer
        try:
            for piece in answer.iter_content(chunk):
                self.pause(0.0)
                yield piece
        except (requests.RequestException, OSError, AttributeError) as error:
            self.pause(0.0)  # who stops us tears the connection
            raise network_error(error, self.address, begun=True) from error
        finally:
            self._open = None

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _send(self, method: str, path: str, **more: Any) -> requests.Response:
        self.pause(0.0)
        try:
            answer = self._session.request(
                method, f"{self.address.url}/v1{path}", allow_redirects=False,
                verify=self.address.verify,
                timeout=(self.patience.connect_s, self.patience.silence_s), **more,
            )  # fmt: skip
        except (requests.RequestException, OSError, ValueError) as error:
            raise network_error(error, self.address) from error
        if not more.get("stream") and _is_cut(answer):
            raise UnreachableError(broke_off(self.address.url))
        if not 200 <= answer.status_code < 300:
            with answer:
                raise refusal(answer, self.address)
        return answer


def _is_cut(answer: requests.Response) -> bool:
    """Whether an answer ended too early: what reads it takes one cut in its headers for empty."""
    headers = answer.headers
    if answer.status_code == 204 or "Transfer-Encoding" in headers or "Content-Encoding" in headers:
        return False
    length = headers.get("Content-Length", "1")
    return length.isdigit() and len(answer.content) < int(length)
