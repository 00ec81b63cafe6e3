"""What the wire protocol accepts and refuses, and what it writes."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from moedsr_core.backend import wire
from moedsr_core.backend.options import JobOptions, read_options
from moedsr_core.backend.wire import as_json, pack_arrays, read_request, record_line
from moedsr_core.errors import InputError
from moedsr_core.structure import MAX_ATOMS

N = 6


def request_arrays(**changes: object) -> dict[str, object]:
    """Arrays of a good request: two residues of three atoms; None leaves an array out."""
    arrays: dict[str, object] = {
        "coords": np.arange(3.0 * N).reshape(N, 3),
        "elements": np.array(["N", "C", "C", "n", "c", "c"]),
        "atom_names": np.array(["N", "CA", "C"] * 2),
        "residue_names": np.array(["ALA"] * 3 + ["GLY"] * 3),
        "residue_ids": np.array(["1"] * 3 + ["2A"] * 3),
        "chain_ids": np.array(["A"] * N),
        "residue_index": np.repeat([0, 1], 3),
        "options": np.array(json.dumps({"kind": "predict", "frames": 3})),
    }
    return {k: v for k, v in {**arrays, **changes}.items() if v is not None}


def body_of(**changes: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **request_arrays(**changes))
    return buffer.getvalue()


def options_of(**values: object) -> np.ndarray:
    return np.array(json.dumps(values))


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def members_of(body: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def lying_header(shape: str) -> bytes:
    """An npy file that announces another shape than it holds."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"\0" * 64


def wide_names() -> np.ndarray:
    return np.array(["A" * 17] * N)


def broken_unicode(shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, 0x7FFFFFFF, "<u4").view("<U1").reshape(shape)


