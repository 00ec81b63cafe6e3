"""The command `moedsr evaluate`: what it writes, and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil

import mdtraj
import numpy as np
import pytest
from evaluated import loaded
from moving_protein import helix, pdb_text

from moedsr_core.cli import main
from moedsr_core.errors import InputError
from moedsr_core.evaluation.source import ensemble_files


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(loaded(tmp_path_factory.mktemp("model")).info.folder)


@pytest.fixture
def ensemble(tmp_path):
    """A helix in the layout of ATLAS: NAME/NAME.pdb and NAME_R1.xtc, four frames of 10 ps."""
    folder = tmp_path / "helix"
    folder.mkdir()
    (folder / "helix.pdb").write_text(pdb_text(helix()), encoding="ascii")
    write_run(folder / "helix.pdb", folder / "helix_R1.xtc")
    return folder


def write_run(topology, path, frames=4, times=None):
    first = mdtraj.load(str(topology))
    rng = np.random.default_rng(0)
    xyz = first.xyz[0] + 0.05 * rng.normal(size=(frames, *first.xyz.shape[1:]))
    times = 10.0 * np.arange(frames) if times is None else times
    mdtraj.Trajectory(xyz.astype(np.float32), first.topology, time=times).save_xtc(str(path))


def run(tmp_path, model, *more: str) -> int:
    quick = ["--frames", "2", "--spacing", "1.2", "--draws", "4", "--model", model]
    return main(["evaluate", "--json", str(tmp_path / "out.json"), *quick, *more])


def test_evaluate_writes_json_and_per_frame_rows_that_agree(tmp_path, ensemble, model, capsys):
    table = tmp_path / "frames.csv"
    arguments = ["--ensemble", str(ensemble), "--linear", "--per-frame", str(table)]
    assert run(tmp_path, model, *arguments) == 0
    data = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert data["ensemble"] == {
        "name": "helix", "atoms": 40, "residues": 8, "frames": 4, "compared": [1, 3],
        "lags_ps": [10.0, 30.0],
    }  # fmt: skip
    assert data["options"]["linear"] is True
    assert "torch" in data["versions"]
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 5
    for name in ("static", "mean_shape", "typical", "drawn", "linear"):
        listed = [float(row["iou"]) for row in rows if row["contender"] == name]
        assert listed == pytest.approx(data["scores"][name]["iou"]["per_frame"], abs=1e-5)
    said = capsys.readouterr()
    assert "mean_shape" in said.out
    assert "drawing: 6 of 6 frames" in said.err


def test_files_can_be_named_one_by_one(tmp_path, ensemble, model):
    top, trajectory = ensemble / "helix.pdb", ensemble / "helix_R1.xtc"
    files = ["--topology", str(top), "--trajectory", str(trajectory), "--spacing-ps", "5"]
    assert run(tmp_path, model, *files) == 0
    data = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert data["ensemble"]["lags_ps"] == [5.0, 15.0]


def test_both_layouts_are_found_and_a_run_is_chosen_by_its_number(tmp_path, ensemble):
    assert ensemble_files(ensemble) == (ensemble / "helix.pdb", ensemble / "helix_R1.xtc")
    shutil.copy(ensemble / "helix_R1.xtc", ensemble / "helix_R2.xtc")
    assert ensemble_files(ensemble, replicate=2)[1] == ensemble / "helix_R2.xtc"
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("top.pdb", "traj.xtc"):
        (plain / name).touch()
    with pytest.raises(InputError, match="one trajectory, not R7"):
        ensemble_files(plain, replicate=7)
    with pytest.raises(InputError, match="leave --beside away"):
        ensemble_files(plain, replicate=2, option="--beside")
    assert ensemble_files(plain) == (plain / "top.pdb", plain / "traj.xtc")
    other = ensemble / "helix.pdb"
    assert ensemble_files(plain, topology=other) == (other, plain / "traj.xtc")


def truncated(folder):
    path = folder / "helix_R1.xtc"
    path.write_bytes(path.read_bytes()[: path.stat().st_size - 60])


def one_frame(folder):
    write_run(folder / "helix.pdb", folder / "helix_R1.xtc", frames=1)


def standing_still(folder):
    write_run(folder / "helix.pdb", folder / "helix_R1.xtc", times=np.zeros(4))


def other_molecule(folder):
    (folder / "helix.pdb").write_text(pdb_text(helix(6)), encoding="ascii")


def no_trajectory(folder):
    (folder / "helix_R1.xtc").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (truncated, "helix_R1.xtc"),
        (one_frame, "at least two"),
        (standing_still, "do not increase"),
        (other_molecule, "places 40 atoms but the topology names 30"),
        (no_trajectory, "--trajectory"),
    ],
)
def test_a_bad_ensemble_is_refused_in_one_sentence(spoil, said, tmp_path, ensemble, model, capsys):
    spoil(ensemble)
    assert run(tmp_path, model, "--ensemble", str(ensemble)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("moedsr: ")
    assert said in lines[0]
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "nobody"], "unknown model"),
        (["--omega", "meter"], "omega must be one of"),
        (["--frames", "0"], "frames must be"),
        (["--json", "nowhere/out.json"], "there is no folder nowhere"),
        (["--json", "."], "is a folder"),
        (["--per-frame", "nowhere/out.csv"], "there is no folder nowhere"),
    ],
)
def test_bad_options_are_refused_before_any_work(
    arguments, said, tmp_path, ensemble, model, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("moedsr_core.cli.load_ensemble", None)
    before = sorted(tmp_path.rglob("*"))
    assert run(tmp_path, model, "--ensemble", str(ensemble), *arguments) == 2
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_weights_of_an_unknown_kind_are_refused(tmp_path, ensemble, model, capsys):
    other = tmp_path / "other"
    shutil.copytree(model, other)
    data = json.loads((other / "model.json").read_text())
    (other / "model.json").write_text(json.dumps(data | {"architecture": "neuralmd"}))
    assert run(tmp_path, str(other), "--ensemble", str(ensemble)) == 2
    assert "unknown architecture 'neuralmd'" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["measuring the truth", "comparing surfaces", "drawing"])
def test_a_ctrl_c_at_any_stage_leaves_nothing(
    stage, tmp_path, ensemble, model, capsys, monkeypatch
):
    from moedsr_core import prediction_files

    class Interrupting:
        def __init__(self, frames):
            pass

        def __call__(self, now, done, total):
            if now == stage and done % 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(prediction_files, "_PlainProgress", Interrupting)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    table = str(tmp_path / "frames.csv")
    assert run(tmp_path, model, "--ensemble", str(ensemble), "--per-frame", table) == 130
    assert "nothing was kept" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_misspelt_flag_is_refused(tmp_path, ensemble, model, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, model, "--ensemble", str(ensemble), "--frame", "3")
    assert stopped.value.code == 2
    assert "--frame" in capsys.readouterr().err


def test_another_run_of_the_folder_is_measured_beside(tmp_path, ensemble, model):
    write_run(ensemble / "helix.pdb", ensemble / "helix_R2.xtc", frames=5)
    assert run(tmp_path, model, "--ensemble", str(ensemble), "--beside", "2") == 0
    scores = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["scores"]
    assert 0.3 < scores["replicate"]["iou"]["mean"] <= 1.0


def test_a_run_beside_itself_or_beside_none_is_refused(tmp_path, ensemble, model, capsys):
    assert run(tmp_path, model, "--ensemble", str(ensemble), "--beside", "1") == 2
    assert "run 1 cannot stand beside itself" in capsys.readouterr().err
    assert run(tmp_path, model, "--ensemble", str(ensemble), "--beside", "3") == 2
    assert "helix_R3.xtc" in capsys.readouterr().err
    shutil.copy(ensemble / "helix_R1.xtc", ensemble / "helix_R2.xtc")
    named = ["--trajectory", str(ensemble / "helix_R1.xtc"), "--replicate", "2", "--beside", "1"]
    assert run(tmp_path, model, "--ensemble", str(ensemble), *named) == 2
    assert "run 1 cannot stand beside itself" in capsys.readouterr().err
    files = ["--topology", str(ensemble / "helix.pdb"), *named[:2], "--beside", "2"]
    assert run(tmp_path, model, *files) == 2
    assert "name the folder with --ensemble" in capsys.readouterr().err


def test_one_file_for_two_results_is_refused(tmp_path, ensemble, model, capsys):
    same = ["--per-frame", str(ensemble / ".." / "out.json")]
    assert run(tmp_path, model, "--ensemble", str(ensemble), *same) == 2
    assert "--json and --per-frame both name" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()
