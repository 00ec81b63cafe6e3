"""Training: what the loss asks for, that it learns, and that it can be stopped at any moment."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from synthetic_chain import swelling

from moedsr_core.data.samples import SampleConfig, motion_samples
from moedsr_core.errors import CheckpointError, InputError
from moedsr_core.frame import OMEGA_MARGIN, TimeMap
from moedsr_core.models.anchored import AnchoredConfig, AnchoredMoEDSR
from moedsr_core.models.router.router import RouterConfig
from moedsr_core.training import checkpoint
from moedsr_core.training.checkpoint import load_checkpoint, save_checkpoint
from moedsr_core.training.loop import (
    TrainConfig,
    schedule,
    train,
    training_protein,
)

TIME = TimeMap(span_ps=1000.0, origin_ps=10.0)
MODEL = AnchoredConfig(
    router=RouterConfig(
        phi_s=4, phi_r=4, phi_p=8, zeta=8, gamma=1.0, max_neighbours=8, l_max=1, layers=1
    ),
    n_experts=3, n_selected=2, width=16, depth=1, local_channels=8, neighbours=6, phi_z=8,
)  # fmt: skip
SHORT = TrainConfig(
    model=MODEL, steps=4, batch=1, points=32, evaluate_every=2, learning_rate=0.1, time=TIME
)
LEARNER = TrainConfig(
    model=replace(
        MODEL, n_experts=1, n_selected=1, width=32, depth=2, local_channels=16, dropout=0.0
    ),
    steps=100, points=200, evaluate_every=50, learning_rate=4e-2, average=0.9, time=TIME,
)  # fmt: skip


@pytest.fixture(scope="module")
def samples():
    config = SampleConfig(n_frames=4, n_references=2, n_points=500, n_surface_points=40)
    return motion_samples(swelling(4), config)


@pytest.fixture(scope="module")
def proteins(samples):
    return [training_protein(sample, TIME) for sample in samples]


@pytest.fixture(scope="module")
def finished(proteins, tmp_path_factory):
    """A short run that nothing disturbed, and a copy of its folder at half the steps."""
    root = tmp_path_factory.mktemp("runs")

    def keep_half(row):
        if row["step"] == 2:
            shutil.copytree(root / "whole", root / "half")

    model = train(SHORT, proteins, [], root / "whole", keep_half)
    return SimpleNamespace(model=model, whole=root / "whole", half=root / "half")


@pytest.fixture(scope="module")
def victim():
    """A model that checkpoints are loaded into."""
    return AnchoredMoEDSR(MODEL)


@pytest.fixture
def half(finished, tmp_path) -> Path:
    shutil.copytree(finished.half, tmp_path / "run")
    return tmp_path / "run"


def assert_same_weights(a, b) -> None:
    ours, theirs = a.state_dict(), b.state_dict()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


# Schedule and input


def test_learning_rate_warms_up_and_falls_along_a_cosine():
    rates = np.array([schedule(k, 1100) for k in range(1101)])
    assert rates[:100] == pytest.approx(np.arange(1, 101) / 100)
    assert rates[100] == 1.0
    assert (np.diff(rates[100:]) < 0).all()
    assert rates[600] == pytest.approx(0.505)
    assert rates[1100] == pytest.approx(0.01)


def test_a_run_shorter_than_the_warm_up_has_a_rate():
    assert [schedule(k, 5) for k in range(5)] == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])


def test_a_sample_becomes_tensors_in_units_of_omega(samples, proteins):
    for sample, example in zip(samples, proteins, strict=True):
        scale = np.abs(sample.structure.coords).max() + OMEGA_MARGIN
        assert example.protein.scale == pytest.approx(scale)
        assert example.points.numpy() * scale == pytest.approx(sample.points, abs=1e-4)
        assert example.points.abs().max() < 1
        assert example.distances.numpy() == pytest.approx(sample.distances, abs=1e-5)
        assert example.times.numpy() == pytest.approx(TIME.to_t(sample.lags_ps), abs=1e-5)


# The loop


def test_a_small_model_learns_a_motion(proteins, tmp_path):
    reports = []
    train(LEARNER, proteins[:1], [], tmp_path, reports.append)
    assert reports[-1]["val_skill"] > 0.3
    assert reports[-1]["val_skill"] > reports[0]["val_skill"]
    assert reports[-1]["score"] < reports[0]["score"]


def test_a_run_reports_and_keeps_what_it_did(finished):
    lines = [json.loads(line) for line in (finished.whole / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert set(lines[0]) == {
        "step", "score", "skill", "mean_skill", "balance",
        "val_score", "val_skill", "val_mean_skill", "seconds_left",
    }  # fmt: skip
    assert lines[-1]["seconds_left"] == 0
    assert {path.name for path in finished.whole.iterdir()} == {
        "config.json", "log.jsonl", "last", "best",
    }  # fmt: skip
    best = json.loads((finished.whole / "best" / "state.json").read_text())
    assert best["best"] == max(line["val_skill"] for line in lines)


def test_a_run_returns_the_averaged_weights_that_validated_best(finished):
    average = load_file(finished.whole / "best" / "average.safetensors")
    current = load_file(finished.whole / "best" / "model.safetensors")
    got = finished.model.state_dict()
    assert all(torch.equal(average[name], got[name]) for name in average)
    assert any(not torch.equal(average[name], current[name]) for name in average)
    assert not finished.model.training


def test_a_killed_run_that_goes_on_equals_an_undisturbed_one(finished, proteins, half):
    torch.manual_seed(999)
    torch.rand(50)
    assert_same_weights(train(SHORT, proteins, [], half), finished.model)
    for part in ("last", "best"):
        for name in ("model", "average"):
            ours, theirs = (
                load_file(folder / part / f"{name}.safetensors")
                for folder in (half, finished.whole)
            )
            assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_two_runs_of_one_seed_are_equal_and_of_two_seeds_are_not(finished, proteins, tmp_path):
    once = replace(SHORT, steps=2)
    first = train(once, proteins, [], tmp_path / "a")
    assert_same_weights(train(once, proteins, [], tmp_path / "b"), first)
    with pytest.raises(AssertionError):
        assert_same_weights(train(replace(once, seed=1), proteins, [], tmp_path / "c"), first)


def test_a_finished_run_is_not_trained_again(finished, proteins, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished.whole, folder)
    reports = []
    assert_same_weights(train(SHORT, proteins, [], folder, reports.append), finished.model)
    assert reports == []


@pytest.mark.parametrize(
    "moment", ["before the new one has its name", "before the old one is gone"]
)
def test_a_kill_while_saving_leaves_a_checkpoint(finished, proteins, half, moment):
    if moment == "before the new one has its name":
        (half / "last").rename(half / "last.old")
    else:
        shutil.copytree(half / "last", half / "last.old")
    (half / "last.part").mkdir()
    (half / "last.part" / "model.safetensors").write_bytes(b"half")
    reports = []
    assert_same_weights(train(SHORT, proteins, [], half, reports.append), finished.model)
    assert [row["step"] for row in reports] == [4]
    assert {path.name for path in half.iterdir()} == {"config.json", "log.jsonl", "last", "best"}


def test_a_kill_at_any_step_of_saving_leaves_the_old_or_the_new_checkpoint(
    tmp_path, monkeypatch, linear
):
    model, optimizer, average = linear
    for kill in itertools.count():
        folder, calls = tmp_path / str(kill) / "last", itertools.count()
        save_checkpoint(folder, model, optimizer, average, {"step": 1, "best": 0.0})

        def stop(*args, real, calls=calls, kill=kill, **options):
            if next(calls) == kill:
                raise KeyboardInterrupt
            return real(*args, **options)

        with monkeypatch.context() as patch:
            for module, name in ((os, "replace"), (shutil, "rmtree"), (checkpoint, "save_file")):
                patch.setattr(module, name, partial(stop, real=getattr(module, name)))
            try:
                save_checkpoint(folder, model, optimizer, average, {"step": 2, "best": 0.0})
                break
            except KeyboardInterrupt:
                pass
        _, state = load_checkpoint(folder, model, optimizer)
        assert state["step"] in (1, 2)
    assert kill >= 7


@pytest.fixture
def linear():
    """A trained layer, its optimiser, and an average of its weights."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.rand(5, 3)).square().sum().backward()
        optimizer.step()
    return model, optimizer, {name: value + 1 for name, value in model.state_dict().items()}