BAD_BODIES = {
    "empty": lambda: b"",
    "not a zip": lambda: b"\x80\x04]\x94." * 100,
    "truncated zip": lambda: body_of()[:-40],
    "damaged member": lambda: body_of().replace(b"NUMPY", b"NUMPX"),
    "bit flip": lambda: body_of().replace(b"ALA"[:1] + b"\0\0\0", b"B\0\0\0", 1),
    "pickled array": lambda: zipped(
        {**members_of(body_of()), "coords.npy": npy(np.array([{}, []], object), True)}
    ),
    "bare pickle": lambda: zipped({**members_of(body_of()), "coords.npy": b"\x80\x04]\x94."}),
    "zip bomb": lambda: zipped(
        {**members_of(body_of()), "coords.npy": b"\0" * (wire.MAX_BODY_BYTES + 1)}
    ),
    "many members": lambda: zipped({f"{k}.npy": b"" for k in range(1000)}),
    "header claims terabytes": lambda: zipped(
        {**members_of(body_of()), "coords.npy": lying_header("(10**6, 10**6)")}
    ),
    "header claims too much": lambda: zipped(
        {**members_of(body_of()), "coords.npy": lying_header("(1000000000000, 3)")}
    ),
    "negative shape": lambda: zipped(
        {**members_of(body_of()), "coords.npy": lying_header("(-1, -8)")}
    ),
    "more dimensions than there are": lambda: zipped(
        {**members_of(body_of()), "coords.npy": lying_header(f"({'0,' * 65})")[:-64]}
    ),
    "text of no width": lambda: zipped(
        {
            **members_of(body_of()),
            "elements.npy": lying_header("(6,)").replace(b"<f8", b"<U0")[:-64],
        }
    ),
    "dimensions that are no numbers": lambda: zipped(
        {**members_of(body_of()), "coords.npy": lying_header("(True, False)")[:-64]}
    ),
    "nested header": lambda: zipped(
        {**members_of(body_of()), "coords.npy": lying_header("(" * 90)}
    ),
    "unknown array": lambda: body_of(velocities=np.zeros(3)),
    "not an array": lambda: zipped({**members_of(body_of()), "readme.txt": b"hello"}),
    "lzma": lambda: zipped(members_of(body_of()), zipfile.ZIP_LZMA),
    "no coords": lambda: body_of(coords=None),
    "no options": lambda: body_of(options=None),
    "flat coords": lambda: body_of(coords=np.zeros(3 * N)),
    "integer coords": lambda: body_of(coords=np.zeros((N, 3), int)),
    "half coords": lambda: body_of(coords=np.zeros((N, 3), np.float16)),
    "text coords": lambda: body_of(coords=np.full((N, 3), "x")),
    "NaN": lambda: body_of(coords=np.full((N, 3), np.nan)),
    "infinite": lambda: body_of(coords=np.full((N, 3), np.inf)),
    "far away": lambda: body_of(coords=np.full((N, 3), 1e9)),
    "no atoms": lambda: body_of(coords=np.zeros((0, 3))),
    "60,001 atoms": lambda: body_of(coords=np.zeros((60_001, 3), np.float32)),
    "short names": lambda: body_of(elements=np.array(["C"] * (N - 1))),
    "names as bytes": lambda: body_of(atom_names=np.array([b"CA"] * N)),
    "wide names": lambda: body_of(residue_names=wide_names()),
    "broken names": lambda: body_of(residue_names=broken_unicode((N,))),
    "float residues": lambda: body_of(residue_index=np.zeros(N)),
    "residues of another length": lambda: body_of(residue_index=np.zeros(N + 1, int)),
    "no polymer": lambda: body_of(
        residue_names=np.array(["HOH"] * N), atom_names=np.array(["O", "H1", "H2"] * 2)
    ),
    "options as list": lambda: body_of(options=np.array(["{}", "{}"])),
    "options as bytes": lambda: body_of(options=np.array(b"{}")),
    "options not JSON": lambda: body_of(options=np.array("kind=predict")),
    "options not an object": lambda: body_of(options=np.array("[1]")),
    "broken options": lambda: body_of(options=broken_unicode(())),
    "deep options": lambda: body_of(options=np.array("[" * 100_000)),
    "unknown option": lambda: body_of(options=options_of(frmaes=3)),
    "unknown kind": lambda: body_of(options=options_of(kind="delete")),
    "kind as a list": lambda: body_of(options=options_of(kind=["predict"])),
    "half a frame": lambda: body_of(options=options_of(frames=1.5)),
    "true frames": lambda: body_of(options=options_of(frames=True)),
    "frames as text": lambda: body_of(options=options_of(frames="100")),
    "NaN spacing": lambda: body_of(options=np.array('{"spacing": NaN}')),
    "mesh as a number": lambda: body_of(options=options_of(mesh=3)),
    "endless text": lambda: body_of(options=options_of(surface="x" * 2000)),
    "model with a null": lambda: body_of(options=options_of(model="a\0b")),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_body_is_refused_with_one_sentence(case):
    with pytest.raises(InputError) as refusal:
        read_request(BAD_BODIES[case]())
    sentence = str(refusal.value)
    assert 20 < len(sentence) < 400
    assert "\n" not in sentence and "Traceback" not in sentence


def test_a_zip_bomb_is_refused_before_it_is_unpacked(monkeypatch):
    bomb = BAD_BODIES["zip bomb"]()
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(InputError, match="unpacks to 64 MB, at most 64 MB"):
        read_request(bomb)


def test_a_directory_that_lies_about_sizes_costs_no_memory():
    size = 48 << 20
    bomb = zipped({**members_of(body_of()), "coords.npy": bytes(size)})
    lying = bomb.replace(struct.pack("<I", size), struct.pack("<I", 100))
    assert lying != bomb
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            read_request(lying)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size / 4


def test_an_array_sent_twice_is_refused():
    buffer = io.BytesIO(body_of())
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("coords.npy", npy(np.ones((N, 3))))
    with pytest.raises(InputError, match="holds an array twice"):
        read_request(buffer.getvalue())


def test_nothing_pickled_is_ever_loaded():
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    trap = npy(np.array([Trap()], object), allow_pickle=True)
    with pytest.raises(InputError, match="pickled Python objects"):
        read_request(zipped({**members_of(body_of()), "coords.npy": trap}))


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_request_arrives_as_it_was_sent(dtype, save):
    coords = np.asfortranarray(np.random.default_rng(0).normal(size=(N, 3)).astype(dtype))
    buffer = io.BytesIO()
    save(buffer, **request_arrays(coords=coords, options=options_of(spacing=1, model=None)))
    request = read_request(buffer.getvalue())
    np.testing.assert_array_equal(request.structure.coords, coords.astype("f8"))
    assert request.structure.elements.tolist() == ["N", "C", "C"] * 2
    assert request.structure.residue_ids.tolist() == ["1"] * 3 + ["2A"] * 3
    assert request.options == JobOptions(kind="predict", spacing=1)


def test_residues_are_counted_from_zero_without_gaps():
    request = read_request(body_of(residue_index=np.array([7, 7, 7, 9, 9, 9])))
    assert request.structure.residue_index.tolist() == [0, 0, 0, 1, 1, 1]
    assert request.structure.n_residues == 2


def test_empty_chain_names_are_names():
    request = read_request(body_of(chain_ids=np.array([""] * N)))
    assert request.structure.chain_ids.tolist() == [""] * N


def test_60_000_atoms_pass():
    n = MAX_ATOMS
    arrays = {k: np.array(["ALA"] * n) for k in request_arrays() if k.endswith(("names", "ids"))}
    arrays |= {"coords": np.zeros((n, 3)), "elements": np.array(["C"] * n)}
    body = body_of(**arrays, residue_index=np.arange(n))
    assert len(read_request(body).structure) == n
    assert len(body) < wire.MAX_BODY_BYTES / 4


def test_only_chosen_options_are_passed_on():
    options = read_options('{"kind": "surface", "spacing": 0.5, "seed": 0, "mesh": null}')
    assert options.given() == {"spacing": 0.5, "seed": 0}


def test_an_unknown_option_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match=r"unknown option 'frmaes'; choose from kind, frames"):
        read_options('{"frmaes": 3}')


def test_packed_arrays_have_the_types_of_the_protocol():
    data = pack_arrays({"vertices": np.ones((2, 3)), "faces": np.ones((1, 3))}, wire.FRAME_DTYPES)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        assert {k: v.dtype.str for k, v in arrays.items()} == {"vertices": "<f4", "faces": "<i4"}


def test_an_array_without_a_place_in_the_protocol_is_not_sent():
    with pytest.raises(InputError, match="velocities"):
        pack_arrays({"velocities": np.ones(3)}, wire.FRAME_DTYPES)


def test_a_record_line_is_one_line_of_json_with_its_size():
    line = record_line({"type": "end", "error": "two\nlines"}, 12)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert json.loads(line) == {"type": "end", "error": "two\nlines", "bytes": 12}


def test_numpy_and_endless_numbers_become_plain_json():
    value = {"a": np.float32(0.5), "b": [np.int64(3), float("nan")], "c": np.array([1.0, np.inf])}
    assert as_json(value) == {"a": 0.5, "b": [3, None], "c": [1.0, None]}


def full_disk(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")
