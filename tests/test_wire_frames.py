"""Compact frames: what comes out is what went in, within the bound, and nothing else is read."""

from __future__ import annotations

import io
import runpy
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pymol_support import ball

from moedsr_core.backend.wire import frame_archive, frames
from moedsr_core.backend.wire.frames import decode, encode
from moedsr_core.surface.mesh import vertex_normals

BOUND = 0.01
"""Furthest that a vertex may move [Å]."""


N = 12 * 16 + 2
"""Vertices of the ball that most tests send."""


def mesh(size: float = 20.0, centre: float = 0.0, seed: int = 0) -> dict[str, np.ndarray]:
    """A bumpy ball."""
    rng = np.random.default_rng(seed)
    vertices, faces = ball(12, 16)
    vertices = size * vertices * rng.uniform(0.9, 1.1, (len(vertices), 1)) + centre
    return of(vertices, faces)


def of(vertices: np.ndarray, faces: np.ndarray) -> dict[str, np.ndarray]:
    vertices, faces = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    displacement = np.random.default_rng(1).normal(0, 2, len(vertices)).astype(np.float32)
    normals = vertex_normals(vertices, faces)
    return {
        "vertices": vertices, "faces": faces, "normals": normals, "displacement": displacement,
    }  # fmt: skip


def moved(frame: dict[str, np.ndarray], seed: int, by: float = 0.3) -> dict[str, np.ndarray]:
    shift = np.random.default_rng(seed).normal(0, by, frame["vertices"].shape)
    return of(frame["vertices"] + shift, frame["faces"])


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Between vectors of any length but zero [degrees]."""
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a.astype(float), b))
    return np.degrees(np.arccos(np.clip((a * b).sum(axis=1), -1, 1)))


def canonical(faces: np.ndarray) -> list[tuple[int, ...]]:
    """Triangles with their winding, in no order of their own."""
    turned = (np.roll(face, -int(face.argmin())) for face in faces)
    return sorted(tuple(map(int, face)) for face in turned)


def far(frame: dict[str, np.ndarray], read: dict[str, np.ndarray]) -> float:
    gaps = frame["vertices"].astype(float) - read["vertices"]
    return float(np.linalg.norm(gaps, axis=1).max(initial=0.0))


SHAPES = {
    "ball": lambda: mesh(),
    "far away": lambda: mesh(centre=6000.0),
    "6000 Å across": lambda: mesh(size=3000.0),
    "a million Å away": lambda: mesh(centre=-1e6),
    "1 mÅ across": lambda: mesh(size=0.0005),
    "one point": lambda: of(np.ones((40, 3)), ball(4, 6)[1][:20]),
    "one triangle": lambda: of(np.eye(3), [[0, 1, 2]]),
    "triangle of one vertex": lambda: of(np.eye(3), [[1, 1, 1], [0, 2, 2]]),
    "points alone": lambda: of(np.random.default_rng(0).normal(0, 9, (7, 3)), np.zeros((0, 3))),
    "a triangle twice": lambda: of(np.eye(3), [[2, 0, 1], [0, 1, 2], [2, 1, 0]]),
    "soup": lambda: of(
        np.random.default_rng(0).uniform(-3000, 3000, (500, 3)),
        np.random.default_rng(1).integers(500, size=(900, 3)),
    ),
    "nothing": lambda: of(np.zeros((0, 3)), np.zeros((0, 3))),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_frame_arrives_within_the_bound(shape):
    frame = SHAPES[shape]()
    data, _ = encode(frame)
    read, _ = decode(data)
    assert far(frame, read) <= BOUND
    assert np.abs(read["displacement"] - frame["displacement"]).max(initial=0) <= 0.002
    assert canonical(read["faces"]) == canonical(frame["faces"])
    assert [read[name].dtype.str for name in ("vertices", "normals", "faces", "displacement")] == [
        "<f4", "<f4", "<i4", "<f4"
    ]  # fmt: skip
    known = np.linalg.norm(frame["normals"], axis=1) > 0.5
    turned = angles(read["normals"][known], frame["normals"][known])
    assert turned.max(initial=0) <= frames.NORMAL_TOLERANCE + 0.01


def test_normals_that_are_not_the_meshs_own_arrive_too():
    frame = mesh()
    towards = np.random.default_rng(5).normal(size=frame["normals"].shape)
    read, _ = decode(encode(frame | {"normals": towards.astype(np.float32)})[0])
    assert angles(read["normals"], towards).max() < frames.NORMAL_TOLERANCE
    assert np.median(angles(read["normals"], towards)) < 0.01


def test_a_frame_of_known_triangles_is_told_by_its_move():
    first, later = mesh(), moved(mesh(), seed=1)
    data, state = encode(first)
    again, _ = encode(later, state)
    assert set(np.load(io.BytesIO(data))) >= {"origin", "faces", "stars"}
    assert not set(np.load(io.BytesIO(again))) & {"origin", "faces", "stars"}
    assert len(again) < 0.6 * len(encode(later)[0])
    read, held = decode(data)
    read_again, _ = decode(again, held)
    assert far(later, read_again) <= BOUND
    assert read_again["faces"] is read["faces"]


def test_many_moves_add_up_to_no_drift(count):
    vertices, faces = ball(2, 4)
    frame, written, held = of(20 * vertices, faces), None, None
    frame["normals"] = np.zeros_like(frame["normals"])
    rng = np.random.default_rng(0)
    for _ in range(count(200, 1000)):
        shift = rng.normal(0, 0.05, frame["vertices"].shape).astype(np.float32)
        frame = frame | {"vertices": frame["vertices"] + shift}
        data, written = encode(frame, written)
        read, held = decode(data, held)
    assert far(frame, read) <= BOUND
    whole, _ = decode(encode(frame)[0])
    assert all(np.array_equal(read[name], whole[name]) for name in whole)


def test_a_leap_across_space_is_told_by_a_move_too():
    first, far_off = mesh(centre=-9e6), mesh(centre=9e6)
    data, state = encode(first)
    read, _ = decode(encode(far_off, state)[0], decode(data)[1])
    assert far(far_off, read) <= BOUND


def test_what_is_kept_of_a_frame_does_not_depend_on_those_before():
    a, b, c = (moved(mesh(), seed=k) for k in range(3))
    in_a_row = encode(c, encode(b, encode(a)[1])[1])[0]
    assert in_a_row == encode(c, encode(b)[1])[0]


def test_equal_frames_are_equal_bytes_whatever_the_order_of_their_triangles():
    frame = mesh()
    mixed = np.roll(frame["faces"][::-1], 1, axis=1)
    assert encode(frame)[0] == encode(frame | {"faces": mixed})[0]


@pytest.mark.parametrize("name", ["vertices", "normals", "displacement"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(name, value):
    frame = mesh()
    frame[name] = frame[name].copy()
    frame[name].flat[4] = value
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        encode(frame)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vertices": np.full((N, 3), 1e12)}, "within"),
        ({"vertices": np.zeros((5, 2))}, "a frame needs"),
        ({"displacement": np.zeros(3)}, "a frame needs"),
        ({"faces": np.array([[0, 1, N]])}, f"must name {N} vertices"),
        ({"faces": np.array([[0, -1, 2]])}, f"must name {N} vertices"),
        ({"faces": np.array([[0.0, 1, 2]])}, "must be integers"),
    ],
)
def test_what_is_no_mesh_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        encode({**mesh(), **change})


def test_a_move_needs_the_frame_that_it_starts_from():
    _, state = encode(mesh())
    data, _ = encode(moved(mesh(), 1), state)
    for other in (None, decode(encode(SHAPES["soup"]())[0])[1]):
        with pytest.raises(ValueError, match="follows a frame which is not at hand"):
            decode(data, other)


def refused(data: bytes, last: frames.FrameState | None = None) -> str:
    """The sentence that some bytes are refused with; empty where they were read."""
    try:
        read, _ = decode(data, last)
    except ValueError as error:
        assert str(error).startswith("expected a compact frame, got ")
        assert "\n" not in str(error) and len(str(error)) < 200
        return str(error)
    n = len(read["vertices"])
    assert read["normals"].shape == (n, 3) and read["displacement"].shape == (n,)
    assert read["faces"].min(initial=0) >= 0 and read["faces"].max(initial=-1) < n
    assert all(np.isfinite(read[name]).all() for name in ("vertices", "normals", "displacement"))
    return ""


def rewritten(data: bytes, **changes: np.ndarray | bytes | None) -> bytes:
    """A record with other members."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, value in changes.items():
        if isinstance(value, np.ndarray):
            stream = io.BytesIO()
            np.save(stream, value)
            value = stream.getvalue()
        members[f"{name}.npy"] = value
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            if value is not None:
                archive.writestr(name, value)
    return buffer.getvalue()


