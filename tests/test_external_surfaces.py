"""Surfaces of PyMOL and MSMS lie on the molecule and are made with our radii."""

from __future__ import annotations

import builtins
import json
import os
import stat
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from moedsr_core.errors import InputError, MoedsrError
from moedsr_core.structure import Structure, from_arrays
from moedsr_core.structure_io import read_structure
from moedsr_core.surface.external import MSMS_VARIABLE, msms_surface, pymol_surface

ODD = np.array([[10.0, -20.0, 30.0]])
FAR = np.array([[1234.5, -2000.25, 987.75]])


def one_atom(at: np.ndarray, element: str = "C") -> Structure:
    return from_arrays(at, elements=[element])


# ---- PyMOL --------------------------------------------------------------------------------


@pytest.fixture
def pymol():
    return pytest.importorskip("pymol2", reason="PyMOL is not installed")


@pytest.mark.parametrize("at", [ODD, FAR])
@pytest.mark.parametrize(("element", "radius"), [("C", 1.70), ("N", 1.55), ("FE", 2.44)])
def test_pymols_surface_of_one_atom_is_its_sphere_where_it_stands(pymol, at, element, radius):
    mesh = pymol_surface(one_atom(at, element), quality=1)
    distance = np.linalg.norm(mesh.vertices - at, axis=1)
    np.testing.assert_allclose(distance, radius, atol=2e-5 if at is ODD else 3e-4)
    outward = (mesh.vertices - at) / distance[:, None]
    assert ((mesh.normals * outward).sum(axis=1) > 0.99).all()


def test_pymols_sphere_has_the_area_and_volume_of_one(pymol):
    mesh = pymol_surface(one_atom(ODD), quality=3)
    assert mesh.is_watertight
    assert mesh.area == pytest.approx(4 * np.pi * 1.7**2, rel=0.01)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 1.7**3, rel=0.015)


def two_atoms() -> Structure:
    return from_arrays(np.array([[0.0, 0, 0], [3.0, 0, 0]]) + ODD, elements=["C", "O"])


def test_pymols_vertices_touch_the_atoms_or_a_probe_between_them(pymol):
    s = two_atoms()
    mesh = pymol_surface(s, quality=2)
    gap = np.linalg.norm(mesh.vertices[:, None] - s.coords, axis=2) - s.radii
    nearest = gap.min(axis=1)
    assert nearest.min() > -1e-3
    assert nearest.max() < 1.4
    assert np.quantile(nearest, 0.6) < 1e-3
    np.testing.assert_allclose(gap.min(axis=0), 0, atol=1e-3)


def small_protein(data_dir: Path) -> Structure:
    return read_structure(data_dir / "structures" / "1enh.pdb").polymer


@pytest.mark.data
def test_pymols_surface_turns_with_the_molecule(pymol, data_dir):
    s = small_protein(data_dir)
    turn = Rotation.random(random_state=0).as_matrix()
    moved = s.with_coords(s.coords @ turn.T + [100.0, -200.0, 300.0])
    for molecule in (s, moved):
        mesh = pymol_surface(molecule)
        gap = np.linalg.norm(mesh.vertices[:, None] - molecule.coords, axis=2) - molecule.radii
        assert gap.min() > -0.01
        assert gap.min(axis=1).max() < 1.4
        assert mesh.area == pytest.approx(2815, rel=0.01)
        assert mesh.volume == pytest.approx(6285, rel=0.01)


@pytest.mark.data
def test_pymols_triangles_share_vertices_and_all_face_outward(pymol, data_dir):
    mesh = pymol_surface(small_protein(data_dir))
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    assert len(mesh.vertices) - len(mesh.faces) / 2 == pytest.approx(0, abs=4)
    assert mesh.is_watertight


def test_pymol_uses_the_probe(pymol):
    volumes = [pymol_surface(two_atoms(), probe=p, quality=2).volume for p in (0.8, 1.4, 3.0)]
    assert volumes[0] < volumes[1] < volumes[2]


