"""What a request body holds.

It comes from outside: every size is checked before anything is unpacked, and nothing is ever
unpickled.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from moedsr_core.backend.options import JobOptions, read_options
from moedsr_core.errors import InputError
from moedsr_core.structure import (
    Structure,
    from_arrays,
    polymer_heavy_atoms,
    refuse_too_many,
)

MAX_BODY_BYTES = 64 * 2**20
"""Largest request body, packed and unpacked [bytes]; 60,000 atoms take about a tenth."""
MAX_COORDINATE = 1.0e6
"""Largest coordinate that can be a place in a molecule [Å]."""
MAX_NAME_LENGTH = 16

_NAMES = ("elements", "atom_names", "residue_names", "residue_ids", "chain_ids")
REQUEST_ARRAYS = ("coords", *_NAMES, "residue_index", "options")

_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_DIRECTORY_ENTRY = b"PK\x01\x02"
_PLAIN_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """What a client asks for."""

    structure: Structure
    """The input molecule, with a polymer in it."""
    options: JobOptions
    """What to compute of it."""


def read_request(body: bytes) -> JobRequest:
    """Read the npz body of ``POST /v1/jobs``.

    Raises:
        InputError: If the body is not a plain npz archive of the arrays of the protocol, or
            they do not describe a molecule with a polymer.
    """
    arrays = _unpack(body)
    missing = [name for name in REQUEST_ARRAYS if name not in arrays]
    if missing:
        raise InputError(f"the request must hold the arrays {', '.join(missing)}; send them all")
    options = read_options(_text(arrays["options"]))
    return JobRequest(structure=_structure(arrays), options=options)


def _unpack(body: bytes) -> dict[str, np.ndarray]:
    if body.count(_DIRECTORY_ENTRY) > 4 * len(REQUEST_ARRAYS):
        raise InputError(
            f"the request must be an npz archive of {len(REQUEST_ARRAYS)} arrays, got many more"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = archive.infolist()
            _check_directory(members)
            packed = {info.filename[:-4]: _member(archive, info) for info in members}
    except InputError:
        raise
    except Exception as error:  # a hostile archive can fail in any way
        raise InputError(
            f"the request must be an npz archive, got one that cannot be read ({_short(error)})"
        ) from error
    return {name: _array(name, data) for name, data in packed.items()}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """What the directory promises of one member, and no byte more, however much it unpacks to."""
    with archive.open(info) as file:
        return file.read(info.file_size)


def _check_directory(members: list[zipfile.ZipInfo]) -> None:
    """Judge an archive by its directory, before anything is unpacked."""
    names = [info.filename for info in members]
    unknown = sorted({name for name in names if name.removesuffix(".npy") not in REQUEST_ARRAYS})
    if unknown or any(not name.endswith(".npy") for name in names):
        raise InputError(
            f"the request holds {_short((unknown or names)[0])}, expected only the arrays "
            f"{', '.join(REQUEST_ARRAYS)}; remove it"
        )
    if len(set(names)) != len(names):
        raise InputError("the request holds an array twice; send each array once")
    size = sum(info.file_size for info in members)
    if size > MAX_BODY_BYTES:
        raise InputError(
            f"the request unpacks to {size / 2**20:.0f} MB, at most {MAX_BODY_BYTES >> 20} MB "
            "are read; select fewer atoms"
        )
    if any(info.compress_type not in _PLAIN_COMPRESSION for info in members):
        raise InputError("the request must be stored or deflated, as numpy.savez writes it")


def _array(name: str, data: bytes) -> np.ndarray:
    """One ``.npy`` member, read without trusting the size that its header claims."""
    stream = io.BytesIO(data)
    try:
        shape, fortran, dtype = _HEADER_READERS[np.lib.format.read_magic(stream)](stream)
        size = math.prod(shape) * dtype.itemsize
    except Exception as error:  # a hostile header can fail in any way
        raise InputError(
            f"{name} must be an array as numpy.save writes it, got something else ({_short(error)})"
        ) from error
    if dtype.hasobject:
        raise InputError(
            f"{name} holds pickled Python objects, which are never read; send numbers or text"
        )
    if dtype.kind not in "fiuU" or min(shape, default=0) < 0 or size != len(data) - stream.tell():
        raise InputError(
            f"{name} must be a complete array of numbers or text, got {size} bytes of {dtype} "
            f"announced and {len(data) - stream.tell()} sent"
        )
    flat = (
        np.frombuffer(data, dtype, math.prod(shape), stream.tell()) if size else np.empty(0, dtype)
    )
    try:
        return flat.reshape(shape, order="F" if fortran else "C")
    except (TypeError, ValueError) as error:  # an empty array may claim what cannot be
        raise InputError(
            f"{name} must be an array of a shape that can be, got {dtype} of shape {_short(shape)}"
        ) from error


def _text(array: np.ndarray) -> str:
    if array.dtype.kind != "U" or array.shape != ():
        raise InputError(
            f"options must be one text (0-d unicode), got {array.dtype} of shape {array.shape}"
        )
    return str(_valid_text("options", array).item())


def _valid_text(name: str, array: np.ndarray) -> np.ndarray:
    """The same text in native byte order, once its characters are known to exist."""
    width = max(array.dtype.itemsize // 4, 1)
    native = np.ascontiguousarray(array.astype(f"<U{width}"))
    if native.view("<u4").max(initial=0) > 0x10FFFF:
        raise InputError(f"{name} must be valid text, got characters outside unicode")
    return native.astype(str).reshape(array.shape)


def _structure(arrays: Mapping[str, np.ndarray]) -> Structure:
    coords = _coords(arrays["coords"])
    names = {name: _names(name, arrays[name], len(coords)) for name in _NAMES}
    index = _residue_index(arrays["residue_index"], len(coords))
    structure = from_arrays(coords, residue_index=index, **names)
    polymer_heavy_atoms(structure)  # refuses a selection without any
    return structure


def _coords(array: np.ndarray) -> np.ndarray:
    if array.dtype not in ("f4", "f8") or array.ndim != 2 or array.shape[1] != 3:
        raise InputError(
            "coords must be float32 or float64 of shape (atoms, 3), got "
            f"{array.dtype} of shape {array.shape}"
        )
    if len(array) == 0:
        raise InputError("a job needs atoms, got none; select a polymer")
    refuse_too_many(len(array))
    coords = array.astype(np.float64)
    if (np.abs(coords) > MAX_COORDINATE).any():
        raise InputError(
            f"coordinates must lie within {MAX_COORDINATE:.0e} Å, got "
            f"{np.nanmax(np.abs(coords)):.3g}; check the structure"
        )
    return coords


def _names(name: str, array: np.ndarray, n_atoms: int) -> np.ndarray:
    if array.dtype.kind != "U" or array.shape != (n_atoms,):
        raise InputError(
            f"{name} must be text of shape ({n_atoms},), got {array.dtype} of shape {array.shape}"
        )
    width = array.dtype.itemsize // 4
    if width > MAX_NAME_LENGTH:
        raise InputError(
            f"{name} must be at most {MAX_NAME_LENGTH} characters long, got width {width}"
        )
    return np.char.strip(_valid_text(name, array))


def _residue_index(array: np.ndarray, n_atoms: int) -> np.ndarray:
    if array.dtype.kind not in "iu" or array.shape != (n_atoms,):
        raise InputError(
            f"residue_index must be integers of shape ({n_atoms},), got {array.dtype} of shape "
            f"{array.shape}"
        )
    return np.unique(array, return_inverse=True)[1]


def _short(value: object, limit: int = 120) -> str:
    """One line of somebody else's text, fit for a sentence."""
    text = " ".join(f"{value}".split()) or type(value).__name__
    return text if len(text) <= limit else text[:limit] + "…"
