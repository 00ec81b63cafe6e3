"""Tables that compare models, from scores written by hand."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hand_made_scores import contest, scored, trial, write_scores

from moedsr_core.errors import InputError
from moedsr_core.report import csv_text
from moedsr_core.reports.moe_tables import Heading, TableOptions, compared, overall, per_protein
from moedsr_core.reports.moe_trials import Contest, read_trial

pytest.importorskip("matplotlib")
IOU = TableOptions(metrics=("iou",))
HEADING = Heading(name="made", title="Made", variable="kind", paper={"a": {"iou": 0.7}})


@pytest.fixture
def two():
    """Two models on two proteins; the first has three trials."""
    return contest(
        a=[trial(p=0.6, q=0.8), trial(p=0.7, q=0.8), trial(p=0.8, q=0.8)], b=[trial(p=0.5, q=0.7)]
    )


def rows_of(report, table):
    return list(csv.DictReader(io.StringIO(csv_text(report.tables[table]))))


def test_a_proteins_deviation_is_that_of_its_trials(two):
    rows = rows_of(per_protein(two, IOU, HEADING), "made")
    row = {(r["protein"], r["model"]): r for r in rows}
    assert float(row["p", "a"]["mean"]) == pytest.approx(0.7)
    assert float(row["p", "a"]["sd"]) == pytest.approx(0.1)
    assert float(row["q", "a"]["sd"]) == pytest.approx(0.0, abs=1e-9)
    assert row["p", "b"]["sd"] == row["p", "static"]["sd"] == ""
    assert [row["p", who]["trials"] for who in ("static", "mean_shape", "a", "b")] == [
        "1", "1", "3", "1",
    ]  # fmt: skip


def test_the_last_row_deviates_by_the_trials_means_over_proteins(two):
    rows = {r["model"]: r for r in overall(two, ("iou",))}
    assert rows["a"]["mean"] == pytest.approx(0.75)
    assert rows["a"]["sd"] == pytest.approx(0.05)
    assert rows["b"]["mean"] == pytest.approx(0.6)
    assert (rows["static"]["mean"], rows["mean_shape"]["mean"]) == pytest.approx((0.5, 0.9))
    assert {r["proteins"] for r in rows.values()} == {2}


def test_a_protein_that_one_model_has_no_figure_for_counts_for_nobody():
    gone = scored(0.2)
    gone["scores"]["typical"]["iou"]["mean"] = None
    found = contest(a=[trial(p=0.6, q=0.8)], b=[trial(p=0.5, q=gone)])
    rows = {r["model"]: r for r in overall(found, ("iou",))}
    assert (rows["a"]["mean"], rows["b"]["mean"]) == pytest.approx((0.6, 0.5))
    assert rows["a"]["proteins"] == 1
    report = per_protein(found, IOU, HEADING)
    assert "the 1 protein for which everyone has iou" in report.markdown
    assert "| q | 0.500 | 0.900 | 0.800 | - |" in report.markdown


def test_replicates_are_one_protein():
    found = contest(a=[trial(p_R1=0.4, p_R2=0.6, q=0.9)])
    assert found.proteins == ["p", "q"]
    np.testing.assert_allclose(found.values("a", "iou"), [[0.5, 0.9]])


def test_a_model_is_shown_by_the_contender_asked_for():
    trials = {"a": (trial(p=0.6),)}
    assert Contest(trials, "typical").values("a", "iou") == pytest.approx(0.6)
    assert Contest(trials, "drawn").values("a", "iou") == pytest.approx(0.1)


def test_variants_stand_beside_the_papers_numbers(two):
    report = compared(two, IOU, HEADING)
    assert "| kind | iou ↑ | iou in the paper |" in report.markdown
    assert "| a | 0.750 ± 0.050 | 0.7000 |" in report.markdown
    assert "| b | 0.600 | - |" in report.markdown
    rows = rows_of(report, "made")
    assert [(r["kind"], r["paper"]) for r in rows] == [
        ("static", ""), ("mean_shape", ""), ("a", "0.7"), ("b", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({}, "at least one trial"),
        ({"a": []}, "at least one trial"),
        ({"static": [trial(p=0.5)]}, "static is a baseline"),
        ({"a": [trial(p=0.5)], "b": [trial(q=0.5)]}, "different proteins (p is in one only)"),
        ({"a": [trial(p=0.5), trial(p=scored(0.5, omega=21.0))]}, "measured p differently"),
        ({"a": [trial(p=0.5)], "b": [trial(p=scored(0.5, spacing=0.5))]}, "p differently"),
        ({"a": [trial(p=0.5), trial(p=scored(0.5, compared=(1, 3)))]}, "p differently"),
    ],
)
def test_what_was_not_measured_alike_cannot_stand_in_one_table(models, said):
    with pytest.raises(InputError) as refused:
        contest(**models)
    assert said in str(refused.value)


def test_a_contender_that_was_not_measured_is_refused():
    with pytest.raises(InputError, match=r"no linear for p; choose one of static, mean_shape"):
        Contest({"a": (trial(p=0.5),)}, "linear")


@pytest.mark.parametrize(
    ("options", "said"),
    [({"metrics": ("ioo",)}, "metrics must be one of iou"), ({"contender": "best"}, "typical")],
)
def test_unknown_figures_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        TableOptions(**options)


def test_scores_of_one_protein_or_of_many_are_read(tmp_path):
    many = read_trial_at(tmp_path, '{"p": %s, "q": %s}')
    assert list(many.proteins) == ["p", "q"]
    one = read_trial_at(tmp_path, "%s")
    assert one.value("alone", "typical", "iou") == 0.6


def read_trial_at(tmp_path, text):
    path = tmp_path / "scores.json"
    path.write_text(text.replace("%s", json.dumps(scored(0.6))), encoding="utf-8")
    return read_trial(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"p": {}}', '{"p": {"scores": {}}}', "3"])
def test_a_file_that_holds_no_scores_is_refused(text, tmp_path):
    path = tmp_path / "odd.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"odd\.json"):
        read_trial(path)
    with pytest.raises(InputError, match=r"nothing\.json"):
        read_trial(tmp_path / "nothing.json")


def test_scores_that_are_written_are_read_the_same(tmp_path):
    path = tmp_path / "scores.json"
    write_scores(path, p=0.25, q=0.5)
    assert read_trial(path).value("q", "typical", "iou") == 0.5


def test_a_table_is_three_files(two, tmp_path):
    per_protein(two, IOU, HEADING).write(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made.csv", "made.md", "made.png"]
    assert (tmp_path / "made.png").read_bytes().startswith(b"\x89PNG")
