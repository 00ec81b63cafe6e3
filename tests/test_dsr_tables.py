"""The DSR paper's tables for models whose answer is known."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import torch
from oracle import SCALE, ball, loaded, trained, truth_of, walking

from moedsr_core.data.paths import load_path
from moedsr_core.errors import CheckpointError, InputError
from moedsr_core.reports.dsr_contenders import (
    CONTENDERS,
    Fineness,
    between,
    rmsd_to_previous,
    rmsd_to_training,
)
from moedsr_core.reports.dsr_report import read_frames, rmsd_report, tables_report
from moedsr_core.reports.dsr_tables import METRICS, TableOptions, markdown, measure, summarise
from moedsr_core.reports.trained_path import TrainedPath

pytest.importorskip("matplotlib")
QUICK = TableOptions(grid=40, spacing=0.9, samples=1500, frames=2)


def scores(rows, protocol, contender, metric, convention="paper"):
    wanted = (protocol, contender, convention)
    return np.array(
        [r[metric] for r in rows if (r["protocol"], r["contender"], r["convention"]) == wanted]
    )


@pytest.fixture(scope="module")
def oracle_rows():
    ensemble = walking(100, bend=6.0)
    return measure(trained(ensemble, truth_of(ensemble, 78)), QUICK)


@pytest.mark.parametrize("protocol", QUICK.protocols)
def test_a_model_that_knows_every_surface_scores_as_high_as_the_grid_allows(oracle_rows, protocol):
    for convention, least in (("paper", 0.9), ("dsr_code", 0.8)):
        assert (scores(oracle_rows, protocol, "dsr", "iou", convention) > least).all()
        signed = scores(oracle_rows, protocol, "dsr", "normal_consistency_signed", convention)
        assert (signed > 0.95).all()
    lengths = scores(oracle_rows, protocol, "dsr", "chamfer")
    assert (lengths * SCALE < 0.3).all()


def test_a_model_that_knows_every_surface_scores_what_the_grid_allows_and_no_more(oracle_rows):
    for metric in METRICS:
        ours, ceiling = (scores(oracle_rows, "reconstruction", w, metric) for w in ("dsr", "exact"))
        np.testing.assert_allclose(ours, ceiling, rtol=0.01)
        assert (ceiling != 1).all()


def test_what_stands_still_falls_behind_on_a_moving_path(oracle_rows):
    for protocol, still in (("reconstruction", "first"), ("future_11_20", "last")):
        ours, theirs = (scores(oracle_rows, protocol, who, "iou") for who in ("dsr", still))
        assert theirs[-1] < 0.75 < 0.9 < ours[-1]


def test_every_experiment_has_its_contenders_in_both_conventions(oracle_rows):
    found = {(r["protocol"], r["contender"], r["convention"]) for r in oracle_rows}
    who = {
        "reconstruction": {"dsr", "first", "exact"}, "interpolation": {"dsr", "linear", "nearest"},
        "future_10": {"dsr", "last"}, "future_11_20": {"dsr", "last"},
    }  # fmt: skip
    assert found == {(p, c, how) for p in who for c in who[p] for how in ("paper", "dsr_code")}
    assert len(oracle_rows) == 2 * 2 * (3 + 3 + 2 + 2)


def test_linear_interpolation_is_exact_on_a_straight_path_and_not_on_a_curved_one():
    straight, curved = (trained(walking(80, bend=b), ball) for b in (0.0, 30.0))
    for k in (1, 37, 77):
        np.testing.assert_allclose(between(straight, k), straight.ensemble.coords[k], atol=1e-9)
    assert np.abs(between(curved, 33) - curved.ensemble.coords[33]).max() > 0.1
    for k in (0, 36, 78):
        np.testing.assert_allclose(between(curved, k), curved.ensemble.coords[k], atol=1e-9)


def test_linear_interpolation_goes_by_time_and_not_by_number():
    ensemble = walking(80)
    uneven = ensemble.lags_ps.copy()
    uneven[1] = 0.5
    path = trained(type(ensemble)("dims", ensemble.structure, ensemble.coords, uneven), ball)
    expected = 0.75 * ensemble.coords[0] + 0.25 * ensemble.coords[2]
    np.testing.assert_allclose(between(path, 1), expected, atol=1e-9)


def test_the_still_contenders_show_the_frames_they_are_named_after():
    path, how = trained(walking(90), ball, stride=3), Fineness(nodes=32, spacing=1.0)
    for who, k, shown in (("nearest", 4, 3), ("nearest", 5, 6), ("first", 30, 0), ("last", 85, 78)):
        mesh = CONTENDERS[who](path, k, how)
        np.testing.assert_array_equal(
            mesh.vertices, path.true_mesh(path.ensemble.coords[shown], 1.0).vertices
        )


def test_rmsd_does_not_see_poses_and_vanishes_on_training_frames():
    ensemble = walking(20, bend=6.0)
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    coords = ensemble.coords.copy()
    coords[7] = coords[7] @ turn.T + 5.0
    turned = trained(type(ensemble)("dims", ensemble.structure, coords, ensemble.lags_ps), ball)
    path = trained(ensemble, ball)
    assert rmsd_to_training(path, 6) < 1e-6
    assert rmsd_to_training(path, 7) > 0.01
    assert rmsd_to_training(turned, 7) == pytest.approx(rmsd_to_training(path, 7), abs=1e-9)
    assert rmsd_to_previous(turned, 7) == pytest.approx(rmsd_to_previous(path, 7), abs=1e-9)
    assert np.isnan(rmsd_to_previous(path, 0))


def test_times_run_from_minus_one_to_one_over_the_training_frames():
    path = trained(walking(100), ball)
    assert path.train[-1] == 78
    assert [path.time(k) for k in (0, 39, 78, 99)] == pytest.approx([-1, 0, 1, 60 / 39])
    physical = trained(walking(100), ball, span_ps=99.0)
    assert [physical.time(k) for k in (0, 99)] == pytest.approx([-1, 1])
    assert physical.time(50) > 0.5


def test_a_model_without_a_surface_scores_no_overlap_and_is_counted():
    empty = trained(walking(10), lambda x, t: np.ones(len(x)))
    rows = measure(empty, TableOptions(**{**vars(QUICK), "protocols": ("reconstruction",)}))
    assert (scores(rows, "reconstruction", "dsr", "iou") == 0).all()
    assert np.isnan(scores(rows, "reconstruction", "dsr", "chamfer")).all()
    summary = summarise(rows)
    assert [r["without_surface"] for r in summary if r["contender"] == "dsr"] == [2, 2]
    assert "2 (2 without a surface)" in markdown(summary)


def test_what_reaches_beyond_omega_is_cut_at_its_faces_and_closed():
    full = trained(walking(4), lambda x, t: np.full(len(x), -1.0)).predicted_mesh(0, 33)
    assert full.is_watertight
    assert full.volume == pytest.approx(8.0, rel=0.01)
    assert np.abs(full.vertices).max() == pytest.approx(1.0, abs=1e-3)


def test_means_are_over_frames_and_the_printed_numbers_stand_below():
    ious = (0.8, 0.9, 1.0)
    rows = [
        {"trajectory": "adk_dims_a", "protocol": "future_10", "frame": k, "contender": "dsr",
         "convention": "dsr_code", **dict.fromkeys(METRICS, 0.5), "iou": iou}
        for k, iou in enumerate(ious)
    ]  # fmt: skip
    (row,) = summarise(rows)
    assert (row["frames"], row["iou"], row["iou_sd"]) == (3, pytest.approx(0.9), pytest.approx(0.1))
    text = markdown([row])
    assert "0.9000 ± 0.1000" in text
    assert "| dims | printed in the paper |  | 0.8467 ± 0.0423 | 0.0010 ± 0.0005 |" in text


def test_reports_hold_every_row_and_read_back(tmp_path, oracle_rows):
    path = trained(walking(100), ball)
    report = tables_report([path], oracle_rows, QUICK)
    report.write(tmp_path / "out")
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"summary.csv", "frames.csv", "report.md", "dims.png"}
    read = read_frames([tmp_path / "out"])
    assert len(read) == len(oracle_rows)
    for ours, theirs in zip(oracle_rows, read, strict=True):
        assert ours["iou"] == pytest.approx(theirs["iou"], rel=1e-5)
        assert (ours["frame"], ours["contender"]) == (theirs["frame"], theirs["contender"])
    assert "trained on 40 of 100 frames up to 78" in report.markdown


def line_rows(slope: float) -> list[dict]:
    return [
        {"trajectory": "dims", "protocol": "interpolation", "frame": k, "contender": "dsr",
         "convention": "paper", **dict.fromkeys(METRICS, 1.0), "iou": 0.9 + slope * k,
         "rmsd_nearest_A": float(k), "rmsd_previous_A": 1.0}
        for k in range(5)
    ]  # fmt: skip


@pytest.mark.parametrize(("slope", "expected"), [(-0.1, -1.0), (0.02, 1.0)])
def test_scores_on_a_line_correlate_fully_with_rmsd(slope, expected):
    report = rmsd_report(line_rows(slope), "nearest")
    found = {row["metric"]: row["pearson_r"] for row in report.tables["correlations"]}
    assert found["iou"] == pytest.approx(expected)
    assert np.isnan(found["chamfer"])
    assert report.pictures["rmsd"].startswith(b"\x89PNG")
    rows = list(csv.reader(io.StringIO(report.markdown)))
    assert len(rows) == 8


def test_rmsd_that_does_not_vary_has_no_correlation():
    found = rmsd_report(line_rows(-0.1), "previous").tables["correlations"]
    assert all(np.isnan(row["pearson_r"]) for row in found)


def test_what_cannot_be_measured_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match="protocols must be one of reconstruction"):
        TableOptions(protocols=("past",))
    with pytest.raises(InputError, match="grid must be a whole number from 8"):
        TableOptions(grid=3)
    with pytest.raises(InputError, match="at least one protocol"):
        TableOptions(protocols=())
    with pytest.raises(InputError, match="no scores of linear"):
        rmsd_report(line_rows(0.0), "nearest", "linear")
    (tmp_path / "frames.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="not a table of scores"):
        read_frames([tmp_path])
    with pytest.raises(InputError, match="needs frames after 19"):
        measure(trained(walking(20), ball), TableOptions(protocols=("future_10",)))


def test_models_of_another_kind_of_training_are_refused():
    with pytest.raises(CheckpointError, match="each protein's own scale"):
        trained(walking(4), ball, scale=None)
    with pytest.raises(CheckpointError, match="has 3 entries"):
        TrainedPath(ensemble=walking(4), loaded=loaded(ball), code=torch.zeros(3), train=(0, 2))


@pytest.mark.data
def test_the_paths_of_adk_move_more_smoothly_than_by_jumps(data_dir):
    ensemble = load_path(data_dir / "protein_md" / "adk_dims_a")
    path = trained(ensemble, ball)
    for k in (1, 39, 77):
        straight = np.linalg.norm(between(path, k) - ensemble.coords[k], axis=1).mean()
        still = np.linalg.norm(ensemble.coords[k - 1] - ensemble.coords[k], axis=1).mean()
        assert straight < still
        assert 0.1 < rmsd_to_training(path, k) < 2.0
