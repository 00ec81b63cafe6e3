"""Random request bodies that a hostile client could send; the same number gives the same body."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import zipfile
from collections.abc import Callable

import numpy as np
from test_wire import N, body_of, lying_header, members_of, npy, request_arrays, zipped

from moedsr_core.backend.options import JobOptions

_ODD_NUMBERS = (0, 1, -1, 2, 3, N, 3 * N, 2**15, 2**31 - 1, 2**32, 2**63 - 1, 2**64, 10**30)
_ODD_TEXTS = ("", "\0", "\ud800", "\udfff", "\u202e", "\U0001d54f", "'; DROP TABLE jobs; --",
              "../../etc", "\x1b[2J", "A" * 16, "A" * 17, "%s%n", "NaN", "١٢",
              "\r\nX: y")  # fmt: skip
_DTYPES = ("?", "i1", "u8", "f2", ">f4", ">f8", "g", "c16", "S0", "S8", "U0", ">U4", "V0", "V8",
           "M8[s]", "m8[ns]", "i4,f8", "(2,3)f4")  # fmt: skip
_DIRECTORY_FIELDS = {
    6: "<H", 8: "<H", 10: "<H", 16: "<I", 20: "<I", 24: "<I", 28: "<H", 30: "<H", 32: "<H",
    42: "<I",
}  # fmt: skip
"""Fields of an entry of a zip directory by their place in it: version, flags, method, checksum,
sizes, lengths of what follows, and where the member begins."""


def bad_body(number: int) -> tuple[str, bytes]:
    """Kind and bytes of a request that is probably not right."""
    rng = random.Random(number)
    kind = rng.choice(list(_KINDS))
    return kind, _KINDS[kind](rng)


def _flipped(rng: random.Random) -> bytes:
    body = bytearray(_good(rng))
    for _ in range(rng.choice((1, 1, 2, 20))):
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return bytes(body)


def _cut(rng: random.Random) -> bytes:
    body = _good(rng)
    return body[: rng.randrange(len(body))] if rng.random() < 0.7 else body[rng.randrange(99) :]


def _shuffled(rng: random.Random) -> bytes:
    body = _good(rng)
    a, b = sorted(rng.randrange(len(body)) for _ in range(2))
    return rng.choice((body[a:] + body[:a], body[:a] + body[b:], body[:b] + body[a:], body + body))


def _noise(rng: random.Random) -> bytes:
    return rng.choice((b"", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY")) + rng.randbytes(
        rng.randrange(300)
    )


def _wrong_dtype(rng: random.Random) -> bytes:
    dtype, shape = np.dtype(rng.choice(_DTYPES)), _shape(rng)
    if rng.random() < 0.5:
        return _with_array(rng, npy(np.zeros(shape, dtype)))
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    return _with_array(rng, stream.getvalue() + rng.randbytes(rng.choice((0, 0, 8, 144))))


def _shape(rng: random.Random) -> tuple[int, ...]:
    return rng.choice(((), (N,), (N, 3), (3, N), (0,), (0, 3), (N, 0), (1,) * 32, (N, 3, 1)))


def _pickled(rng: random.Random) -> bytes:
    array = np.array([{}, []], object)
    return _with_array(rng, rng.choice((npy(array, True), pickle.dumps(array), b"cos\nsystem\n")))


def _odd_shape(rng: random.Random) -> bytes:
    numbers = [str(rng.choice(_ODD_NUMBERS)) for _ in range(rng.randrange(4))]
    shape = f"({', '.join(numbers)},)" if numbers else "()"
    odd = ("(True, False)", "(1.5,)", "'x'", "None", "(" * 99, "[6, 3]", "(6,3", "(1,) * 9", "{}")
    array = lying_header(rng.choice((shape, shape, shape, "(" + "1," * 65 + ")", *odd)))
    return _with_array(rng, array[: len(array) - rng.choice((0, 56, 64))])


def _lying_directory(rng: random.Random) -> bytes:
    body = bytearray(_good(rng))
    places = [k for k in range(len(body)) if body.startswith(b"PK\x01\x02", k)]
    for _ in range(rng.choice((1, 1, 3))):
        field, form = rng.choice(list(_DIRECTORY_FIELDS.items()))
        value = rng.choice((0, 1, 9, 99, 2**16 - 1, 2**32 - 1, rng.randrange(len(body))))
        most = 2 ** (8 * struct.calcsize(form)) - 1
        struct.pack_into(form, body, rng.choice(places) + field, min(value, most))
    return bytes(body)


def _odd_numbers(rng: random.Random) -> bytes:
    coords = np.arange(3.0 * N).reshape(N, 3).astype(rng.choice(("f4", "f8")))
    odd = (np.nan, np.inf, -np.inf, 1e38, -1e6, 5e-324, 0.0)
    for _ in range(rng.randrange(1, 3 * N)):
        coords[rng.randrange(N), rng.randrange(3)] = rng.choice(odd)
    return body_of(coords=coords)


def _nested(rng: random.Random) -> bytes:
    inner = _good(rng)
    for _ in range(rng.randrange(3)):
        inner = zipped({rng.choice(("coords.npy", "request.npz", "a/../b")): inner})
    return rng.choice((inner, inner + _good(rng), _with_array(rng, inner)))


def _odd_members(rng: random.Random) -> bytes:
    names = (
        ".npy",
        "/etc/passwd",
        "..\\x.npy",
        "coords",
        "coords.npy/",
        "COORDS.npy",
        "\ud800.npy",
    )
    name = rng.choice(names).encode("utf-8", "replace").decode()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    return zipped({**members_of(body_of()), name: b"x"}, method)


def _odd_names(rng: random.Random) -> bytes:
    name = rng.choice(("elements", "atom_names", "residue_names", "residue_ids", "chain_ids"))
    return body_of(**{name: np.array([rng.choice(_ODD_TEXTS) for _ in range(N)])})


def _odd_residues(rng: random.Random) -> bytes:
    index = np.array([rng.choice((0, 2**64 - 1, 2**63, 7)) for _ in range(N)], np.uint64)
    return body_of(residue_index=rng.choice((index, index.view(np.int64), index.astype(np.uint8))))


def _odd_options(rng: random.Random) -> bytes:
    values = (None, True, [], {}, [[]], 1e400, -0.0, "1", *_ODD_NUMBERS, *_ODD_TEXTS)
    known = [*JobOptions.__dataclass_fields__, *_ODD_TEXTS, "__class__"]
    options = {rng.choice(known): rng.choice(values) for _ in range(rng.randrange(1, 5))}
    text = json.dumps(options).replace("Infinity", rng.choice(("Infinity", "1e999", "NaN")))
    return body_of(options=np.array(rng.choice((text, text, text[:-1], text * 2, f"[{text}]"))))


def _good(rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    rng.choice((np.savez, np.savez_compressed))(buffer, **request_arrays())
    return buffer.getvalue()


def _with_array(rng: random.Random, content: bytes) -> bytes:
    members = members_of(body_of())
    return zipped({**members, rng.choice(list(members)): content})


_KINDS: dict[str, Callable[[random.Random], bytes]] = {
    function.__name__[1:].replace("_", " "): function
    for function in (
        _flipped, _cut, _shuffled, _noise, _wrong_dtype, _pickled, _odd_shape, _lying_directory,
        _odd_numbers, _nested, _odd_members, _odd_names, _odd_residues, _odd_options,
    )
}  # fmt: skip
