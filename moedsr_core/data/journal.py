"""Frames of something in the making: one append-only file that no kill can spoil.

Two lines of text say what is being made; records of one length follow, each with its own checksum.
A process that is killed leaves at most its last record torn, and that one is written over when
the file is opened again. (An HDF5 file that loses its writer may not open at all.)
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import BinaryIO

from moedsr_core.data.claim import claim
from moedsr_core.errors import InputError
from moedsr_core.files import write_all, writing

_NUMBER, _CHECK = 4, 4
"""Bytes of the frame number before a record's body, and of the CRC-32 behind it."""


class Journal:
    """Records numbered by frame, in any order, claimed by one process at a time.

    Args:
        path: File to begin, or to go on with.
        recipe: What is being made; a file of another recipe is refused.
        length: Bytes of each record's body.
        kind: What the frames are of.

    Raises:
        InputError: If the file is foreign, of another recipe, in use by another process, or
            cannot be written.
    """

    def __init__(self, path: Path, recipe: dict, length: int, kind: str = "surfaces") -> None:
        self.path = path
        self._magic = f"moedsr {kind} in the making 1\n".encode()
        self.length = length
        self._recipe = recipe
        self._places: dict[int, int] = {}
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            self._file: BinaryIO = path.open("r+b", buffering=0)
        try:
            if not claim(self._file):
                raise InputError(f"another run is working on {path}; let it end, or stop it first")
            with writing(path):
                self._end = self._begin()
                self._recover()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        """The journal itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Close the file."""
        self.close()

    def __contains__(self, number: int) -> bool:
        """Whether a frame is there, whole."""
        return number in self._places

    def __len__(self) -> int:
        """Frames that are there."""
        return len(self._places)

    def append(self, number: int, body: bytes) -> None:
        """Add a frame; once this returns, neither a kill nor a power cut takes it away.

        Raises:
            InputError: If the disk is full, the body is of another length, or the frame is there.
        """
        if len(body) != self.length or number in self._places:
            raise InputError(
                f"{self.path} takes each frame once, {self.length} bytes long; got "
                f"{len(body)} bytes for frame {number}"
            )
        record = number.to_bytes(_NUMBER, "little") + body
        record += zlib.crc32(record).to_bytes(_CHECK, "little")
        with writing(self.path):
            self._write(self._end, record)
        self._places[number] = self._end + _NUMBER
        self._end += len(record)

    def read(self, number: int) -> bytes:
        """Body of one frame."""
        self._file.seek(self._places[number])
        return self._file.read(self.length)

    def close(self) -> None:
        """Close the file and let others work on it."""
        self._file.close()

    def _begin(self) -> int:
        """Write or check the two lines at the head; returns where records start."""
        head = self._magic + json.dumps({**self._recipe, "record": self.length}).encode() + b"\n"
        self._file.seek(0)
        found = self._file.read(len(head))
        if found != head:
            if not head.startswith(found):
                self._refuse(found)
            self._write(0, head)
        return len(head)

    def _refuse(self, found: bytes) -> None:
        self._file.seek(0)
        if self._file.readline(len(self._magic)) != self._magic:
            raise InputError(f"{self.path} is in the way and not ours; move it elsewhere")
        try:
            known = json.loads(self._file.readline())
        except ValueError as error:
            raise InputError(f"{self.path} is damaged; remove it to start over") from error
        raise InputError(
            f"{self.path} was begun with {differences(known, self._recipe)}; "
            "give another folder, or remove it to start over"
        )

    def _recover(self) -> None:
        """Find all whole records; the next one goes behind them, over what may follow."""
        size = _NUMBER + self.length + _CHECK
        while True:
            self._file.seek(self._end)
            record = self._file.read(size)
            if len(record) < size or not _is_whole(record):
                break
            number = int.from_bytes(record[:_NUMBER], "little")
            self._places[number] = self._end + _NUMBER
            self._end += size

    def _write(self, place: int, data: bytes) -> None:
        self._file.seek(place)
        write_all(self._file, data)
        os.fsync(self._file.fileno())


def differences(known: dict, wanted: dict) -> str:
    """What two recipes differ in, in words: ``points 2000, not 4000``."""
    known, wanted = _flat(known), _flat(wanted)
    keys = [key for key in wanted if known.get(key) != wanted[key]]
    return ", ".join(f"{key} {known.get(key)}, not {wanted[key]}" for key in keys) or "another head"


def _flat(recipe: dict) -> dict:
    flat: dict = {}
    for key, value in recipe.items():
        flat |= _flat(value) if isinstance(value, dict) else {key: value}
    return flat


def _is_whole(record: bytes) -> bool:
    body, check = record[:-_CHECK], record[-_CHECK:]
    return zlib.crc32(body) == int.from_bytes(check, "little")
