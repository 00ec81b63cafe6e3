from __future__ import annotations

import errno
import json
import runpy
import sys

import numpy as np
import pytest
from moving_protein import growing, helix, pdb_text

import moedsr_core
from moedsr_core import cli, prediction_files
from moedsr_core.__main__ import main as start
from moedsr_core.cli import main
from moedsr_core.errors import BackendError
from moedsr_core.frame import TimeMap
from moedsr_core.mesh_io import read_ply
from moedsr_core.mesh_trajectory import load_sequence, load_trajectory
from moedsr_core.models.registry import ModelInfo


@pytest.fixture
def pdb(tmp_path):
    path = tmp_path / "helix.pdb"
    path.write_text(pdb_text(helix()), encoding="ascii")
    return path


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setattr("moedsr_core.predict.load_model", lambda name, device: growing())


def run_predict(pdb, out, *more: str) -> int:
    quick = ["--frames", "3", "--spacing", "1", "--n-points", "200", "--device", "cpu"]
    return main(["predict", str(pdb), "--out", str(out), "--latent", "typical", *quick, *more])


def test_predict_writes_trajectory_frames_and_summary(pdb, tmp_path, model, capsys):
    out = tmp_path / "out"
    assert run_predict(pdb, out) == 0
    trajectory = load_trajectory(out / "trajectory.npz")
    frames = load_sequence(out / "frames")
    assert len(trajectory) == len(frames) == 3
    assert np.array_equal(frames[2].vertices, trajectory.frames[2].vertices)
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["frames"] == 3
    assert summary["vertices"] == len(frames[2].vertices)
    assert 0 < summary["seconds_to_first_frame"] <= summary["seconds"]
    assert summary["network_evaluations"] > 1000
    assert (summary["device"], summary["model"]) == ("cpu", "growing")
    said = capsys.readouterr()
    assert str(out) in said.out
    assert "computing frames: 3 of 3 frames" in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["helix.pdb", "out"]


@pytest.mark.parametrize("kind", ["obj", "glb"])
def test_frames_take_the_format_asked_for(kind, pdb, tmp_path, model):
    assert run_predict(pdb, tmp_path / "out", "--format", kind, "--frames", "1") == 0
    assert [p.name for p in (tmp_path / "out" / "frames").iterdir()] == [f"frame_0000.{kind}"]


def test_an_earlier_prediction_is_replaced(pdb, tmp_path, model):
    assert run_predict(pdb, tmp_path / "out") == 0
    assert run_predict(pdb, tmp_path / "out", "--frames", "2") == 0
    assert len(load_sequence(tmp_path / "out" / "frames")) == 2


def test_a_folder_with_other_things_is_left_alone_unless_told(pdb, tmp_path, model, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert run_predict(pdb, out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]
    assert run_predict(pdb, out, "--overwrite") == 0
    assert (out / "thesis.txt").read_text() == "mine"
    assert len(load_trajectory(out / "trajectory.npz")) == 3


def test_a_file_in_place_of_the_folder_is_refused(pdb, tmp_path, model, capsys):
    assert run_predict(pdb, pdb) == 2
    assert "is a file" in capsys.readouterr().err
    assert pdb.read_text(encoding="ascii") == pdb_text(helix())


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 2),
        (KeyboardInterrupt(), 130),
        (BackendError("the other program failed"), 3),
    ],
)
def test_a_failure_while_writing_leaves_nothing(
    failure, code, pdb, tmp_path, model, monkeypatch, capsys
):
    def fail(*_args):
        raise failure

    monkeypatch.setattr("moedsr_core.mesh_trajectory.write_mesh", fail)
    assert run_predict(pdb, tmp_path / "out") == code
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("moedsr: ")
    assert not any("Traceback" in line for line in said)
    assert [path.name for path in tmp_path.iterdir()] == ["helix.pdb"]


def test_an_unexpected_failure_is_not_hidden(pdb, tmp_path, model, monkeypatch):
    def fail(*_args, **_options):
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "predict", fail)
    with pytest.raises(ZeroDivisionError):
        run_predict(pdb, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--frames", "0"], "frames must be"),
        (["--spacing", "9"], "spacing must be"),
        (["--mesh", "cubes"], "mesh must be"),
        (["--device", "tpu"], "device must be"),
        (["--model", "none"], "unknown model"),
        (["--input-frame", "7"], "frame"),
    ],
)
def test_bad_values_are_refused_in_one_sentence(arguments, said, pdb, tmp_path, capsys):
    assert run_predict(pdb, tmp_path / "out", *arguments) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("moedsr: ")
    assert said in last
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_refused(tmp_path, capsys):
    assert run_predict(tmp_path / "none.pdb", tmp_path / "out") == 2
    assert "none.pdb" in capsys.readouterr().err


