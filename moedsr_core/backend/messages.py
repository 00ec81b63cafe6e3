"""Messages between the server and a worker: a line of JSON, and the bytes that it announces."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import IO, Any, TextIO

from moedsr_core.backend.wire.records import record_line
from moedsr_core.errors import BackendError, InputError

_LONGEST_LINE = 1 << 24

Message = tuple[dict[str, Any], bytes]
"""What is said, and the bytes that go with it."""


def write_message(file: IO[bytes], fields: Mapping[str, Any], data: bytes = b"") -> None:
    """Say something to the other process.

    Raises:
        OSError: If it has ended.
    """
    file.write(record_line(fields, len(data)))
    if data:
        file.write(data)
    file.flush()


def read_message(file: IO[bytes]) -> Message | None:
    """What the other process says next; None once it has ended.

    Raises:
        BackendError: If it says something that is no message.
    """
    line = file.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        return None
    try:
        fields = json.loads(line)
        size = int(fields["bytes"])
    except (ValueError, TypeError, KeyError) as error:
        raise BackendError("a worker said something that is no message") from error
    data = file.read(size) if size else b""
    return (fields, data) if len(data) == size else None


def private_stdin() -> int:
    """Move standard input to a descriptor of our own and leave an empty one in its place.

    On Windows a library that looks at its standard input while a thread reads that pipe would
    wait for the pipe's end.

    Raises:
        InputError: If there is none.
    """
    try:
        pipe = os.dup(0)
    except OSError as error:
        raise InputError(
            "this needs a pipe as standard input, got none; start it from the program that uses it"
        ) from error
    _point_at_null(0, os.O_RDONLY)
    return pipe


def private_stdout() -> int:
    """Keep standard output for the protocol; what else is printed goes to standard error."""
    pipe = os.dup(1)
    try:
        os.dup2(2, 1)
    except OSError:
        _point_at_null(1, os.O_WRONLY)
    return pipe


def text_channel(pipe: int) -> TextIO:
    """A descriptor as a file of plain text."""
    return os.fdopen(pipe, "w", encoding="ascii")


def _point_at_null(descriptor: int, mode: int) -> None:
    null = os.open(os.devnull, mode)
    os.dup2(null, descriptor)
    os.close(null)
