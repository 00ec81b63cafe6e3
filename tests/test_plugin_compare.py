"""The command that compares a prediction with a trajectory."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymol import CmdException
from pymol_support import backend_double, call, open_pymol

from moedsr_pymol.measure.compare import MOST_STATES, pair
from moedsr_pymol.workspace import Workspace

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def cmd() -> Iterator[Any]:
    """A PyMOL with a peptide of four states, and a prediction of its first."""
    with pytest.MonkeyPatch.context() as patch, open_pymol("GAGS") as cmd, backend_double(patch):
        path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
        patch.setenv("PYTHONPATH", path)
        patch.setenv("MOEDSR_PYTHON", sys.executable)
        call(cmd, "moedsr_predict", "prot", frames=5)
        for state in (2, 3, 4):
            cmd.create("prot", "prot", 1, state)
            cmd.alter_state(state, "prot", f"x *= 1 + 0.03 * {state}")
        yield cmd


def surface_of(cmd: Any) -> Any:
    return Workspace.of(cmd).surface("prot_surf")


def test_the_core_compares_and_everything_is_written(cmd, tmp_path, capsys):
    target = tmp_path / "c.csv"
    found = call(cmd, "moedsr_compare", "prot_surf", "prot", file=str(target), quiet=0)
    np.testing.assert_array_equal(found.states, [2, 3, 4])
    np.testing.assert_array_equal(found.frames, [2, 4, 5])
    assert found is Workspace.of(cmd).measurement("moedsr_compare", "prot_surf")
    assert found.scores["mean_shape"]["iou"].mean() > 0.85  # the ball is no such peptide
    assert found.scores["predicted"]["iou"].max() < 0.5
    said = capsys.readouterr().out
    assert "3 states of prot" in said and "mean shape: IoU 0." in said
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["predicted_state"] for row in rows] == ["2", "4", "5"]
    assert float(rows[0]["iou.static"]) == pytest.approx(found.scores["static"]["iou"][0], 1e-4)
    assert (tmp_path / "c_residues.csv").read_text(encoding="utf-8").startswith("chain,residue")
    assert "surface_rmsf_r," in (tmp_path / "c_summary.csv").read_text(encoding="utf-8")
    titles = [chart.title for chart in found.charts()]
    assert len(titles) == 4 and "intersection over union" in titles[0]


def test_states_are_paired_evenly_by_number(cmd):
    pairs = pair(surface_of(cmd), 401, 1, None, None)
    assert len(pairs.states) == MOST_STATES and pairs.states[-1] == 401
    assert pairs.frames[0] == 0 and pairs.frames[-1] == 4 and pairs.left_out == 0
    np.testing.assert_array_equal(pair(surface_of(cmd), 9, 5, 2, None).states, [7, 9])


def test_states_are_paired_by_the_models_time_where_it_is_known(cmd, monkeypatch):
    surface = surface_of(cmd)
    time = {"time": {"span_ps": 1000.0, "origin_ps": 1.0}, "last_time": 1.0}
    monkeypatch.setattr(surface, "summary", time)
    pairs = pair(surface, 4, 1, None, 500.0)
    np.testing.assert_array_equal(pairs.frames, [4, 4])  # ln 501 / ln 1001 is 0.90
    assert pairs.left_out == 1  # 1,500 ps
    early = pair(surface, 3, 1, None, 30.0)
    np.testing.assert_array_equal(early.frames, [2, 2])  # ln 31 / ln 1001 is 0.50
    monkeypatch.setattr(surface, "summary", {})
    with pytest.raises(CmdException, match="knows no times"):
        call(cmd, "moedsr_compare", "prot_surf", "prot", interval="30 ps")


def test_a_prediction_that_was_cut_is_compared_as_far_as_it_goes(cmd, monkeypatch):
    surface = surface_of(cmd)
    monkeypatch.setattr(surface, "planned", 9)
    pairs = pair(surface, 4, 1, None, None)
    np.testing.assert_array_equal(pairs.frames, [3])
    assert pairs.left_out == 2


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"object": "prot", "first": "4"}, "no state after state 4"),
        ({"object": "prot and resi 1-3"}, "'prot' must be the molecule .* has 3 residues"),
        ({"object": "nothing"}, "neither an object nor a selection"),
        ({"object": "prot", "interval": "soon"}, "interval must be a time"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(cmd, given, reason):
    with pytest.raises(CmdException, match=reason):
        call(cmd, "moedsr_compare", "prot_surf", **given)


def test_a_prediction_that_still_arrives_is_refused(cmd, monkeypatch):
    class Running:
        surface = surface_of(cmd)
        id = ""

    monkeypatch.setitem(Workspace.of(cmd).jobs, "prot_surf", Running())
    with pytest.raises(CmdException, match="still arriving, with 5 of 5 frames"):
        call(cmd, "moedsr_compare", "prot_surf", "prot")
