"""The folder of one job: its request, and what it has made so far, one file a record."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moedsr_core.backend.refusals import DiskFullError, is_disk_full
from moedsr_core.backend.wire.records import record_line
from moedsr_core.errors import BackendError, InputError
from moedsr_core.files import whole_file

_REQUEST = "request.npz"
_LONGEST_HEAD = 4096


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a folder holds."""

    records: int = 0
    """Records in a row that are whole."""
    frames: int = 0
    """Those of them that are frames."""
    bytes: int = 0
    """Size of the records and the request [bytes]."""


class Spool:
    """Records of one job in the order in which they are streamed.

    A file holds a record as it is streamed, its line of JSON first, and appears whole or not at
    all.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, request: bytes) -> None:
        """Make the folder, with the request in it.

        Raises:
            DiskFullError: If there is no space; nothing is left behind then.
            BackendError: If it cannot be written for another reason.
        """
        try:
            with _disk_errors():
                self.folder.mkdir()
                with whole_file(self.folder / _REQUEST) as file:
                    file.write(request)
        except BackendError:
            self.remove()
            raise

    def request(self) -> bytes:
        """The request as it came.

        Raises:
            BackendError: If the file is gone.
        """
        try:
            return (self.folder / _REQUEST).read_bytes()
        except OSError as error:
            raise BackendError("the files of this job were deleted; send it again") from error

    def add(self, place: int, head: Mapping[str, Any], data: bytes) -> int:
        """Write the record of a place.

        Returns:
            Its size on disk [bytes].

        Raises:
            DiskFullError: If there is no space.
            BackendError: If it cannot be written for another reason.
        """
        line = record_line(head, len(data))
        with _disk_errors(), whole_file(self._path(place)) as file:
            file.write(line)
            file.write(data)
        return len(line) + len(data)

    def read(self, place: int) -> bytes | None:
        """A record as it is streamed; None where its file is gone."""
        try:
            return self._path(place).read_bytes()
        except OSError:
            return None

    def head(self, place: int) -> dict[str, Any] | None:
        """The first line of a record; None where the file is gone or not whole."""
        try:
            with self._path(place).open("rb") as file:
                line = file.readline(_LONGEST_HEAD)
                head = json.loads(line)
                whole = len(line) + head["bytes"] == file.seek(0, 2)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return head if whole else None

    def last_frame(self, records: int) -> bytes | None:
        """The last frame among the first records, as it is streamed."""
        for place in reversed(range(records)):
            if (self.head(place) or {}).get("type") == "frame":
                return self.read(place)
        return None

    def contents(self, records: int) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Line and content of each of the first records.

        Raises:
            BackendError: If a file is gone.
        """
        for place in range(records):
            record = self.read(place)
            if record is None:
                raise BackendError("the files of this job were deleted; run it again")
            line, _, data = record.partition(b"\n")
            yield json.loads(line), data

    def recount(self) -> Held:
        """Find the records that are whole, and remove whatever else a killed process left."""
        records, frames, size = 0, 0, _size(self.folder / _REQUEST)
        while (head := self.head(records)) is not None:
            frames += head["type"] == "frame"
            size += _size(self._path(records))
            records += 1
        kept = {self._path(place).name for place in range(records)} | {_REQUEST}
        for path in self.folder.glob("*"):
            if path.name not in kept:
                path.unlink(missing_ok=True)
        return Held(records=records, frames=frames, bytes=size)

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, place: int) -> Path:
        return self.folder / f"{place:05d}.rec"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, InputError) as error:
        if is_disk_full(error):
            raise DiskFullError() from error
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        reason = getattr(cause, "strerror", None) or "it could not be written"
        raise BackendError(
            f"the server could not keep this job: {reason}; tell its owner"
        ) from error
