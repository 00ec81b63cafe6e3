"""Surfaces as glTF: what the specification asks of a file, and what a reader makes of it."""

from __future__ import annotations

import csv
import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymol import CmdException
from pymol_support import RADIUS, backend_double, ball, call, displacement, open_pymol

from moedsr_pymol import export
from moedsr_pymol.glb import UNIT
from moedsr_pymol.steps import Report, Steps
from moedsr_pymol.workspace import Workspace

SIZES = {5121: 1, 5123: 2, 5125: 4, 5126: 4}
TYPES = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
COMPONENTS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


@pytest.fixture(scope="module")
def cmd() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, open_pymol() as cmd, backend_double(patch):
        call(cmd, "moedsr_predict", "prot", frames=4)
        yield cmd


@pytest.fixture(scope="module")
def animated(cmd: Any, tmp_path_factory: Any) -> Path:
    path = tmp_path_factory.mktemp("glb") / "out.glb"
    cmd.set("movie_fps", 8)
    cmd.translate([20, 0, 0], object="prot_surf")
    call(cmd, "moedsr_save", "prot_surf", str(path))
    cmd.translate([-20, 0, 0], object="prot_surf")
    return path


def read_glb(path: Path) -> tuple[dict, bytes]:
    """Header and chunks, as strict as the specification."""
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<III", data)
    assert (magic, version, length) == (0x46546C67, 2, len(data))
    size, kind = struct.unpack_from("<II", data, 12)
    assert kind == 0x4E4F534A and size % 4 == 0
    document = json.loads(data[20 : 20 + size])
    buffer_size, kind = struct.unpack_from("<II", data, 20 + size)
    assert kind == 0x004E4942 and buffer_size % 4 == 0 and len(data) == 28 + size + buffer_size
    return document, data[28 + size :]


def values(document: dict, buffer: bytes, index: int) -> np.ndarray:
    """Numbers of an accessor, whose place and bounds are checked."""
    accessor = document["accessors"][index]
    view = document["bufferViews"][accessor["bufferView"]]
    kind, width = accessor["componentType"], COMPONENTS[accessor["type"]]
    start = view["byteOffset"] + accessor.get("byteOffset", 0)
    size = accessor["count"] * width * SIZES[kind]
    assert start % SIZES[kind] == 0 and view["byteOffset"] % 4 == 0
    assert accessor.get("byteOffset", 0) + size <= view["byteLength"]
    assert view["byteOffset"] + view["byteLength"] <= document["buffers"][0]["byteLength"]
    rows = np.frombuffer(buffer, TYPES[kind], accessor["count"] * width, start).reshape(-1, width)
    if "min" in accessor:
        np.testing.assert_array_equal(rows.min(axis=0), np.array(accessor["min"], rows.dtype))
        np.testing.assert_array_equal(rows.max(axis=0), np.array(accessor["max"], rows.dtype))
    return rows


def test_the_file_is_as_the_specification_wants_it(animated):
    document, buffer = read_glb(animated)
    assert document["asset"]["version"] == "2.0"
    assert document["buffers"] == [{"byteLength": len(buffer)}]
    ends = [v["byteOffset"] + v["byteLength"] for v in document["bufferViews"]]
    starts = [v["byteOffset"] for v in document["bufferViews"]]
    assert all(start >= end for start, end in zip(starts[1:], ends, strict=False))
    for mesh in document["meshes"]:
        (primitive,) = mesh["primitives"]
        named = primitive["attributes"]
        position, normal = (values(document, buffer, named[n]) for n in ("POSITION", "NORMAL"))
        assert "min" in document["accessors"][named["POSITION"]]
        np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1.0, atol=5e-4)
        color = document["accessors"][named["COLOR_0"]]
        assert color["normalized"] and color["type"] == "VEC4"
        assert (values(document, buffer, named["COLOR_0"])[:, 3] == 65535).all()
        faces = values(document, buffer, primitive["indices"])
        assert len(faces) % 3 == 0 and faces.max() < len(position) < 65536
        views = [document["accessors"][k]["bufferView"] for k in (named["POSITION"],)]
        assert document["bufferViews"][views[0]]["target"] == 34962
        index_view = document["accessors"][primitive["indices"]]["bufferView"]
        assert document["bufferViews"][index_view]["target"] == 34963
    assert len({m["primitives"][0]["indices"] for m in document["meshes"]}) == 1  # one topology


def test_at_every_time_one_state_is_shown(animated):
    document, buffer = read_glb(animated)
    nodes = document["nodes"]
    assert document["scenes"] == [{"nodes": [0]}] and nodes[0]["scale"] == [UNIT] * 3
    assert [n.get("scale", [1, 1, 1]) for n in nodes[1:]] == [[1, 1, 1]] + 3 * [[0, 0, 0]]
    (animation,) = document["animations"]
    assert len(animation["channels"]) == 4
    for moment in np.arange(0.02, 0.5, 0.125 / 3):
        shown = []
        for channel in animation["channels"]:
            sampler = animation["samplers"][channel["sampler"]]
            assert sampler["interpolation"] == "STEP" and channel["target"]["path"] == "scale"
            times = values(document, buffer, sampler["input"])[:, 0]
            scales = values(document, buffer, sampler["output"])
            assert times[0] == 0.0 and (np.diff(times) > 0).all() and len(times) == len(scales)
            assert times[-1] == 0.5  # four states at eight a second
            if scales[np.searchsorted(times, moment, "right") - 1].all():
                shown.append(channel["target"]["node"])
        assert shown == [1 + int(moment / 0.125)]