def test_a_checkpoint_comes_back_whole(tmp_path, linear):
    model, optimizer, average = linear
    save_checkpoint(tmp_path / "c", model, optimizer, average, {"step": 3, "best": -math.inf})
    other = torch.nn.Linear(3, 2)
    fresh = torch.optim.AdamW(other.parameters(), lr=0.1)
    got, state = load_checkpoint(tmp_path / "c", other, fresh)
    assert state == {"step": 3, "best": -math.inf}
    assert all(torch.equal(got[name], average[name]) for name in average)
    assert_same_weights(other, model)
    x = torch.rand(5, 3)
    for m, o in ((model, optimizer), (other, fresh)):
        o.zero_grad()
        m(x).square().sum().backward()
        o.step()
    assert_same_weights(other, model)


def test_a_save_that_fails_leaves_the_old_checkpoint(half, monkeypatch):
    before = {path.name: path.read_bytes() for path in (half / "last").iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(half / "last", torch.nn.Linear(2, 2), None, {}, {"step": 9})
    assert {path.name: path.read_bytes() for path in (half / "last").iterdir()} == before


def test_a_run_folder_of_another_configuration_is_refused(half, proteins):
    with pytest.raises(InputError, match="another configuration"):
        train(replace(SHORT, seed=7), proteins, [], half)
    assert json.loads((half / "config.json").read_text())["seed"] == 0


@pytest.mark.parametrize("text", ["", "{", "\x00"])
def test_a_damaged_configuration_is_refused(half, proteins, text):
    (half / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        train(SHORT, proteins, [], half)


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path):
    path.write_bytes(b"")


def removed(path):
    path.unlink()


def foreign(path):
    if path.suffix == ".json":
        path.write_text("[1, 2]")
    else:
        save_file({"weight": torch.zeros(2, 2)}, path)


def of_another_size(path):
    if path.suffix == ".json":
        path.write_text('{"best": 0.0}')
    else:
        save_file(
            {name: torch.zeros([s + 1 for s in t.shape]) for name, t in load_file(path).items()},
            path,
        )


@pytest.mark.parametrize("damage", [truncated, emptied, removed, foreign, of_another_size])
@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "average.safetensors", "optimizer.safetensors", "state.json"],
)
def test_a_damaged_checkpoint_is_refused_in_one_sentence(half, victim, name, damage):
    damage(half / "last" / name)
    with pytest.raises(CheckpointError, match="cannot be continued from") as caught:
        load_checkpoint(half / "last", victim, torch.optim.AdamW(victim.parameters()))
    assert "\n" not in str(caught.value)


def test_a_run_with_a_damaged_checkpoint_stops(half, proteins):
    truncated(half / "last" / "model.safetensors")
    with pytest.raises(CheckpointError, match="start a new run folder"):
        train(SHORT, proteins, [], half)


def test_training_on_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one motion sample"):
        train(SHORT, [], [], tmp_path / "run")
    assert not os.path.exists(tmp_path / "run")


def test_validation_proteins_are_scored_but_not_learned_from(proteins, tmp_path):
    once = replace(SHORT, steps=2)
    rows = {"with": [], "without": []}
    first = train(once, proteins[:1], proteins[1:], tmp_path / "a", rows["with"].append)
    second = train(once, proteins[:1], [], tmp_path / "b", rows["without"].append)
    assert_same_weights(first, second)
    assert rows["with"][0]["val_score"] != rows["without"][0]["val_score"]
    assert rows["with"][0]["score"] == rows["without"][0]["score"]
