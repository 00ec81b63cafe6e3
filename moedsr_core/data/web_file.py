"""One large file from a web server that may break off, be busy, or send something else."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import requests

from moedsr_core.backend.client.explain import retry_after
from moedsr_core.choices import check_number
from moedsr_core.data.claim import claim
from moedsr_core.errors import CancelledError, InputError
from moedsr_core.files import whole_file, write_all, writing
from moedsr_core.wording import reason

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which it is worth asking again."""
_CHUNK = 1 << 16
_DIGESTS = {"sha-256": "sha256", "sha-512": "sha512", "sha": "sha1", "md5": "md5"}
"""Names in HTTP headers (RFC 3230, RFC 9530) and in :mod:`hashlib`."""


@dataclass(frozen=True, kw_only=True)
class WebConfig:
    """How patiently and how politely a server is asked."""

    retries: int = 8
    """Failures in a row, without a byte between, after which a file is given up."""
    first_wait: float = 1.0
    """Wait after the first failure [s]; doubles with each."""
    longest_wait: float = 300.0
    """Longest wait [s]; a server that asks for more is left alone and the file given up."""
    pause: float = 1.0
    """Wait between two files [s]."""
    timeout: float = 60.0
    """Silence after which a connection counts as broken [s]."""
    megabytes_per_second: float | None = None
    """Upper limit of the rate; none by default."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_number("retries", self.retries, 0, 1000, whole=True)
        for name in ("first_wait", "longest_wait", "pause"):
            check_number(name, getattr(self, name), 0.0, 86_400.0)
        check_number("timeout", self.timeout, 0.01, 86_400.0)
        if self.megabytes_per_second is not None:
            check_number("megabytes_per_second", self.megabytes_per_second, 1e-3, 1e6)


@dataclass(frozen=True)
class _Marks:
    """What tells one version of a file from another, as the server said it first."""

    url: str
    etag: str | None = None
    modified: str | None = None
    size: int | None = None
    digests: dict[str, str] = field(default_factory=dict)
    """Checksums of the whole file, base64, by their name in :mod:`hashlib`."""


class _Again(Exception):
    """Worth another try, after a wait that the server may have named [s]."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class WebFile:
    """A file on a server and the part of it that is here.

    What has arrived is kept in ``path`` and, with its marks, ``path.json``; a later call asks for
    the rest (HTTP Range) on condition that the file is still the same (If-Range).

    Args:
        url: Where it is.
        path: Where it goes.
        config: How to ask.
        report: Is told the bytes that are here, and how many there will be, where that is known.
        stop: Ends the work early when set.
    """

    def __init__(
        self,
        url: str,
        path: Path,
        config: WebConfig,
        report: Callable[[int, int | None], None] = lambda here, whole: None,
        stop: threading.Event | None = None,
    ) -> None:
        self.url, self.path, self._config, self._report = url, path, config, report
        self._stop = stop or threading.Event()
        self._marks_path = path.with_name(f"{path.name}.json")
        self._wrong = 0

    def fetch(self) -> None:
        """Bring all of it here.

        Raises:
            InputError: If the server has no such file, refuses it, stays silent or busy, or sends
                what does not agree with its own size or checksum; or if the disk is full.
            CancelledError: If told to stop.
        """
        failures = 0
        while True:
            before = self._here()
            try:
                self._ask()
                return
            except _Again as error:
                reason, named = str(error), error.wait
            except requests.RequestException as error:
                reason, named = _network_reason(error), None
            failures = 1 if self._here() > before else failures + 1
            if failures > self._config.retries:
                raise InputError(
                    f"{self.url} could not be had: {reason}; what has arrived is kept, try later"
                )
            self._wait(failures, named, reason)

    def discard(self) -> None:
        """Remove what is here."""
        self.path.unlink(missing_ok=True)
        self._marks_path.unlink(missing_ok=True)

    def _here(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _wait(self, failures: int, named: float | None, reason: str) -> None:
        wait = self._config.first_wait * 2 ** (failures - 1)
        wait = max(min(wait, self._config.longest_wait), named or 0.0)
        if wait > self._config.longest_wait:
            raise InputError(f"{self.url}: {reason}, and asks to come back in {wait:.0f} s")
        if self._stop.wait(wait):
            raise CancelledError("stopped; what has arrived is kept")

    def _ask(self) -> None:
        """One request, from where the last one ended."""
        marks, here = self._known_marks(), self._here()
        if marks.size is not None and here == marks.size:
            self._check(marks)
            return
        headers = {"Accept-Encoding": "identity", "User-Agent": "moedsr"}
        if here:
            headers["Range"] = f"bytes={here}-"
            validator = marks.etag or marks.modified
            if validator:
                headers["If-Range"] = validator
        timeout = self._config.timeout
        with requests.get(self.url, headers=headers, stream=True, timeout=timeout) as answer:
            marks, place = self._judge(answer, marks, here)
            self._receive(answer, marks, place)
        self._check(marks)

    def _refuse_twice(self, reason: str) -> None:
        """A file that came whole and was wrong is asked for once more, not for ever."""
        self._wrong += 1
        if self._wrong > 1:
            raise InputError(f"{self.url} is damaged on the server: {reason}; tell its owners")
        raise _Again(reason)

    def _known_marks(self) -> _Marks:
        """Marks of what is here; what cannot be told apart is removed."""
        try:
            marks = _Marks(**json.loads(self._marks_path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            marks = _Marks("")
        if marks.url != self.url:
            self.discard()
            return _Marks(self.url)
        return marks

    def _judge(self, answer: requests.Response, marks: _Marks, here: int) -> tuple[_Marks, int]:
        """Marks of what comes, and where in the file it belongs."""
        code = answer.status_code
        if code in _BUSY:
            raise _Again(f"the server answers {code}", retry_after(answer))
        if code == 416:
            self.discard()
            raise _Again("the server has less of it than is here")
        if code == 206:
            start, whole = _content_range(answer)
            etag = answer.headers.get("ETag", marks.etag)
            sizes = {size for size in (whole, marks.size) if size is not None}
            if start != here or len(sizes) > 1 or (marks.etag and etag != marks.etag):
                self.discard()
                raise _Again("the server sends another part than was asked for")
            return replace(marks, size=max(sizes, default=None)), here
        if code != 200:
            raise InputError(f"{self.url} is not to be had: the server answers {code}; check it")
        return self._new_marks(answer), 0

    def _new_marks(self, answer: requests.Response) -> _Marks:
        """Note a file that comes from its beginning."""
        with writing(self.path):
            self.path.write_bytes(b"")
        encoded = answer.headers.get("Content-Encoding", "identity") != "identity"
        length = "" if encoded else answer.headers.get("Content-Length", "")
        etag = answer.headers.get("ETag")
        marks = _Marks(
            self.url,
            None if etag is None or etag.startswith("W/") else etag,
            answer.headers.get("Last-Modified"),
            int(length) if length.isdigit() else None,
            _digests(answer),
        )
        with whole_file(self._marks_path) as file:
            file.write(json.dumps(asdict(marks)).encode())
        return marks

    def _receive(self, answer: requests.Response, marks: _Marks, place: int) -> None:
        start, received = time.monotonic(), 0
        rate = self._config.megabytes_per_second
        with self.path.open("ab", buffering=0) as file:
            if not claim(file) or file.seek(0, os.SEEK_END) != place:
                raise InputError(f"another run is downloading {self.path}; let it end")
            for chunk in answer.iter_content(_CHUNK):
                with writing(self.path):  # not around all: a broken connection is an OSError too
                    write_all(file, chunk)
                received += len(chunk)
                self._report(place + received, marks.size)
                early = received / (1e6 * rate) - (time.monotonic() - start) if rate else 0.0
                if self._stop.wait(max(early, 0.0)):
                    raise CancelledError("stopped; what has arrived is kept")

    def _check(self, marks: _Marks) -> None:
        """Compare with the size and the checksums that the server gave."""
        here = self._here()
        if marks.size is not None and here < marks.size:
            raise _Again(f"the connection broke off at {here} of {marks.size} bytes")
        if marks.size is not None and here > marks.size:
            self.discard()
            raise _Again(f"{here} bytes came instead of {marks.size}")
        for name, expected in marks.digests.items():
            if _digest_of(self.path, name) != expected:
                self.discard()
                self._refuse_twice(f"its {name} checksum is not the one that the server gives")


def _content_range(answer: requests.Response) -> tuple[int, int | None]:
    found = re.fullmatch(
        r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip()
    )
    if found is None:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _digests(answer: requests.Response) -> dict[str, str]:
    """Checksums of a file that was sent whole, from any header that may carry them.

    An ETag is compared, never recomputed: what it is made from is the server's own affair.
    """
    found = {}
    if "Content-MD5" in answer.headers:
        found["md5"] = answer.headers["Content-MD5"].strip()
    for header in ("Digest", "Repr-Digest", "Content-Digest"):
        for part in answer.headers.get(header, "").split(","):
            name, _, value = part.strip().partition("=")
            if name.lower() in _DIGESTS and value:
                found[_DIGESTS[name.lower()]] = value.strip().strip(":")
    return found


def _digest_of(path: Path, name: str) -> str:
    """Checksum of a file, base64, by a name of :mod:`hashlib`."""
    digest = hashlib.new(name, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()


def _network_reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "the server stays silent"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "there is no connection to the server"
    return reason(error)