def test_a_reader_finds_the_meshes_where_they_are_drawn(cmd, animated):
    trimesh = pytest.importorskip("trimesh")
    scene = trimesh.load_scene(animated)
    assert sorted(scene.geometry) == [f"state_{k:04d}" for k in range(1, 5)]
    center = backend_center(cmd) + np.array([20.0, 0.0, 0.0])
    matrix = scene.graph.get("state_0001")[0]
    scaled = np.diag([UNIT, UNIT, UNIT, 1]) + _shift(UNIT * center)
    np.testing.assert_allclose(matrix, scaled, atol=0.01)
    for k in range(4):
        mesh = scene.geometry[f"state_{k + 1:04d}"]
        radius = RADIUS + displacement(k, 4)
        np.testing.assert_allclose(mesh.bounds.mean(axis=0), 0.0, atol=0.05)
        assert np.ptp(mesh.bounds[:, 2]) == pytest.approx(2 * radius, abs=0.05)
        assert mesh.is_watertight and mesh.volume > 0
        assert len(mesh.faces) == len(ball()[1])
    np.testing.assert_allclose(scene.extents, UNIT * 2 * RADIUS, rtol=0.05)  # the first alone


def test_colours_are_amounts_of_light(animated):
    document, buffer = read_glb(animated)
    last = document["meshes"][3]["primitives"][0]["attributes"]["COLOR_0"]
    red = np.array([0.80, 0.10, 0.12])  # on the screen, of what moved outwards most
    light = values(document, buffer, last)[0, :3] / 65535
    np.testing.assert_allclose(light, ((red + 0.055) / 1.055) ** 2.4, atol=0.01)


def backend_center(cmd: Any) -> np.ndarray:
    """Where the stand-in puts its ball: the middle of the atoms that it was sent."""
    return Workspace.of(cmd).surface("prot_surf").atoms.coords.mean(axis=0)


def _shift(by: np.ndarray) -> np.ndarray:
    matrix = np.zeros((4, 4))
    matrix[:3, 3] = by
    return matrix


def test_a_new_mesh_has_its_own_indices(monkeypatch, tmp_path):
    with open_pymol() as cmd, backend_double(monkeypatch, remesh=True):
        call(cmd, "moedsr_predict", "prot", frames=2)
        call(cmd, "moedsr_save", "prot_surf", str(tmp_path / "x.glb"))
    document, buffer = read_glb(tmp_path / "x.glb")
    used = [mesh["primitives"][0]["indices"] for mesh in document["meshes"]]
    assert len(set(used)) == 2
    sizes = [len(values(document, buffer, k)) for k in used]
    assert sizes[0] < sizes[1]


def test_a_sequence_has_a_file_for_each_frame_that_does_not_move(cmd, tmp_path):
    call(cmd, "moedsr_save", "prot_surf", str(tmp_path / "x.glb"), sequence="1")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"x_{k:04d}.glb" for k in range(1, 5)]
    document, _ = read_glb(tmp_path / "x_0003.glb")
    assert len(document["meshes"]) == 1 and "animations" not in document


def test_a_table_holds_what_is_known_of_each_point(cmd, tmp_path):
    call(cmd, "moedsr_save", "prot_surf", str(tmp_path / "x.csv"))
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    unit = ball()[0]
    assert len(rows) == len(unit)
    surface = Workspace.of(cmd).surface("prot_surf")
    top = rows[int(unit[:, 2].argmax())]
    assert float(top["fluctuation_A"]) == pytest.approx(2.0)
    assert float(top["z_A"]) == pytest.approx(surface.frames[0].vertices[:, 2].max(), abs=1e-3)
    assert (top["chain"], top["expert1"]) == ("A", "1")
    atom = surface.attributes["atom"]
    assert [row["residue"] for row in rows] == surface.atoms.residue_ids[atom].tolist()


def test_frames_that_are_there_are_written_while_others_arrive(cmd, tmp_path, capsys, monkeypatch):
    surface = Workspace.of(cmd).surface("prot_surf")
    monkeypatch.setattr(surface, "planned", 9)
    call(cmd, "moedsr_save", "prot_surf", str(tmp_path / "x.glb"), quiet=0)
    assert "4 of 9 frames so far" in capsys.readouterr().out
    monkeypatch.setattr(surface, "frames", [])
    with pytest.raises(CmdException, match="has no frame yet"):
        call(cmd, "moedsr_save", "prot_surf", str(tmp_path / "y.glb"))


def test_saving_that_is_cancelled_leaves_nothing(cmd, tmp_path, monkeypatch):
    inside, gate, original = threading.Event(), threading.Event(), export._write_ply

    def slow(file: Any, *more: Any) -> None:
        original(file, *more)
        inside.set()
        gate.wait(20.0)

    monkeypatch.setattr(export, "_write_ply", slow)
    report = Report("prot_surf", True)
    surface = Workspace.of(cmd).surface("prot_surf")
    work = export.save_steps(surface, str(tmp_path / "x.ply"), False, report, cmd)
    task = Steps(work, report)
    while not inside.is_set():
        task.step(0.0)
    threading.Timer(0.05, gate.set).start()
    task.cancel()
    assert task.over and task.cancelled and list(tmp_path.iterdir()) == []
