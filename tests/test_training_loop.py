"""The training loop, for every model."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import small_training
import torch
from safetensors.torch import load_file
from small_training import CPU, SMALL, SYNTHETIC, small_task, train_small
from synthetic_chain import stir

from moedsr_core.errors import CheckpointError, InputError
from moedsr_core.losses import load_balance
from moedsr_core.models.codes import read_codes
from moedsr_core.models.registry import load_model
from moedsr_core.training.learner import Learner
from moedsr_core.training.loop import DivergedError, RunConfig, _gradients
from moedsr_core.training.presets import build_task
from moedsr_core.training.run_folder import RunFolder, read_log
from moedsr_core.training.world import World

EXPERTS = {"dsr": 1, "moedsr": 3, "moedsr-anchored": 3}


def changed(preset, **parts):
    """A small configuration with fields of its parts replaced."""
    config = SMALL[preset]
    return replace(
        config, **{name: replace(getattr(config, name), **new) for name, new in parts.items()}
    )


def gradients(preset, config=None, step=0):
    """Gradient of one step, by parameter, and the sums of the loss terms."""
    config = config or SMALL[preset]
    task = small_task(preset, config)
    learner = Learner(task.module, task.rates(), config.optimizer, CPU)
    sums = _gradients(task, learner, config.run.seed, step, World())
    return {n: p.grad for n, p in task.module.named_parameters() if p.grad is not None}, sums


@pytest.fixture(scope="module", params=SMALL)
def finished(request, tmp_path_factory):
    """A run of each preset that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "run"
    rows = []
    task = train_small(request.param, out, report=rows.append)
    return request.param, task, out, rows


def test_a_run_logs_its_loss_terms_and_scores(finished):
    preset, task, out, rows = finished
    lines = read_log(out / "log.csv")
    assert [int(line["step"]) for line in lines] == [2, 3, 4, 6]
    columns = ["step", "seconds", "seconds_left", "epoch", "learning_rate", "loss"]
    columns += [*task.terms_logged, *(["balance"] if EXPERTS[preset] > 1 else [])]
    assert list(lines[0]) == columns + [f"val_{name}" for name in task.scores]
    first = f"val_{task.scores[0]}"
    assert [line[first] != "" for line in lines] == [False, True, False, True]
    assert float(lines[-1]["seconds_left"]) == 0
    assert [row["loss"] for row in rows] == [float(line["loss"]) for line in lines]


def test_the_best_checkpoint_scored_best_and_its_average_is_returned(finished):
    _, task, out, rows = finished
    state = json.loads((out / "best" / "state.json").read_text())
    first = f"val_{task.scores[0]}"
    assert state["best"] == max(row[first] for row in rows if first in row)
    average = load_file(out / "best" / "average.safetensors")
    got = task.module.state_dict()
    assert got.keys() == average.keys()
    assert all(torch.equal(average[name], got[name]) for name in average)
    assert not task.module.training


def test_the_average_of_the_weights_is_not_the_weights_where_asked_for(finished):
    preset, _, out, _ = finished
    current = load_file(out / "last" / "model.safetensors")
    average = load_file(out / "last" / "average.safetensors")
    same = all(torch.equal(current[name], average[name]) for name in current)
    assert same == (SMALL[preset].optimizer.average == 0)


@pytest.mark.parametrize("where", ["trained", "best so far"])
def test_weights_load_and_predict_what_the_task_does(finished, tmp_path, where):
    preset, task, out, _ = finished
    weights = out / "best" / "weights"
    if where == "trained":
        weights = tmp_path / "weights"
        task.export(weights)
    loaded = load_model(weights)
    assert loaded.info.architecture == preset
    for name, value in task.model.state_dict().items():
        assert torch.equal(value, loaded.model.state_dict()[name])
    codes = read_codes(weights)
    assert sorted(codes) == ([] if preset == "moedsr-anchored" else ["bending", "swelling"])
    if codes:
        mean = task.codes.codes.weight.detach().mean(dim=0)
        assert torch.allclose(loaded.model.mean_code, mean)
    assert (loaded.scale is None) == (preset != "dsr")
    assert loaded.time_map.span_ps == (0.0 if preset == "dsr" else 1000.0)


@pytest.mark.parametrize("preset", ["dsr", "moedsr"])
def test_a_surface_is_learned(preset, tmp_path):
    config = changed(
        preset,
        optimizer={"learning_rate": 5e-3, "clip": 1.0},
        run={"steps": 30, "log_every": 10, "evaluate_every": 10, "checkpoint_every": 30},
    )
    rows = []
    train_small(preset, tmp_path, config, report=rows.append)
    assert rows[-1]["loss"] < 0.92 * rows[0]["loss"]
    assert rows[-1]["distance"] < 0.5 * rows[0]["distance"]
    assert rows[-1]["val_iou"] > 1.2 * rows[0]["val_iou"]


def test_a_motion_is_learned(tmp_path):
    model = replace(
        SMALL["moedsr-anchored"].model,
        n_experts=1, n_selected=1, width=32, depth=2, local_channels=16,
    )  # fmt: skip
    config = changed(
        "moedsr-anchored",
        motion={"batch": 2, "points": 200, "frames": 3},
        optimizer={"learning_rate": 4e-2, "average": 0.9},
        run={"steps": 60, "log_every": 30, "evaluate_every": 30},
    )
    rows = []
    train_small("moedsr-anchored", tmp_path, replace(config, model=model), report=rows.append)
    assert rows[-1]["val_skill"] > 0.2
    assert rows[-1]["score"] < rows[0]["score"]


