"""`scripts/moe_tables.py`: from trained models and trajectories to files, and what it refuses."""

from __future__ import annotations

import csv
import importlib
import json
import shutil
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from evaluated import MODELS, loaded
from hand_made_scores import write_scores
from moving_protein import helix, pdb_text

from moedsr_core.frame import TimeMap
from moedsr_core.models.registry import save_model
from moedsr_core.reports import moe_measure

QUICK = [
    "--measure.frames", "2", "--measure.spacing", "1.2", "--measure.draws", "4", "--threads", "1",
    "--metrics", "iou", "gap_closed",
]  # fmt: skip


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "scripts")
        return importlib.import_module("moe_tables")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two trembling helices, one of them thrice, a split, and a small model of each kind."""
    root = tmp_path_factory.mktemp("world")
    for name, residues in (("short", 6), ("long", 8)):
        write_helix(root / "data" / name, name, residues)
    for name in ("R2", "R3"):
        shutil.copy(root / "data/long/long_R1.xtc", root / f"data/long/long_{name}.xtc")
    split = {"train": [], "validation": [{"name": "long"}], "test": [{"name": "short"}]}
    (root / "split.json").write_text(json.dumps(split), encoding="utf-8")
    for kind in MODELS:
        model = loaded(root / "plain", kind=kind, push=0.05 if kind == "moedsr-anchored" else 0.0)
        save_model(
            root / "runs" / kind / "weights", model.model, architecture=kind, summary="",
            time=TimeMap(span_ps=1e5),
        )  # fmt: skip
    return root


def write_helix(folder, name, residues):
    folder.mkdir(parents=True)
    (folder / f"{name}.pdb").write_text(pdb_text(helix(residues)), encoding="ascii")
    first = mdtraj.load(str(folder / f"{name}.pdb"))
    rng = np.random.default_rng(residues)
    xyz = first.xyz[0] + 0.05 * rng.normal(size=(3, *first.xyz.shape[1:]))
    frames = mdtraj.Trajectory(xyz.astype(np.float32), first.topology, time=10.0 * np.arange(3))
    frames.save_xtc(str(folder / f"{name}_R1.xtc"))


def source(world) -> list[str]:
    return ["--data", str(world / "data"), "--split", str(world / "split.json")]


def test_table1_sets_all_three_models_beside_the_baselines(script, world, tmp_path, capsys):
    models = [
        f"{kind}={world / 'runs' / kind}" for kind in ("dsr", "moedsr", "moedsr-anchored")
    ]  # fmt: skip
    out = tmp_path / "table"
    assert (
        script.main(["table1", *source(world), *QUICK, "--out", str(out), "--models", *models]) == 0
    )
    with (out / "table1.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    iou = {(r["protein"], r["model"]): float(r["mean"]) for r in rows if r["metric"] == "iou"}
    assert {protein for protein, _ in iou} == {"short", "All"}
    assert iou["short", "static"] < iou["short", "mean_shape"] < 1.0
    assert all(0.0 < iou["short", kind] < 1.0 for kind in MODELS)
    header = "| iou ↑ | static | mean_shape | dsr | moedsr | moedsr-anchored |"
    assert header in capsys.readouterr().out
    assert (out / "table1.md").read_text(encoding="utf-8").startswith("# Surfaces over time")
    assert (out / "table1.png").stat().st_size > 1000

    # the scores that were kept make the same table again, without the models
    kept = [f"{kind}={out / 'scores' / f'{kind}-0.json'}" for kind in MODELS]
    again = tmp_path / "again"
    arguments = ["table1", "--metrics", "iou", "gap_closed", "--out", str(again), "--models", *kept]
    assert script.main(arguments) == 0
    with (again / "table1.csv").open(encoding="utf-8") as file:
        found = {(r["protein"], r["model"], r["metric"]): r["mean"] for r in csv.DictReader(file)}
    assert found == {(r["protein"], r["model"], r["metric"]): r["mean"] for r in rows}


@pytest.mark.exe
@pytest.mark.skipif(shutil.which("mmseqs") is None, reason="needs MMseqs2")
def test_experts_routes_every_protein_of_every_part_once(script, world, tmp_path):
    models = [f"{kind}={world / 'runs' / kind}" for kind in ("moedsr", "moedsr-anchored")]
    arguments = ["experts", *source(world), "--out", str(tmp_path / "t"), "--models", *models]
    assert script.main([*arguments, "--shuffles", "5", "--threads", "1"]) == 0
    with (tmp_path / "t" / "experts.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(r["model"], r["protein"]) for r in rows] == [
        (model, protein)
        for model in ("moedsr-0", "moedsr-anchored-0")
        for protein in ("long", "short")
    ]
    assert {r["expert"] for r in rows} <= {"1", "2"}
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == [
        "experts.csv", "experts.md", "experts.png", "experts_identity.csv",
    ]  # fmt: skip


def test_variants_are_compared_from_scores_alone(script, tmp_path, capsys):
    models = [
        f"{n}=" + ",".join(write_scores(tmp_path / f"{n}-{k}.json", p=0.1 * k + 0.01 * int(n))
                           for k in range(3))
        for n in ("16", "4")
    ]  # fmt: skip
    arguments = ["sweep", "--metrics", "iou", "--out", str(tmp_path / "t"), "--models", *models]
    assert script.main(arguments) == 0
    said = capsys.readouterr().out
    assert "| 16 | 0.260 ± 0.100 |" in said
    assert "| 4 | 0.140 ± 0.100 |" in said
    assert (tmp_path / "t" / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_commands_are_printed_without_any_model_or_data(script, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command, count in (("backbones", 7), ("sweep", 3), ("encoding", 3)):
        assert script.main([command, "--commands"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 3 * count + 1
        assert lines[-1].startswith(f"python scripts/moe_tables.py {command} --data DATA")
    assert script.main(["encoding", "--commands", "--data", "ATLAS", "--stores", "surfaces"]) == 0
    *trainings, table = capsys.readouterr().out.splitlines()
    assert all(" --data surfaces " in line and "ATLAS" not in line for line in trainings)
    assert " --data ATLAS " in table and "surfaces" not in table
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table1"], "give --models"),
        (["table1", "--models", "default"], "LABEL=TRIAL"),
        (["table1", "--models", "a=default,"], "LABEL=TRIAL"),
        (["table1", "--models", "a=default", "a=default"], "given twice"),
        (["table1", "--models", "a=default"], "give --data"),
        (["table1", "--models", "a=nowhere.json"], "does not hold scores"),
        (["table1", "--models", "a=nobody"], "give --data"),
        (["backbones", "--models", "pointmlp=default"], "labelled pointmlp"),
        (["backbones", "--models", "best=default"], "backbone must be one of"),
        (["sweep", "--models", "four=default"], "labels of a sweep must be numbers"),
        (["encoding", "--commands", "--preset", "moedsr-anchored"], "has no expert.encoding"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    arguments, said, script, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert script.main(arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "stopped"])
def test_a_model_is_not_measured_on_what_it_was_trained_on(script, world, tmp_path, capsys, ended):
    run, weights = tmp_path / "run", tmp_path / "run" / "best" / "weights"
    shutil.copytree(world / "runs/moedsr-anchored/weights", run / "weights" if ended else weights)
    (run / "config.json").write_text("{}", encoding="utf-8")
    (run / "split.json").write_text('{"train": [{"name": "short"}]}', encoding="utf-8")
    arguments = ["table1", *source(world), *QUICK, "--models", f"a={run if ended else weights}"]
    assert script.main([*arguments, "--out", str(tmp_path / "t")]) == 2
    assert f"{run} was trained on short" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "t").exists()


def test_a_training_that_has_not_ended_is_refused(script, world, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text("{}", encoding="utf-8")
    assert script.main(["table1", *source(world), "--models", f"a={run}"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "has not ended" in said and f"give {run / 'best' / 'weights'} for" in said


def test_experts_of_a_model_without_any_are_refused(script, world, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(script, "find_mmseqs", lambda: "mmseqs")
    arguments = ["experts", *source(world), "--models", f"a={world / 'runs' / 'dsr'}"]
    assert script.main([*arguments, "--out", str(tmp_path / "t")]) == 2
    assert "no experts" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "t").exists()


def test_a_missing_mmseqs_is_said_before_any_work(script, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert script.main(["experts", "--models", "a=default", "--data", str(tmp_path)]) == 2
    assert "apt-get install mmseqs2" in " ".join(capsys.readouterr().err.split())


def test_a_ctrl_c_keeps_the_scores_of_finished_trials_and_no_table(
    script, world, tmp_path, capsys, monkeypatch
):
    anchored, out = str(world / "runs" / "moedsr-anchored"), tmp_path / "t"
    measured = []

    def once(*arguments, **options):
        if measured:
            raise KeyboardInterrupt
        measured.append(1)
        return whole(*arguments, **options)

    whole = moe_measure.evaluate
    monkeypatch.setattr(moe_measure, "evaluate", once)
    arguments = ["table1", *source(world), *QUICK, "--models", f"a={anchored},{anchored}"]
    code = script.main([*arguments, "--out", str(out)])
    assert code == 130
    assert "no table was written" in " ".join(capsys.readouterr().err.split())
    assert [p.relative_to(out).as_posix() for p in out.rglob("*.*")] == ["scores/a-0.json"]


def test_a_misspelt_flag_is_refused(script, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main(["table1", "--model", "a=default"])
    assert stopped.value.code == 2
    assert "--model" in capsys.readouterr().err


def test_every_backbones_weights_are_told_apart_by_their_label(script, world, tmp_path, capsys):
    place = world / "runs" / "moedsr"
    assert script.main(["backbones", "--models", f"dmasif={place}"]) == 2
    assert "has router.backbone qmpnn" in " ".join(capsys.readouterr().err.split())
