"""Searching from the command line."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from trajectory_files import bent, write

pytest.importorskip("optuna", reason="optuna is an extra")

from scripts import search as command

TINY = [
    "--names", "plain", "--search.trials", "1", "--search.repeats", "2", "--run.steps", "1",
    "--frames.first", "2", "--surfaces.points", "20", "--surfaces.validation-points", "100",
    "--surfaces.router-points", "30", "--surfaces.frames-per-example", "1",
    "--model.expert.mlp.layers", "2", "--model.expert.mlp.width", "260", "--threads", "1",
]  # fmt: skip


def test_a_search_on_a_trajectory_ends_with_its_tables(tmp_path_factory, tmp_path, monkeypatch):
    monkeypatch.setattr(command.torch, "set_num_threads", lambda n: None)
    data = tmp_path_factory.mktemp("data")
    write(data / "plain", bent(3), np.arange(3.0))
    argv = ["--data", str(data), "--out", str(tmp_path), *TINY]
    assert command.main(argv) == 0
    with (tmp_path / "search.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert 0 <= float(row["score"]) <= 1
    assert "±" in row["best, 2 runs"]
    runs = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert runs == ["best-000-seed-0", "best-000-seed-1", "trial-000"]
    assert all((tmp_path / name / "weights" / "model.json").exists() for name in runs)


def test_a_search_without_data_ends_with_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command.torch, "set_num_threads", lambda n: None)
    argv = ["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]
    assert command.main(argv) == 2
    assert "nowhere" in "".join(capsys.readouterr().err.split())


def test_a_misspelt_flag_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(["--data", ".", "--search.trails", "3"])
    assert caught.value.code == 2
    assert "trails" in capsys.readouterr().err