@pytest.mark.parametrize("preset", SMALL)
def test_two_seeds_differ_in_every_model(preset):
    tasks = (small_task(preset, changed(preset, run={"seed": seed})) for seed in (0, 1))
    a, b = (task.module.state_dict() for task in tasks)
    assert any(not torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("preset", ["moedsr", "moedsr-anchored"])
def test_the_balance_of_a_batch_is_the_papers_load_balance_loss(preset):
    task = small_task(preset)
    gates = []
    encode = task.encode
    task.encode = lambda example: gates.append(encode(example)) or gates[-1]
    learner = Learner(task.module, task.rates(), SMALL[preset].optimizer, CPU)
    sums = _gradients(task, learner, 0, 0, World())
    balance, n = float(sums[-2]), float(sums[-1])
    assert n == len(gates) == 2
    expected = load_balance(torch.stack([code.gate.detach() for code in gates]))
    assert balance / n == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("preset", SMALL)
def test_accumulated_batches_have_the_mean_gradient(preset):
    both, _ = gradients(preset, changed(preset, optimizer={"accumulate": 2}))
    single = [gradients(preset, step=step)[0] for step in (0, 1)]
    for name, value in both.items():
        mean = sum(g[name] for g in single if name in g) / 2
        assert torch.allclose(value, mean, rtol=1e-4, atol=1e-7), name


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("preset", SMALL)
def test_mixed_precision_keeps_the_direction_of_the_gradient(preset, precision):
    """Second derivatives included: eikonal and normal terms make up most of these gradients."""
    exact, _ = gradients(preset)
    config = changed(preset, optimizer={"precision": precision})
    rounded, _ = gradients(preset, config)
    assert rounded.keys() == exact.keys()
    a = torch.cat([exact[name].flatten() for name in exact])
    b = torch.cat([rounded[name].flatten() for name in exact])
    assert not torch.equal(a, b)
    limit = 0.98 if precision == "bfloat16" else 0.999
    assert torch.nn.functional.cosine_similarity(a, b, dim=0) > limit


@pytest.mark.parametrize("preset", ["dsr", "moedsr-anchored"])
def test_a_scaled_loss_takes_the_steps_of_an_unscaled_one(preset, tmp_path):
    config = changed(preset, optimizer={"precision": "float16", "average": 0.0})
    rows = []
    task = train_small(preset, tmp_path, config, report=rows.append)
    state = json.loads((tmp_path / "last" / "state.json").read_text())
    assert state["scaler"]["scale"] > 0
    exact = train_small(preset, tmp_path / "exact", changed(preset, optimizer={"average": 0.0}))
    a, b = task.module.state_dict(), exact.module.state_dict()
    start = small_task(preset).module.state_dict()
    moved = sum(float((b[n] - start[n]).abs().sum()) for n in b if b[n].is_floating_point())
    apart = sum(float((b[n] - a[n]).abs().sum()) for n in b if b[n].is_floating_point())
    assert apart < 0.3 * moved


def test_a_diverging_loss_stops_the_run_before_it_is_saved(tmp_path):
    config = changed("dsr", optimizer={"learning_rate": 1e20})
    with pytest.raises(DivergedError, match="lower the learning rate"):
        train_small("dsr", tmp_path, config)
    assert not (tmp_path / "last").exists() or all(
        torch.isfinite(t).all() for t in load_file(tmp_path / "last" / "model.safetensors").values()
    )


def test_a_run_with_a_damaged_checkpoint_stops(tmp_path):
    train_small("dsr", tmp_path, changed("dsr", run={"steps": 2}))
    path = tmp_path / "last" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="start a new run folder"):
        train_small("dsr", tmp_path, changed("dsr", run={"steps": 2}))


def test_validation_proteins_are_scored_but_not_learned_from():
    class Held(small_training.SyntheticSources):
        def surfaces(self, part):
            return {part: small_training.surfaces(0 if part == "train" else 1)}

    held = Held(SYNTHETIC.folders, SYNTHETIC.split, SYNTHETIC.kept)
    config = SMALL["moedsr"]
    task = build_task("moedsr", config, held, CPU)
    assert task.n_validation == 1
    assert task.order.batch(0)[0].protein == 0
    assert len(task.codes.codes.weight) == 1
    scores = {}
    for policy in ("zero", "mean", "fit"):
        surfaces = replace(config.surfaces, unseen_code=policy)
        task = build_task("moedsr", replace(config, surfaces=surfaces), held, CPU)
        stir(task.module)
        scores[policy] = task.validate(0)["distance_A"]
    assert len(set(scores.values())) == 3


@pytest.mark.parametrize(
    "bad",
    [
        {"steps": 0}, {"steps": -1}, {"steps": 1, "checkpoint_every": 0},
        {"steps": 1, "evaluate_every": -1}, {"steps": 1, "seed": -1},
    ],
)  # fmt: skip
def test_runs_that_cannot_be_are_refused(bad):
    with pytest.raises(InputError):
        RunConfig(**bad)


def test_epochs_count_steps_after_accumulation():
    assert RunConfig(epochs=3).length(7) == 21
    assert RunConfig(steps=5, epochs=3).length(7) == 5


def test_tensorboard_gets_the_log(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is an extra")
    folder = RunFolder(tmp_path, tensorboard=True)
    log = folder.log(0, ("loss",), ("iou",), World())
    log.write({"step": 1, "loss": 0.5})
    log.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 0.5)]
