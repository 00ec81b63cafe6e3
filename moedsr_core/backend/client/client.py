"""One server, call by call."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import quote

import numpy as np

from .address import Address
from .errors import BackendError, RefusedError
from .explain import not_moedsr
from .patience import Patience
from .records import Record, pack_request, read_records
from .transport import Transport

_CHUNK = 1 << 16


class BackendClient:
    """A connection to a server; each thread has its own.

    Args:
        address: Where it is, and what proves that we may ask.
        patience: How long to wait for it.
    """

    def __init__(self, address: Address, patience: Patience | None = None) -> None:
        self.address, self.patience = address, patience or Patience()
        self._transport = Transport(address, self.patience)

    def again(self) -> BackendClient:
        """Another connection to the same server, for another thread."""
        return BackendClient(self.address, self.patience)

    def health(self) -> dict[str, Any]:
        """Who answers: name, version, protocol, device, and how busy it is.

        Raises:
            BackendError: If it is no moedsr server.
        """
        try:
            with self._transport.ask("GET", "/health") as answer:
                try:
                    health = answer.json()
                except ValueError:
                    health = None
                if not isinstance(health, dict) or health.get("name") != "moedsr":
                    raise not_moedsr(answer, self.address)
                return health
        except RefusedError as error:
            if error.status in (404, 405):
                raise BackendError(
                    f"what answers at {self.address.url} is not a moedsr server (it knows no "
                    "/v1/health); check the address and the port"
                ) from error
            raise

    def models(self) -> list[dict[str, Any]]:
        """The models that can be chosen."""
        return self._rows("/models")

    def card(self, model: str) -> str:
        """What is told of one model, as Markdown.

        Raises:
            RefusedError: If there is no such model, or nothing is told of it.
        """
        with self._transport.ask("GET", f"/models/{quote(model, safe='')}/card") as answer:
            return answer.content.decode("utf-8", errors="replace")

    def create(self, arrays: dict[str, np.ndarray], options: dict[str, Any]) -> str:
        """Start a job.

        It is sent again where the answer is lost: the server may tell by the Idempotency-Key that
        it has it already, and equal jobs are computed once.

        Args:
            arrays: The atoms: ``coords`` [Å] (atoms, 3), names, ids and ``residue_index``.
            options: The job's options.

        Returns:
            Its id.

        Raises:
            RefusedError: If the server does not want it.
            UnreachableError: If it does not answer.
        """
        headers = {
            "Idempotency-Key": secrets.token_hex(16),
            "Content-Type": "application/octet-stream",
        }
        job = self._transport.json(
            "POST", "/jobs", data=pack_request(arrays, options), headers=headers
        )
        if not isinstance(job, dict) or not job.get("id"):
            raise BackendError(
                f"{self.address.url} started a job without naming it; update that server"
            )
        return str(job["id"])

    def jobs(self) -> list[dict[str, Any]]:
        """Status of our jobs, newest first."""
        return self._rows("/jobs")

    def status(self, job: str) -> dict[str, Any]:
        """Status of one job.

        Raises:
            RefusedError: If there is no such job of ours.
        """
        status = self._transport.json("GET", f"/jobs/{_plain(job)}")
        return status if isinstance(status, dict) else {}

    def stream(self, job: str, from_frame: int = 0) -> Iterator[Record]:
        """Records of a job, from one frame on, as they are made, over one connection.

        Raises:
            UnreachableError: If the stream breaks off or falls silent; it can be asked for again.
            RefusedError: If there is no such job.
            BackendError: If what comes is not the protocol.
            StoppedError: If :meth:`stop` was called.
        """
        path = f"/jobs/{_plain(job)}/stream?from={from_frame}"
        with self._transport.ask("GET", path, stream=True, repeat=False) as answer:
            pieces = self._transport.guarded(answer, _CHUNK)
            yield from read_records(pieces, self.address.url)

    def result(self, job: str, file: BinaryIO) -> None:
        """Write the whole result of a finished job, an npz, to a file.

        It is asked for anew from its beginning where it breaks off.

        Raises:
            RefusedError: If it is not finished, or there is none.
        """
        failures = 0
        while True:
            try:
                return self._download(f"/jobs/{_plain(job)}/result", file)
            except BackendError as error:
                failures += 1
                if isinstance(error, RefusedError) or failures > self.patience.retries:
                    raise
            self._transport.pause(self.patience.wait(failures))

    def cancel(self, job: str) -> str:
        """Stop a job; its finished frames stay.

        Returns:
            What came of it, as a sentence: it may have ended before.
        """
        status = self._transport.json("POST", f"/jobs/{_plain(job)}/cancel")
        state = status.get("state") if isinstance(status, dict) else None
        if state in ("done", "failed"):
            return f"job {job} had ended already ({state})"
        return f"job {job} is cancelled"

    def delete(self, job: str) -> None:
        """Forget a job and what it made."""
        self._transport.ask("DELETE", f"/jobs/{_plain(job)}").close()

    def stop(self) -> None:
        """Make the thread that owns this client give up, which raises StoppedError there."""
        self._transport.stop()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _download(self, path: str, file: BinaryIO) -> None:
        with self._transport.ask("GET", path, stream=True) as answer:
            file.seek(0)
            file.truncate()
            for piece in self._transport.guarded(answer, _CHUNK):
                file.write(piece)
            length = answer.headers.get("Content-Length", "")
            if length.isdigit() and file.tell() != int(length):
                raise BackendError(f"{self.address.url} sent less of a result than it has; retry")

    def _rows(self, path: str) -> list[dict[str, Any]]:
        rows = self._transport.json("GET", path)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise BackendError(
                f"{self.address.url} answers {path} with no list; update that server"
            )
        return rows


def _plain(job: str) -> str:
    """A job's id, which goes into a path.

    Raises:
        RefusedError: If it is none.
    """
    if not job.isascii() or not job.isalnum():
        raise RefusedError(f"there is no job '{job[:40]}'; ids stand in the list of jobs", 404)
    return job
