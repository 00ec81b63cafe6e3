"""The dull baseline: boosted trees on local features."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
from evaluated import loaded
from synthetic_chain import chain, swelling
from trajectory_files import write

from moedsr_core.cli import main as moedsr
from moedsr_core.data.ensemble import Ensemble
from moedsr_core.errors import CheckpointError, InputError
from moedsr_core.evaluation.conventions import SHAPE_METRICS
from moedsr_core.evaluation.evaluate import evaluate
from moedsr_core.evaluation.local_trees import STATISTICS, load_trees
from moedsr_core.evaluation.motion import MOTION_METRICS
from moedsr_core.evaluation.options import EvaluateOptions
from moedsr_core.evaluation.summary import Summary
from moedsr_core.evaluation.tree_features import FEATURES, point_features
from moedsr_core.surface.ses import SolventExcludedSurface

pytest.importorskip("lightgbm", reason="lightgbm is an extra")

from scripts import local_trees as command

QUICK = EvaluateOptions(frames=3, spacing=1.25, draws=4)
SMALL = ["--frames", "3", "--references", "1", "--points", "1500", "--rounds", "10",
         "--leaves", "7", "--rate", "0.3", "--threads", "1"]  # fmt: skip


def breathing(n_residues: int, n_frames: int = 4) -> Ensemble:
    """A chain that swells frame by frame."""
    moving = swelling(n_frames, n_residues)
    share = np.linspace(0.0, 1.0, n_frames)[:, None, None]
    first, last = moving.coords[0], moving.coords[-1]
    return dataclasses.replace(moving, coords=first + share * (last - first))


def grow(folder, data):
    split = {"train": [{"name": "plain"}], "validation": [], "test": [{"name": "other"}]}
    (data / "split.json").write_text(json.dumps(split), encoding="utf-8")
    places = ["--data", str(data), "--out", str(folder), "--split", str(data / "split.json")]
    return command.main([*places, *SMALL])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write(folder / "plain", breathing(10).coords, np.arange(4.0))
    return folder


@pytest.fixture(scope="module")
def grown(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("trees") / "grown"
    assert grow(folder, data) == 0
    return folder


def test_trees_are_one_more_contender_with_every_figure(tmp_path, grown):
    result = evaluate(breathing(8), loaded(tmp_path), QUICK, trees=load_trees(grown))
    figures = {m: result.mean("local_trees", m) for m in (*SHAPE_METRICS, *MOTION_METRICS)}
    assert np.isfinite(list(figures.values())).all()
    assert result.motion["local_trees"]["gap_closed"] > 0.1
    assert figures["occupancy_skill"] > 0.3
    assert figures["surface_rmsf_ratio"] == pytest.approx(1.0, abs=0.5)
    written = result.to_dict()
    assert list(written["trees"]["proteins"]) == ["plain"]
    assert written["scores"]["local_trees"]["iou"]["mean"] == figures["iou"]
    assert "| local_trees |" in Summary((result,)).markdown()


def test_trees_are_not_measured_on_what_they_were_grown_on(tmp_path, grown):
    trees, other = load_trees(grown), breathing(8)
    with pytest.raises(InputError, match="were grown on plain, which is the protein to measure"):
        evaluate(breathing(10), loaded(tmp_path), QUICK, trees=trees)
    with pytest.raises(InputError, match="grown on plain"):
        trees.refuse_grown_on("plain_R2", other.structure)
    trees.refuse_grown_on("plainer", other.structure)


def test_the_same_seed_grows_the_same_trees(tmp_path, data, grown):
    shutil.copytree(grown / "samples", tmp_path / "again" / "samples")
    assert grow(tmp_path / "again", data) == 0
    for name in STATISTICS:
        again = (tmp_path / "again" / f"{name}.txt").read_bytes()
        assert again == (grown / f"{name}.txt").read_bytes()


def test_trees_that_exist_are_not_grown_over(data, grown, capsys):
    assert grow(grown, data) == 2
    assert "holds trees already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: shutil.rmtree(folder), "holds no local trees"),
        (lambda folder: (folder / "trees.json").write_text("{}"), "holds no local trees"),
        (lambda folder: older(folder), "features of version 0, and this version"),
        (lambda folder: cut(folder / "occupancy.txt"), "occupancy.txt cannot be read"),
        (lambda folder: (folder / "fluctuation.txt").unlink(), "fluctuation.txt cannot be read"),
    ],
)
def test_a_folder_without_usable_trees_is_refused(spoil, said, tmp_path, grown):
    shutil.copytree(grown, tmp_path / "spoilt")
    spoil(tmp_path / "spoilt")
    with pytest.raises(CheckpointError, match=said) as refused:
        load_trees(tmp_path / "spoilt")
    assert "scripts/local_trees.py" in str(refused.value)


def older(folder):
    record = json.loads((folder / "trees.json").read_text(encoding="utf-8"))
    (folder / "trees.json").write_text(json.dumps({**record, "feature_version": 0}))


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_missing_library_is_one_sentence(monkeypatch, tmp_path, data, capsys):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    assert grow(tmp_path / "trees", data) == 2
    assert "need LightGBM, which is not installed" in capsys.readouterr().err
    assert not (tmp_path / "trees").exists()


def test_the_command_takes_trees_and_refuses_others(tmp_path, data, capsys):
    arguments = ["--ensemble", str(data / "plain"), "--trees", str(tmp_path)]
    assert moedsr(["evaluate", "--json", str(tmp_path / "out.json"), *arguments]) == 2
    assert "holds no local trees" in capsys.readouterr().err


def test_features_are_those_of_the_nearest_atoms_whatever_the_pose():
    structure = chain(6)
    surface = SolventExcludedSurface(structure.coords, structure.radii)
    points = structure.coords[[3, 20]] + [[0.5, 0.0, 0.0], [0.0, 3.0, 0.0]]
    start = surface.signed_distance(points)
    found = point_features(structure, points, start)
    column = dict(zip(FEATURES, found.T, strict=True))
    apart = np.sort(np.linalg.norm(points[:, None] - structure.coords, axis=-1), axis=1)
    assert column["distance_7"] == pytest.approx(apart[:, 7], abs=1e-5)
    near = np.linalg.norm(points[:, None] - structure.coords, axis=-1).argmin(axis=1)
    assert column["depth_0"].tolist() == structure.depths[near].tolist()
    within = np.linalg.norm(structure.coords[near][:, None] - structure.coords, axis=-1) <= 8.0
    assert column["density_0"].tolist() == within.sum(axis=1).tolist()
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turned = structure.with_coords(structure.coords @ turn.T)
    assert point_features(turned, points @ turn.T, start) == pytest.approx(found, abs=1e-4)


def test_neighbours_that_do_not_exist_are_unknown():
    structure = chain(1)
    found = point_features(structure, structure.coords[:1] + 1.0, np.zeros(1))
    named = dict(zip(FEATURES, found[0], strict=True))
    assert np.isnan([named["distance_6"], named["network_7"]]).all()
    assert np.isfinite([named["distance_5"], named["residue_2"]]).all()
