"""The stream of a job, record by record, and the body of a request."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import BackendError, UnreachableError

MAX_LINE_BYTES = 1 << 20
MAX_RECORD_BYTES = 1 << 28
"""Largest record, packed and unpacked [bytes]; a frame of a million triangles takes a tenth."""


@dataclass(frozen=True)
class Record:
    """One record of a job's stream.

    Attributes:
        kind: ``progress``, ``frame``, ``attributes`` or ``end``.
        fields: Its JSON line.
        arrays: What followed the line; of a frame nothing until it is decoded.
        data: The bytes of that.
    """

    kind: str
    fields: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    data: bytes = b""

    @property
    def index(self) -> int:
        """Number of a frame; -1 where it says none."""
        index = self.fields.get("index")
        return index if isinstance(index, int) and index >= 0 else -1


def pack_request(arrays: dict[str, np.ndarray], options: dict[str, Any]) -> bytes:
    """Body of ``POST /v1/jobs``: the atoms and the options, as npz without pickle."""
    buffer = io.BytesIO()
    members: dict[str, Any] = {"options": np.array(json.dumps(options)), **arrays}
    np.savez_compressed(buffer, **members)
    return buffer.getvalue()


def read_records(chunks: Iterator[bytes], origin: str = "the backend") -> Iterator[Record]:
    """Split the bytes of a stream into records.

    Args:
        chunks: The bytes, in pieces of any size.
        origin: Who sends them, for sentences.

    Raises:
        BackendError: If they do not follow the protocol.
        UnreachableError: If they end in the middle of a record.
    """
    reader = _Reader(chunks, origin)
    while True:
        line = reader.line()
        if line is None:
            return
        fields = _json_line(line, origin)
        size = fields.get("bytes", 0)
        if not isinstance(size, int) or not 0 <= size <= MAX_RECORD_BYTES:
            raise BackendError(f"{origin} sent a record of impossible size; update or restart it")
        data = reader.exactly(size)
        kind = str(fields.get("type"))
        arrays = _arrays(data, origin) if size and kind != "frame" else {}
        yield Record(kind=kind, fields=fields, arrays=arrays, data=data)


class _Reader:
    """Lines and blocks out of chunks of any size."""

    def __init__(self, chunks: Iterator[bytes], origin: str) -> None:
        self._chunks, self._origin = chunks, origin
        self._held = bytearray()

    def line(self) -> bytes | None:
        """The next line; None at the end of the stream."""
        while b"\n" not in self._held:
            if len(self._held) > MAX_LINE_BYTES:
                raise BackendError(_no_record(self._origin))
            if not self._more():
                if self._held:
                    raise UnreachableError(broke_off(self._origin))
                return None
        return self._take(self._held.index(b"\n") + 1)

    def exactly(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        while len(self._held) < size:
            if not self._more():
                raise UnreachableError(broke_off(self._origin))
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


def stage_of(progress: dict[str, Any]) -> str:
    """What a progress record tells of, in words."""
    place, stage = progress.get("queue_position"), str(progress.get("stage"))
    if isinstance(place, int) and place > 0:
        return f"waiting, {place} before it"
    return "waiting" if stage == "queued" else stage


def broke_off(origin: str) -> str:
    """Sentence for an answer that ended too early."""
    return f"the answer of {origin} broke off"


def _no_record(origin: str) -> str:
    return f"{origin} sent something that is no record; update or restart it"


def _json_line(line: bytes, origin: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise BackendError(_no_record(origin))
    return fields


def _arrays(data: bytes, origin: str) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > MAX_RECORD_BYTES:
            raise ValueError(f"{size} bytes unpacked")
        with np.load(io.BytesIO(data), allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except Exception as error:  # damaged archives fail in many ways
        raise BackendError(
            f"{origin} sent a frame that cannot be read; update or restart it"
        ) from error