def test_damaged_bytes_are_refused_in_one_sentence():
    rng = np.random.default_rng(0)
    whole, state = encode(mesh())
    move, _ = encode(moved(mesh(), 1), state)
    for data, last in ((whole, None), (move, state)):
        answers = [refused(data[:n], last) for n in rng.integers(len(data), size=60)]
        for _ in range(200):
            flipped = bytearray(data)
            flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
            answers.append(refused(bytes(flipped), last))
        answers += [refused(rng.bytes(n), last) for n in rng.integers(3000, size=20)]
        assert sum(answer != "" for answer in answers) > 200


def test_any_numbers_in_the_members_are_read_as_a_mesh_or_refused():
    rng = np.random.default_rng(0)
    whole, _ = encode(mesh())
    with np.load(io.BytesIO(whole)) as archive:
        arrays = dict(archive)
    answers = []
    for _ in range(150):
        name = str(rng.choice(list(arrays)))
        array = arrays[name].copy()
        if rng.random() < 0.5:
            at = rng.integers(array.size, size=3)
            array.flat[at] = rng.integers(-120, 120, size=3).astype(array.dtype)
        else:
            shape = rng.integers(0, 6, size=rng.integers(0, 4))
            array = np.ones(shape, array.dtype)
        answers.append(refused(rewritten(whole, **{name: array})))
    assert 50 < sum(answer != "" for answer in answers) < 150


