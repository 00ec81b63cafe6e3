"""The wire protocol, version 1, seen from PyMOL: requests out, records in."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import requests

from .errors import BackendError, RefusedError, SilentStreamError

CONNECT_S = 5.0
"""How long a connection may take [s]; loopback takes milliseconds."""
SILENCE_S = 30.0
"""Longest silence of a stream [s]; the protocol promises a record every 2 s."""
MAX_LINE_BYTES = 1 << 20
MAX_RECORD_BYTES = 1 << 30


@dataclass(frozen=True)
class Record:
    """One record of a job's stream.

    Attributes:
        kind: ``progress``, ``frame``, ``attributes`` or ``end``.
        fields: Its JSON line.
        arrays: What followed the line.
    """

    kind: str
    fields: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def pack_request(arrays: dict[str, np.ndarray], options: dict[str, Any]) -> bytes:
    """Body of ``POST /v1/jobs``: the atoms and the options, as npz without pickle."""
    buffer = io.BytesIO()
    members: dict[str, Any] = {"options": np.array(json.dumps(options)), **arrays}
    np.savez_compressed(buffer, **members)
    return buffer.getvalue()


def read_records(chunks: Iterator[bytes]) -> Iterator[Record]:
    """Split the bytes of a stream into records.

    Raises:
        BackendError: If they do not follow the protocol.
        SilentStreamError: If they end in the middle of a record.
    """
    reader = _Reader(chunks)
    while True:
        line = reader.line()
        if line is None:
            return
        fields = _json_line(line)
        size = fields.get("bytes", 0)
        if not isinstance(size, int) or not 0 <= size <= MAX_RECORD_BYTES:
            raise BackendError("the backend sent a record of impossible size; restart it")
        arrays = _arrays(reader.exactly(size)) if size else {}
        yield Record(kind=str(fields.get("type")), fields=fields, arrays=arrays)


class _Reader:
    """Lines and blocks out of chunks of any size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = bytearray()

    def line(self) -> bytes | None:
        """The next line; None at the end of the stream."""
        while b"\n" not in self._held:
            if len(self._held) > MAX_LINE_BYTES:
                raise BackendError("the backend sent something that is no record; restart it")
            if not self._more():
                if self._held:
                    raise SilentStreamError("the backend's answer broke off")
                return None
        return self._take(self._held.index(b"\n") + 1)

    def exactly(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        while len(self._held) < size:
            if not self._more():
                raise SilentStreamError("the backend's answer broke off")
        return self._take(size)

    def _more(self) -> bool:
        chunk = next(self._chunks, None)
        if chunk is not None:
            self._held += chunk
        return chunk is not None

    def _take(self, size: int) -> bytes:
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken


def _json_line(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise BackendError("the backend sent something that is no record; restart it")
    return fields


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # damaged archives fail in many ways
        raise BackendError("the backend sent a frame that cannot be read; restart it") from error


class BackendClient:
    """One connection to a backend; each thread has its own.

    Args:
        url: Its address, without ``/v1``.
        token: What proves that we may ask.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url.rstrip("/"), token
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy stands between us and loopback
        self._session.headers["Authorization"] = f"Bearer {token}"

    def again(self) -> BackendClient:
        """Another connection to the same backend, for another thread."""
        return BackendClient(self.url, self.token)

    def health(self) -> dict[str, Any]:
        """Who answers: name, version, protocol, device, pid."""
        return self._json("GET", "/health")

    def models(self) -> list[dict[str, Any]]:
        """The models that can be chosen."""
        return self._json("GET", "/models")

    def create(self, arrays: dict[str, np.ndarray], options: dict[str, Any]) -> str:
        """Start a job.

        Returns:
            Its id.

        Raises:
            RefusedError: If the backend does not want it.
            BackendError: If it does not answer.
        """
        job = self._json("POST", "/jobs", data=pack_request(arrays, options))
        if not isinstance(job, dict) or "id" not in job:
            raise BackendError("the backend started a job without naming it; restart it")
        return str(job["id"])

    def stream(self, job: str, from_frame: int = 0) -> Iterator[Record]:
        """Records of a job, from one frame on, as they are made.

        Raises:
            SilentStreamError: If the stream breaks off or falls silent; it can be asked for again.
            RefusedError: If there is no such job.
            BackendError: If what comes is not the protocol.
        """
        answer = self._ask("GET", f"/jobs/{job}/stream?from={from_frame}", stream=True)
        with answer:
            try:
                yield from read_records(answer.iter_content(chunk_size=None))
            except requests.RequestException as error:
                raise SilentStreamError("the backend stopped answering") from error

    def cancel(self, job: str) -> None:
        """Stop a job."""
        self._ask("POST", f"/jobs/{job}/cancel").close()

    def delete(self, job: str) -> None:
        """Forget a job and what it made."""
        self._ask("DELETE", f"/jobs/{job}").close()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _json(self, method: str, path: str, **more: Any) -> Any:
        with self._ask(method, path, **more) as answer:
            try:
                return answer.json()
            except ValueError as error:
                raise BackendError("the backend's answer cannot be read; restart it") from error

    def _ask(self, method: str, path: str, **more: Any) -> requests.Response:
        try:
            answer = self._session.request(
                method, f"{self.url}/v1{path}", timeout=(CONNECT_S, SILENCE_S), **more
            )
        except requests.RequestException as error:
            raise SilentStreamError(
                "the backend does not answer; 'moedsr_backend stop' ends it and the next command "
                "starts another"
            ) from error
        if answer.status_code >= 400:
            with answer:
                raise RefusedError(_refusal(answer))
        return answer


def _refusal(answer: requests.Response) -> str:
    """The sentence of an error answer."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError, requests.RequestException):
        detail = None
    if isinstance(detail, str) and detail:
        return detail
    return f"the backend refused with HTTP {answer.status_code}; 'moedsr_backend stop' restarts it"
