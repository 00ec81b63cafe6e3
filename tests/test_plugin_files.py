"""Surfaces as files, and the plugin as a package."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymol import CmdException
from pymol_support import backend_double, ball, call, displacement, open_pymol, triangles

from moedsr_pymol.manifest import metadata_header

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "moedsr_pymol"
MANIFEST = json.loads((REPOSITORY / "plugin_manifest.json").read_text(encoding="utf-8"))


@pytest.fixture
def cmd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with open_pymol() as cmd, backend_double(monkeypatch):
        call(cmd, "moedsr_predict", "prot", frames=3)
        yield cmd


def build_script() -> Any:
    spec = importlib.util.spec_from_file_location("b", REPOSITORY / "scripts" / "build_plugin.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_ply(path: Path) -> tuple[Any, Any]:
    from moedsr_pymol.export import PLY_VERTEX

    header, data = path.read_bytes().split(b"end_header\n", 1)
    counts = [int(line.split()[2]) for line in header.split(b"\n") if line.startswith(b"element")]
    vertices = np.frombuffer(data, PLY_VERTEX, counts[0])
    face = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
    return vertices, np.frombuffer(data[vertices.nbytes :], face, counts[1])["corners"]


def test_ply_frames_are_numbered_and_hold_the_mesh_where_it_is_drawn(cmd, tmp_path):
    cmd.translate([100, 0, 0], object="prot_surf")
    call(cmd, "moedsr_save", "prot_surf", str(tmp_path / "out.ply"))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["out_0001.ply", "out_0002.ply", "out_0003.ply"]
    vertices, faces = read_ply(tmp_path / "out_0003.ply")
    assert triangles(faces) == triangles(ball()[1])
    np.testing.assert_allclose(vertices["displacement"], displacement(2, 3), atol=0.002)
    center = np.array(cmd.get_model("prot and not hydro").get_coord_list()).mean(axis=0)
    np.testing.assert_allclose(vertices["x"].mean(), center[0] + 100, atol=0.1)
    assert tuple(vertices[0][["red", "green", "blue"]]) == (204, 26, 31)


def test_obj_frames_hold_the_same_mesh(cmd, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    call(cmd, "moedsr_save", "prot_surf", str(tmp_path / "out.obj"))
    mesh = trimesh.load_mesh(tmp_path / "out_0001.obj", process=False)
    assert triangles(mesh.faces) == triangles(ball()[1])
    assert mesh.is_watertight and mesh.volume > 0


def test_npz_is_read_back_by_the_core_as_a_trajectory(cmd, tmp_path):
    trajectory_module = pytest.importorskip("moedsr_core.mesh_trajectory")
    call(cmd, "moedsr_save", "prot_surf", str(tmp_path / "out.npz"))
    trajectory = trajectory_module.load_trajectory(tmp_path / "out.npz")
    assert len(trajectory) == 3 and trajectory.topologies == 1
    np.testing.assert_allclose(trajectory.frames[2].displacement, displacement(2, 3))
    np.testing.assert_allclose(trajectory.fluctuation, 1 + ball()[0][:, 2], atol=1e-6)
    np.testing.assert_allclose(trajectory.times, [-1, 0, 1])


@pytest.mark.parametrize("kind", ["npz", "ply", "obj"])
def test_a_failed_write_leaves_nothing_behind(cmd, tmp_path, monkeypatch, kind):
    from moedsr_pymol import export

    writers = {"npz": "_savez", "ply": "_write_ply", "obj": "_write_obj"}
    original, calls = getattr(export, writers[kind]), []

    def full_disk(file: Any, *more: Any) -> None:
        original(file, *more)
        calls.append(1)
        if kind == "npz" or len(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, writers[kind], full_disk)
    (tmp_path / f"out.{kind}").write_text("earlier")
    with pytest.raises(CmdException, match=r"cannot be written .No space left on device."):
        call(cmd, "moedsr_save", "prot_surf", str(tmp_path / f"out.{kind}"))
    assert [path.name for path in tmp_path.iterdir()] == [f"out.{kind}"]
    assert (tmp_path / f"out.{kind}").read_text() == "earlier"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no umask")
@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_files_follow_the_umask(cmd, tmp_path, umask):
    before = os.umask(umask)
    try:
        for ending in ("npz", "ply"):
            call(cmd, "moedsr_save", "prot_surf", str(tmp_path / f"out.{ending}"))
        build_script().build(tmp_path)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert len(modes) == 5 and set(modes.values()) == {0o666 & ~umask}, modes


def test_a_folder_that_is_not_there_is_one_sentence(cmd, tmp_path):
    with pytest.raises(CmdException, match=r"there is no folder '.*no'; make it, or choose"):
        call(cmd, "moedsr_save", "prot_surf", str(tmp_path / "no" / "out.npz"))


def test_the_zip_is_installed_by_pymols_own_installer(tmp_path, monkeypatch):
    from pymol.plugins import PluginInfo, installation

    archive = build_script().build(tmp_path)
    folder, names = installation.extract_zipfile(str(archive), "zip")
    assert names == ("moedsr_pymol",)
    source = Path(folder) / "moedsr_pymol" / "__init__.py"
    metadata = PluginInfo("moedsr_pymol", str(source)).get_metadata()
    assert metadata["Version"] == MANIFEST["version"]
    assert metadata["License"] == MANIFEST["licence"]
    assert metadata["Author"] == "The moedsr authors"


def test_the_installed_package_works_away_from_the_checkout(tmp_path):
    """Loaded as PyMOL loads it, without the repository or the core on the path."""
    from pymol.plugins import installation

    folder, _ = installation.extract_zipfile(str(build_script().build(tmp_path)), "zip")
    program = (
        "import sys, pymol, pymol2, pmg_tk.startup\n"
        f"pmg_tk.startup.__path__.append({folder!r})\n"
        "from pymol.plugins import PluginInfo, plugins\n"
        "import pymol.plugins as p\n"
        f"info = PluginInfo('moedsr_pymol', {folder + '/moedsr_pymol/__init__.py'!r}, "
        "'pmg_tk.startup.moedsr_pymol')\n"
        "info.load(-1)\n"
        "assert info.loaded and 'moedsr_predict' in pymol.cmd.keyword\n"
        "assert not any(m.split('.')[0] in ('torch', 'moedsr_core', 'PySide6', 'PyQt5') "
        "for m in sys.modules), sys.modules\n"
        "print(info.get_version())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.strip().endswith(MANIFEST["version"]), done.stderr


def test_the_same_sources_give_the_same_zip(tmp_path):
    build = build_script().build
    assert build(tmp_path / "a").read_bytes() == build(tmp_path / "b").read_bytes()


def test_the_metadata_lines_are_those_of_the_manifest():
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    assert source.startswith(metadata_header(MANIFEST) + '"""')