def test_unknown_flags_are_refused_before_anything_else(tmp_path, capsys):
    with pytest.raises(SystemExit) as leave:
        main(["predict", str(tmp_path / "none.pdb"), "--frames", "0", "--fames", "3"])
    assert leave.value.code == 2
    said = capsys.readouterr().err
    assert "--fames" in said
    assert "must be" not in said


def test_surface_writes_the_mesh_of_the_input(pdb, tmp_path, capsys):
    assert main(["surface", str(pdb), "--out", str(tmp_path / "a.ply"), "--spacing", "1"]) == 0
    mesh, displacement = read_ply(tmp_path / "a.ply")
    assert mesh.is_watertight
    assert (displacement == 0).all()
    assert f"{len(mesh.vertices)} vertices" in capsys.readouterr().out


def test_a_surface_is_called_as_its_structure_unless_named(pdb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["surface", str(pdb), "--spacing", "1.5"]) == 0
    assert read_ply(tmp_path / "helix.ply")[0].is_watertight


def test_a_closed_place_for_a_surface_is_said_before_any_work(pdb, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "surface_mesh", lambda *_: pytest.fail("it was computed"))
    assert main(["surface", str(pdb), "--out", str(tmp_path / "absent" / "a.ply")]) == 2
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "a.stl"], "must end in"),
        (["--out", "a.ply", "--surface", "edtsurf"], "surface must be"),
        (["--out", "a.ply", "--spacing", "-1"], "spacing must be"),
        (["--out", "no/such/folder/a.ply"], "could not write"),
    ],
)
def test_a_surface_that_cannot_be_made_is_refused(
    arguments, said, pdb, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["surface", str(pdb), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["helix.pdb"]


@pytest.fixture
def two_models(monkeypatch, tmp_path):
    infos = [
        ModelInfo("anchored", "moedsr-anchored", "the default", tmp_path, 4, 1.25, TimeMap()),
        ModelInfo("paths", "dsr", "no time", tmp_path, 1, 7.0, TimeMap(span_ps=0.0)),
    ]
    monkeypatch.setattr(cli, "available_models", lambda: infos)


def test_models_are_listed_for_people(two_models, capsys):
    assert main(["models"]) == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ("anchored", "paths", "100000 ps", "no unit", "yes"))


def test_models_are_listed_for_programs(two_models, capsys):
    assert main(["models", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first == {
        "name": "anchored",
        "summary": "the default",
        "default": True,
        "experts": 4,
        "size_mb": 1.25,
        "span_ps": 1e5,
    }
    assert (second["default"], second["span_ps"]) == (False, 0.0)


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"moedsr {moedsr_core.__version__}\n"


def test_progress_without_a_terminal_is_a_few_plain_lines_with_the_time_left(capsys, monkeypatch):
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(prediction_files.time, "monotonic", lambda: float(next(clock)))
    tell = prediction_files._PlainProgress(10)
    for done in range(11):
        tell("computing frames", done)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "computing frames: 0 of 10 frames",
        "computing frames: 3 of 10 frames, 14 s left",
        "computing frames: 6 of 10 frames, 8 s left",
        "computing frames: 9 of 10 frames, 2 s left",
        "computing frames: 10 of 10 frames",
    ]


def test_progress_on_a_terminal_is_a_bar_that_goes_away(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    with prediction_files.progress(10) as tell:
        tell("computing frames", 4)
    said = capsys.readouterr().err
    assert "computing frames" in said
    assert "4/10" in said


def test_the_exit_code_of_the_program_is_that_of_the_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["moedsr", "predict", str(tmp_path / "none.pdb")])
    monkeypatch.delitem(sys.modules, "moedsr_core.__main__")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("moedsr_core", run_name="__main__")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("moedsr: ")


def test_an_unknown_mesh_ending_is_refused_before_the_structure_is_read(tmp_path, capsys):
    assert main(["surface", str(tmp_path / "absent.pdb"), "--out", str(tmp_path / "s.xyz")]) == 2
    assert "must end in one of .ply, .obj, .glb" in capsys.readouterr().err


def test_a_stop_while_the_command_loads_ends_it_like_any_other(monkeypatch, capsys):
    class Stopped:
        def find_spec(self, name, *_):
            if name == "moedsr_core.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "moedsr_core.cli")
    monkeypatch.delattr(moedsr_core, "cli")
    monkeypatch.setattr(sys, "meta_path", [Stopped(), *sys.meta_path])
    assert start() == 130
    assert capsys.readouterr().err == "moedsr: stopped; nothing was kept\n"


def test_the_command_starts_as_a_module_too(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["moedsr", "--version"])
    assert start() == 0
    assert capsys.readouterr().out == f"moedsr {moedsr_core.__version__}\n"
