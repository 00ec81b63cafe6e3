"""The container of compact frames: whole numbers as byte planes, in an npz archive without pickle.

Records come from outside as well: every size is checked before anything is unpacked.

This file imports numpy and the standard library only: the plugin carries a copy of it.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping

import numpy as np

MAX_UNPACKED_BYTES = 2**27
"""Largest record, unpacked [bytes]; checked before anything is unpacked."""

_LEVEL = 4
"""Of deflate. Level 6 saves 1 % and makes a frame take a third longer, level 1 costs 3 %."""
_PLANES = 5
_DIRECTORY_ENTRY = b"PK\x01\x02"
_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every member, so that the same frame gives the same bytes."""


class Damaged(Exception):
    """What came in place of a record, to end the sentence "expected a compact frame, got"."""


def zigzag(values: np.ndarray) -> np.ndarray:
    """0, -1, 1, -2 … to 0, 1, 2, 3 …, so that small numbers have empty high bytes."""
    return (values << 1) ^ (values >> 63)


def unzigzag(values: np.ndarray) -> np.ndarray:
    """Undo :func:`zigzag`."""
    return (values >> 1) ^ -(values & 1)


def to_planes(values: np.ndarray) -> np.ndarray:
    """Lowest bytes of all numbers, then their next, as many as the largest needs; uint8 (k, n)."""
    k = max((int(values.max(initial=0)).bit_length() + 7) // 8, 1)
    return np.stack([(values >> 8 * byte & 255).astype(np.uint8) for byte in range(k)])


def from_planes(planes: np.ndarray) -> np.ndarray:
    """Undo :func:`to_planes`, int64."""
    if planes.ndim != 2 or not 1 <= len(planes) <= _PLANES:
        raise Damaged(f"one with numbers of {planes.shape} bytes")
    values = np.zeros(planes.shape[1], np.int64)
    for byte, plane in enumerate(planes):
        values |= plane.astype(np.int64) << 8 * byte
    return values


def pack(members: Mapping[str, np.ndarray], dtypes: Mapping[str, str]) -> bytes:
    """Write arrays as npz, in their types; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in members.items():
            info = zipfile.ZipInfo(f"{name}.npy", _DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            stream = io.BytesIO()
            np.lib.format.write_array(stream, array.astype(dtypes[name]), (1, 0), False)
            archive.writestr(info, stream.getvalue(), compresslevel=_LEVEL)
    return buffer.getvalue()


def unpack(data: bytes, dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Arrays of an archive, unpacked only once its directory has been found harmless.

    Raises:
        Damaged: If it holds other arrays than those of ``dtypes``, or too much.
        Exception: Whatever else comes of bytes that are no archive.
    """
    if data.count(_DIRECTORY_ENTRY) > 4 * len(dtypes):
        raise Damaged("an archive of many more members")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        names = [info.filename.removesuffix(".npy") for info in infos]
        if len(set(names)) != len(names) or not set(names) <= set(dtypes):
            raise Damaged("an archive of other arrays")
        if sum(info.file_size for info in infos) > MAX_UNPACKED_BYTES:
            raise Damaged(f"one that unpacks to more than {MAX_UNPACKED_BYTES >> 20} MB")
        return {
            name: _array(name, _unpacked(archive, info), dtypes[name])
            for name, info in zip(names, infos)  # noqa: B905 (Python 3.9 knows no strict)
        }


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """One member; what is longer than its directory entry says is not unpacked."""
    if info.compress_type != zipfile.ZIP_DEFLATED:
        raise Damaged("an archive that is not deflated")
    with archive.open(info) as file:
        data = file.read(info.file_size)
        if len(data) != info.file_size or file.read(1):
            raise Damaged("an archive whose directory lies")
    return data


def _array(name: str, data: bytes, expected: str) -> np.ndarray:
    """One member, read without trusting the size that its header claims."""
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise Damaged(f"{name} in another format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    size = math.prod(shape) * dtype.itemsize
    if dtype.str != expected or fortran or min(shape, default=0) < 0:
        raise Damaged(f"{name} as {dtype}")
    if size != len(data) - stream.tell():
        raise Damaged(f"{name} of {len(data) - stream.tell()} bytes, {size} announced")
    if not size:
        return np.empty(shape, dtype)
    return np.frombuffer(data, dtype, math.prod(shape), stream.tell()).reshape(shape)