def test_the_manifest_names_every_command_and_no_other():
    with open_pymol("") as cmd:
        registered = {name for name in cmd.keyword if name.startswith("moedsr_")}
    assert registered == set(MANIFEST["commands"])
    assert all(line and "\n" not in line for line in MANIFEST["commands"].values())


def test_every_command_has_pymols_help_and_completion():
    with open_pymol("") as cmd:
        for name in MANIFEST["commands"]:
            text = cmd.keyword[name][0].__doc__
            for part in ("DESCRIPTION", "USAGE", "EXAMPLE", "SEE ALSO"):
                assert f"\n{part}\n" in text, (name, part)
            assert name in cmd.help_sc.keywords
        assert cmd.auto_arg[0]["moedsr_predict"][0]() is not None
        palettes = cmd.auto_arg[2]["moedsr_color"][0]()
        assert "viridis" in palettes.keywords
        assert "fluctuation" in cmd.auto_arg[1]["moedsr_color"][0]().keywords


def test_help_names_every_argument():
    import inspect

    with open_pymol("") as cmd:
        for name in MANIFEST["commands"]:
            function = cmd.keyword[name][0]
            for argument in inspect.signature(function).parameters:
                assert argument in (function.__doc__ or "") or argument in ("quiet", "_self")


@pytest.mark.parametrize("name", sorted(build_script().package_files(MANIFEST)))
def test_every_file_is_python_3_9_and_imports_only_what_the_manifest_allows(name):
    if not name.endswith(".py"):
        pytest.skip("not a module")
    text = build_script().package_files(MANIFEST)[name]
    tree = ast.parse(text, feature_version=(3, 9))
    allowed = {*MANIFEST["packages"], "pymol", *sys.stdlib_module_names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= allowed
        if isinstance(node, ast.ImportFrom):
            inside = 1 <= node.level <= 1 + name.count("/")
            assert inside or (node.module or "").split(".")[0] in allowed
        assert not (isinstance(node, ast.Call) and _is_strict_zip(node))
    if len(tree.body) > 1:
        future = "from __future__ import annotations" in text
        assert future or not any(isinstance(n, ast.FunctionDef | ast.ClassDef) for n in tree.body)


def _is_strict_zip(node: ast.Call) -> bool:
    return getattr(node.func, "id", "") == "zip" and any(k.arg == "strict" for k in node.keywords)