def npy(claimed: str, dtype: str = "|u1") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {claimed}, }}"
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"\0" * 64


BOMB = 40 << 20


def lying_bomb(data: bytes) -> bytes:
    """An archive whose directory announces a hundred bytes where 40 MB come."""
    bomb = rewritten(data, displacement=bytes(BOMB))
    return bomb.replace(struct.pack("<I", BOMB), struct.pack("<I", 100))


def counts_of(count: int, at: slice = slice(None)) -> np.ndarray:
    """Triangles that begin at each vertex, or at some of them, in four byte planes."""
    counts = np.zeros(N, "<u4")
    counts[at] = count
    return counts.view(np.uint8).reshape(N, 4).T.copy()


HOSTILE = {
    "bomb": lambda data: rewritten(data, vertices=bytes(BOMB)),
    "lying bomb": lying_bomb,
    "terabytes announced": lambda data: rewritten(data, vertices=npy("(4, 3000000000000)")),
    "negative shape": lambda data: rewritten(data, vertices=npy("(-1, -64)")),
    "nested header": lambda data: rewritten(data, vertices=npy("(" * 90)),
    "too many vertices": lambda data: rewritten(
        data,
        vertices=np.zeros((1, 3 * frames.MAX_VERTICES + 3), np.uint8),
        displacement=np.zeros((1, frames.MAX_VERTICES + 1), np.uint8),
        stars=np.zeros((1, frames.MAX_VERTICES + 1), np.uint8),
        faces=np.zeros((1, 0), np.uint8),
    ),
    "too many triangles": lambda data: rewritten(
        data,
        stars=counts_of(frames.MAX_FACES + 1, at=slice(1)),
        faces=np.zeros((1, 2 * frames.MAX_FACES + 2), np.uint8),
    ),
    "countless triangles": lambda data: rewritten(data, stars=counts_of(2**17)),
    "more than announced": lambda data: rewritten(data, displacement=npy(f"(1, {N})") + bytes(N)),
    "wide numbers": lambda data: rewritten(data, vertices=np.zeros((9, 3 * N), np.uint8)),
    "pickle": lambda data: rewritten(data, vertices=npy("(1, 64)", "|O")),
    "other array": lambda data: rewritten(data, more=np.zeros(3)),
    "no displacement": lambda data: rewritten(data, displacement=None),
    "no stars": lambda data: rewritten(data, stars=None),
    "no origin": lambda data: rewritten(data, origin=None),
    "far origin": lambda data: rewritten(data, origin=np.array([0, 2**40, 0])),
    "lone normals": lambda data: rewritten(data, turned_normals=np.zeros((3, 2), np.int16)),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_records_are_refused_at_little_cost(attack, monkeypatch):
    monkeypatch.setattr(frame_archive, "MAX_UNPACKED_BYTES", 2**25)
    data = HOSTILE[attack](encode(mesh())[0])
    tracemalloc.start()
    try:
        assert refused(data)
        most = 2**26 if attack.startswith("too many") else 2**24
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def test_a_compact_frame_is_a_small_part_of_a_plain_one():
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "wire.py"
    wire = runpy.run_path(str(path))
    measured = wire["measure"](wire["turning"](count=4, size=16))
    assert 0 < measured.kept < measured.compact < measured.renewed < measured.plain / 5
    assert measured.moved <= BOUND and measured.turned[0] <= frames.NORMAL_TOLERANCE + 0.01
