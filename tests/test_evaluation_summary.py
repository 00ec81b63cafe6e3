"""Many proteins in one table."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from evaluated import loaded, made_up
from synthetic_chain import swelling

from moedsr_core.errors import InputError
from moedsr_core.evaluation.plot import picture
from moedsr_core.evaluation.summary import Summary, interval
from moedsr_core.report import csv_text


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "scripts")
    return importlib.import_module("evaluate")


@pytest.fixture
def summary():
    return Summary((made_up("one", 0.5, 0.6), made_up("two", 0.7, 0.8), made_up("six", 0.9, 1.0)))


def test_an_interval_holds_the_mean_and_nineteen_of_twenty_true_means():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        found = interval(rng.exponential(size=40))
        assert found.low < found.mean < found.high
        hits += found.low < 1.0 < found.high
    assert 0.87 <= hits / 200 <= 0.98  # percentile intervals of skewed samples are a little narrow


def test_an_interval_narrows_with_the_root_of_the_proteins():
    values = np.random.default_rng(1).normal(size=25)
    few, many = interval(values), interval(np.repeat(values, 16))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4.0, rel=0.05)


def test_figures_that_mean_nothing_are_left_out_and_counted():
    found = interval([1.0, np.nan, 3.0])
    assert (found.proteins, found.mean) == (2, 2.0)
    assert interval([np.nan]).proteins == 0
    alone = interval([5.0])
    assert alone.mean == 5.0
    assert np.isnan([alone.low, alone.high]).all()


def test_a_gain_the_same_on_every_protein_is_certain_however_the_proteins_differ(summary):
    gain = summary.gain("typical", "iou")
    assert (gain.low, gain.mean, gain.high) == pytest.approx((0.1, 0.1, 0.1))
    plain = summary.interval("typical", "iou")
    assert plain.high - plain.low > 0.2


def test_tables_hold_every_protein_and_agree(summary):
    rows = list(csv.DictReader(io.StringIO(csv_text(summary.rows()))))
    row = next(r for r in rows if (r["contender"], r["metric"]) == ("typical", "iou"))
    assert float(row["mean"]) == pytest.approx(0.8)
    assert float(row["minus_static"]) == pytest.approx(0.1)
    assert not any(r["metric"] == "gap_closed" and r["contender"] == "typical" for r in rows)
    proteins = list(csv.DictReader(io.StringIO(csv_text(summary.protein_rows()))))
    assert [(p["ensemble"], p["contender"]) for p in proteins][::2] == [
        ("one", "static"), ("two", "static"), ("six", "static"),
    ]  # fmt: skip
    assert proteins[1]["gap_closed"] == ""
    text = summary.markdown()
    assert "| iou | static | typical |" in text
    assert "| two | 0.700 | 0.800 |" in text
    assert "| **mean** | 0.700 [" in text


def test_a_picture_is_a_png(summary):
    pytest.importorskip("matplotlib")
    assert picture(summary).startswith(b"\x89PNG")


def test_only_what_was_measured_alike_is_summarised(summary):
    other = dataclasses.replace(summary.evaluations[0], model="another")
    with pytest.raises(InputError, match="differ"):
        Summary((summary.evaluations[1], other))
    with pytest.raises(InputError, match="at least one"):
        Summary(())


def parts(folder, **names):
    split = {part: [{"name": n} for n in names.get(part, ())] for part in ("train", "validation")}
    path = folder / "split.json"
    path.write_text(json.dumps(split | {"test": [{"name": n} for n in names.get("test", ())]}))
    return path


def test_tables_that_cannot_be_written_are_refused_before_anything_is_measured(
    script, tmp_path, monkeypatch, capsys
):
    def measured(*_):
        raise AssertionError("nothing is read")

    monkeypatch.setattr(script, "load_part", measured)
    (tmp_path / "file").touch()
    arguments = ["--data", str(tmp_path), "--json", str(tmp_path / "scores.json")]
    for tables in (tmp_path / "file", tmp_path / "file" / "below"):
        assert script.main([*arguments, "--tables", str(tables)]) == 2
        assert "is a file; choose another" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_script_writes_scores_tables_and_a_picture(script, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    moving = swelling(n_frames=3)
    pair = {n: dataclasses.replace(moving, name=n) for n in ("a", "b")}
    monkeypatch.setattr(script, "load_part", lambda *_: pair)
    folder = loaded(tmp_path).info.folder
    arguments = [
        "--data", str(tmp_path), "--split", str(parts(tmp_path)), "--model", str(folder),
        "--json", str(tmp_path / "scores.json"), "--tables", str(tmp_path / "tables"),
        "--frames", "2", "--spacing", "1.2", "--draws", "4", "--threads", "1",
    ]  # fmt: skip
    assert script.main(arguments) == 0
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert sorted(scores) == ["a", "b"]
    assert scores["a"]["scores"] == scores["b"]["scores"]
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == [
        "per_frame.csv", "proteins.csv", "summary.csv", "summary.md", "summary.png",
    ]  # fmt: skip
    frames = (tmp_path / "tables" / "per_frame.csv").read_text(encoding="utf-8").splitlines()
    assert len(frames) == 1 + 2 * 4 * 2
    assert "| iou | static | mean_shape | typical | drawn |" in capsys.readouterr().out


def test_runs_stand_beside_the_next_run_of_their_protein(script, tmp_path, monkeypatch):
    moving = swelling(n_frames=3)
    runs = {n: dataclasses.replace(moving, name=n) for n in ("a_R1", "a_R2", "a_R3", "alone")}
    beside = {}

    def measured(ensemble, *_args):
        beside[ensemble.name] = _args[-1] and _args[-1].name
        return made_up(ensemble.name, 0.5, 0.6)

    monkeypatch.setattr("moedsr_core.evaluation.evaluate.evaluate", measured)
    monkeypatch.setattr(script, "write", lambda *_: None)
    monkeypatch.setattr(script, "load_part", lambda *_: runs)
    monkeypatch.setattr("moedsr_core.models.registry.load_model", lambda *_: None)
    arguments = ["--data", str(tmp_path), "--split", str(parts(tmp_path))]
    arguments += ["--json", str(tmp_path / "scores.json")]
    assert script.main([*arguments, "--beside"]) == 0
    assert beside == {"a_R1": "a_R2", "a_R2": "a_R3", "a_R3": "a_R1", "alone": None}
    assert script.main(arguments) == 0
    assert set(beside.values()) == {None}


def test_who_was_measured_on_some_proteins_only_has_gaps_on_the_others():
    one, other = made_up("a", 0.5, 0.6), made_up("b", 0.5, 0.6)
    more = {**one.frames, "replicate": one.frames["static"]}
    one = dataclasses.replace(one, frames=more, motion={**one.motion, "replicate": {}})
    summary = Summary((other, one))
    assert summary.contenders == ("static", "typical", "replicate")
    assert np.isnan(summary.values("replicate", "iou")[0])
    assert summary.interval("replicate", "iou").proteins == 1
    assert "| b | 0.500 | 0.600 |  |" in summary.markdown()


@pytest.mark.parametrize("part", ["test", "nowhere"])
def test_the_script_refuses_a_part_without_trajectories(script, tmp_path, part):
    scores = tmp_path / "scores.json"
    arguments = ["--data", str(tmp_path), "--split", str(parts(tmp_path)), "--part", part]
    assert script.main([*arguments, "--json", str(scores)]) == 2
    assert not scores.exists()


def test_the_script_refuses_bad_options(script, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main(["--data", str(tmp_path), "--spacing", "99"])
    assert stopped.value.code == 2
    assert "spacing must be" in capsys.readouterr().err


def test_a_ctrl_c_leaves_nothing(script, tmp_path, monkeypatch):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("moedsr_core.evaluation.evaluate.evaluate", interrupt)
    monkeypatch.setattr(script, "load_part", lambda *_: {"a": swelling()})
    monkeypatch.setattr("moedsr_core.models.registry.load_model", lambda *_: None)
    scores = tmp_path / "scores.json"
    arguments = ["--data", str(tmp_path), "--split", str(parts(tmp_path)), "--json", str(scores)]
    assert script.main(arguments) == 130
    assert not scores.exists()
