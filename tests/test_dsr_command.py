"""From a run folder and trajectory files to tables, on the command line."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from trajectory_files import bent, write

from moedsr_core.errors import InputError
from moedsr_core.frame import TimeMap
from moedsr_core.models.codes import save_codes
from moedsr_core.models.dsr import DSR, DSRConfig
from moedsr_core.models.experts.implicit import ImplicitConfig
from moedsr_core.models.registry import save_model
from moedsr_core.reports.trained_path import open_run
from moedsr_core.training.presets import DSRTraining, preset_to_json
from moedsr_core.training.trajectories import FrameConfig
from scripts import dsr_tables as command

pytest.importorskip("matplotlib")
QUICK = ["--grid", "24", "--spacing", "1.2", "--samples", "500", "--frames", "2"]
NAME = "adk_dims_a"


@pytest.fixture(autouse=True)
def threads_stay(monkeypatch):
    monkeypatch.setattr(command.torch, "set_num_threads", lambda n: None)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run of an untrained network, which shows a ball, and 30 frames of a path of the paper."""
    root = tmp_path_factory.mktemp("dsr")
    write(root / "data" / NAME, bent(30))
    make_run(root / "run")
    return root


def make_run(run, codes=(NAME,), size=4, stride=2, architecture="dsr"):
    torch.manual_seed(0)
    config = DSRConfig(latent_size=4, mlp=ImplicitConfig(layers=2, width=16, radius=0.5))
    save_model(
        run / "weights", DSR(config),
        architecture=architecture, summary="", time=TimeMap(span_ps=0.0), scale=22.0,
    )  # fmt: skip
    save_codes(run / "weights", {name: torch.zeros(size) for name in codes})
    training = replace(DSRTraining(), frames=FrameConfig(first=80, stride=stride))
    (run / "config.json").write_text(preset_to_json("dsr", training), encoding="utf-8")
    return run


def run(folders, what, *more):
    given = ["--run", str(folders / "run"), "--data", str(folders / "data")]
    out = folders / f"out-{what}"
    return command.main([what, *given, "--out", str(out), "--device", "cpu", *more])


def test_tables_and_then_rmsd_are_written_and_printed(folders, capsys):
    protocols = ["--protocols", "reconstruction", "interpolation"]
    assert run(folders, "tables", *QUICK, *protocols) == 0
    out = folders / "out-tables"
    names = {p.name for p in out.iterdir()}
    assert names == {"frames.csv", "summary.csv", "report.md", f"{NAME}.png"}
    said = capsys.readouterr().out
    assert said.strip() == (out / "report.md").read_text(encoding="utf-8").strip()
    assert "trained on 15 of 30 frames up to 28" in said
    assert "no physical time" in said
    with (out / "summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (3 + 3)
    assert all(0 < float(r["iou"]) <= 1 for r in rows)
    arguments = ["rmsd", "--tables", str(out), "--out", str(folders / "out-rmsd")]
    assert command.main(arguments) == 0
    names = {p.name for p in (folders / "out-rmsd").iterdir()}
    assert names == {"correlations.csv", "points.csv", "report.md", "rmsd.png"}


def test_pictures_are_written_with_their_numbers(folders):
    assert run(folders, "levelsets", "--levels", "0", "0.1", "--grid", "24", "--frame", "5") == 0
    assert run(folders, "resolutions", "--grids", "16", "24", *QUICK[:6], "--name", NAME) == 0
    for what in ("levelsets", "resolutions"):
        names = {p.name for p in (folders / f"out-{what}").iterdir()}
        assert names == {f"{what}.csv", f"{what}.png", "report.md"}


def test_weights_can_be_given_instead_of_their_run(folders, tmp_path):
    whole, alone = (open_run(folders / part, folders / "data") for part in ("run", "run/weights"))
    assert whole[0].train == alone[0].train == tuple(range(0, 30, 2))
    torch.testing.assert_close(whole[0].code, torch.zeros(4))


@pytest.mark.parametrize(
    ("made", "names", "said"),
    [
        ({"stride": 3}, (), "train with --frames.first 80 --frames.stride 2"),
        ({"size": 3}, (), "has 3 entries"),
        ({}, ("adk_froda1",), "there is no folder"),
        ({"codes": ()}, (), "holds no code of any trajectory"),
        ({"codes": ("adk_froda1",)}, (NAME,), "has no code of adk_dims_a; .* on adk_froda1"),
    ],
)
def test_runs_that_do_not_fit_the_paths_are_refused(folders, tmp_path, made, names, said):
    with pytest.raises(InputError, match=said):
        open_run(make_run(tmp_path, **made), folders / "data", names)


def test_a_run_that_does_not_say_its_frames_is_refused(folders, tmp_path):
    make_run(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"frames": {"pace": 2}}), encoding="utf-8")
    with pytest.raises(InputError, match="does not say which frames"):
        open_run(tmp_path, folders / "data")


def test_refusals_are_one_sentence_and_leave_nothing(folders, capsys, tmp_path):
    out = folders / "out-tables-late"
    given = ["--run", str(folders / "run"), "--data", str(folders / "data"), "--out", str(out)]
    assert command.main(["tables", *given, *QUICK, "--device", "cpu"]) == 2
    assert "future_10 of adk_dims_a needs frames after 29" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not out.exists()
    assert command.main(["rmsd", "--tables", str(tmp_path), "--out", str(out)]) == 2
    with pytest.raises(SystemExit):
        command.main(["tables", *given, "--grids", "3"])
    assert not out.exists()


def test_a_stopped_run_keeps_nothing(folders, monkeypatch, capsys):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "levelsets", stop)
    out = folders / "out-levelsets-stopped"
    given = ["--run", str(folders / "run"), "--data", str(folders / "data"), "--out", str(out)]
    assert command.main(["levelsets", *given, "--device", "cpu"]) == 130
    assert "nothing was kept" in capsys.readouterr().err
    assert not out.exists()


def test_one_of_several_trajectories_must_be_chosen_for_a_picture(folders, tmp_path, capsys):
    make_run(tmp_path / "run", codes=(NAME, "adk_dims_psa2"))
    write(tmp_path / "data" / NAME, bent(10))
    write(tmp_path / "data" / "adk_dims_psa2", bent(10))
    assert run(tmp_path, "levelsets") == 2
    assert "choose one of them with --name" in " ".join(capsys.readouterr().err.split())
    assert np.isclose(open_run(tmp_path / "run", tmp_path / "data")[1].scale, 22.0)