def test_pymol_wraps_ligands_and_hydrogens_that_it_is_given(pymol):
    s = from_arrays(
        np.array([[0.0, 0, 0], [20.0, 0, 0], [0, 20.0, 0]]),
        elements=["C", "O", "H"],
        residue_names=["ALA", "HOH", "GOL"],
        residue_ids=["1", "2", "3"],
    )
    mesh = pymol_surface(s)
    reached = np.linalg.norm(mesh.vertices[:, None] - s.coords, axis=2).min(axis=0)
    np.testing.assert_allclose(reached, s.radii, atol=0.01)


def test_an_open_pymol_scene_is_not_touched(pymol):
    with pymol.PyMOL() as other:
        other.cmd.fragment("ala")
        before = other.cmd.get_view(), other.cmd.get("surface_quality")
        pymol_surface(one_atom(ODD), quality=1)
        assert other.cmd.get_object_list() == ["ala"]
        assert (other.cmd.get_view(), other.cmd.get("surface_quality")) == before


def test_without_pymol_the_error_names_it(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pymol"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MoedsrError, match=r"needs PyMOL.*surface=ses"):
        pymol_surface(one_atom(ODD))


# ---- MSMS ---------------------------------------------------------------------------------

OCTAHEDRON = np.array(
    [[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float
)
FACES = np.array(
    [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
)


def vert_text(corners: np.ndarray, header: bool) -> str:
    head = "# MSMS solvent excluded surface vertices\n#vertex #sphere density probe_r\n"
    counts = f"{len(corners):7d} {1:7d}  3.00  1.40\n"
    rows = [
        " ".join(f"{v:9.3f}" for v in (*p, *n)) + "       0       1  2 C_ALA_1\n"
        for p, n in zip(corners, OCTAHEDRON, strict=True)
    ]
    return (head + counts if header else "") + "".join(rows)


def face_text(faces: np.ndarray, header: bool) -> str:
    head = "# MSMS solvent excluded surface faces\n#faces #sphere density probe_r\n"
    counts = f"{len(faces):7d} {1:7d}  3.00  1.40\n"
    rows = [" ".join(f"{v + 1:6d}" for v in face) + "  1      1\n" for face in faces]
    return (head + counts if header else "") + "".join(rows)


@pytest.fixture
def fake_msms(tmp_path, monkeypatch):
    """Make a program that stands in for MSMS: it notes its arguments and writes known files."""

    def make(files: dict[str, str], code: int = 0, message: str = "") -> Path:
        script = tmp_path / "fake_msms.py"
        script.write_text(
            textwrap.dedent(f"""
            import json, pathlib, sys
            args = sys.argv[1:]
            out, atoms = args[args.index("-of") + 1], args[args.index("-if") + 1]
            note = {{"args": args, "atoms": pathlib.Path(atoms).read_text()}}
            pathlib.Path({str(tmp_path / "note.json")!r}).write_text(json.dumps(note))
            for ending, text in {files!r}.items():
                pathlib.Path(out + ending).write_text(text)
            print({message!r}, file=sys.stderr)
            sys.exit({code})
            """)
        )
        if os.name == "nt":
            program = tmp_path / "msms.bat"
            program.write_text(f'@"{sys.executable}" "{script}" %*\n')
        else:
            program = tmp_path / "msms"
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv(MSMS_VARIABLE, str(program))
        return tmp_path / "note.json"

    return make


@pytest.mark.parametrize("header", [True, False])
def test_msms_vertices_and_faces_become_the_mesh(fake_msms, header):
    corners = 2.0 * OCTAHEDRON + ODD
    fake_msms({".vert": vert_text(corners, header), ".face": face_text(FACES, header)})
    mesh = msms_surface(one_atom(ODD))
    np.testing.assert_allclose(mesh.vertices, corners, atol=1e-5)
    np.testing.assert_array_equal(mesh.faces, FACES)
    np.testing.assert_allclose(mesh.normals, OCTAHEDRON, atol=1e-6)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * 2.0**3, rel=1e-4)


def test_faces_wound_inward_are_turned(fake_msms):
    corners = 2.0 * OCTAHEDRON + ODD
    files = {".vert": vert_text(corners, True), ".face": face_text(FACES[:, ::-1], True)}
    fake_msms(files)
    mesh = msms_surface(one_atom(ODD))
    assert mesh.volume == pytest.approx(4 / 3 * 2.0**3, rel=1e-4)
    np.testing.assert_allclose(mesh.normals, OCTAHEDRON, atol=1e-6)


def test_every_component_of_msms_is_kept(fake_msms):
    files = {}
    for name, shift in (("", 0.0), ("_1", 30.0)):
        files[f"{name}.vert"] = vert_text(OCTAHEDRON + shift, True)
        files[f"{name}.face"] = face_text(FACES, True)
    fake_msms(files)
    mesh = msms_surface(one_atom(ODD))
    assert (len(mesh.vertices), len(mesh.faces)) == (12, 16)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(2 * 4 / 3, rel=1e-4)


def test_msms_gets_our_atoms_radii_and_options(fake_msms):
    note = fake_msms({".vert": vert_text(OCTAHEDRON, True), ".face": face_text(FACES, True)})
    s = two_atoms()
    msms_surface(s, probe=1.5, density=2.0)
    said = json.loads(note.read_text())
    sent = np.array([line.split() for line in said["atoms"].splitlines()], float)
    np.testing.assert_allclose(sent, np.column_stack([s.coords, s.radii]), atol=1e-6)
    args = said["args"]
    assert args[args.index("-probe_radius") + 1] == "1.5"
    assert args[args.index("-density") + 1] == "2"


def test_the_scratch_folder_is_gone_afterwards(fake_msms):
    note = fake_msms({".vert": vert_text(OCTAHEDRON, True), ".face": face_text(FACES, True)})
    msms_surface(one_atom(ODD))
    args = json.loads(note.read_text())["args"]
    assert not Path(args[args.index("-if") + 1]).parent.exists()


def test_without_msms_the_error_says_where_it_was_sought(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(MSMS_VARIABLE, raising=False)
    with pytest.raises(MoedsrError, match=f"none on the path.*{MSMS_VARIABLE}"):
        msms_surface(one_atom(ODD))
    monkeypatch.setenv(MSMS_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(MoedsrError, match="nowhere"):
        msms_surface(one_atom(ODD))


def test_msms_on_the_path_is_found(fake_msms, monkeypatch, tmp_path):
    fake_msms({".vert": vert_text(OCTAHEDRON, True), ".face": face_text(FACES, True)})
    monkeypatch.delenv(MSMS_VARIABLE)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert len(msms_surface(one_atom(ODD)).faces) == 8


@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        ({}, 0, "wrote no surface"),
        ({}, 7, "code 7 .*out of memory"),
        ({".vert": "0 0 0 0 0 1 0 1 2\n"}, 0, "cannot be read"),
        ({".vert": "a b c d e f g h i\n", ".face": ""}, 0, "cannot be read"),
        ({".vert": vert_text(OCTAHEDRON, True), ".face": "1 2 9 1 1\n"}, 0, "only 6 vertices"),
    ],
)
def test_a_failing_msms_is_reported_in_one_sentence(fake_msms, files, code, words):
    fake_msms(files, code, "out of memory")
    with pytest.raises(MoedsrError, match=words) as caught:
        msms_surface(one_atom(ODD))
    assert "\n" not in str(caught.value)


# ---- both ---------------------------------------------------------------------------------


@pytest.mark.parametrize("surface", [pymol_surface, msms_surface])
@pytest.mark.parametrize("probe", [0.0, -1.0, np.nan, np.inf])
def test_a_probe_without_a_size_is_refused(surface, probe):
    with pytest.raises(InputError, match="probe radius"):
        surface(one_atom(ODD), probe=probe)


@pytest.mark.parametrize("surface", [pymol_surface, msms_surface])
def test_no_atoms_have_no_surface(surface):
    with pytest.raises(InputError, match="at least one atom"):
        surface(from_arrays(np.zeros((0, 3))))


def test_options_out_of_range_are_refused():
    with pytest.raises(InputError, match="density"):
        msms_surface(one_atom(ODD), density=0.0)
    with pytest.raises(InputError, match="quality"):
        pymol_surface(one_atom(ODD), quality=9)
