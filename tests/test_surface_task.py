"""What one step of `dsr` and `moedsr` sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_training import CPU, SMALL, SYNTHETIC, small_task
from synthetic_chain import stir

from moedsr_core.losses import local_sigma, sample_space
from moedsr_core.training import surface_task
from moedsr_core.training.learner import Learner
from moedsr_core.training.loop import validate
from moedsr_core.training.order import Example
from moedsr_core.training.presets import build_task
from moedsr_core.training.world import World

LITERAL = ["dsr", "moedsr"]


def task_with(preset, **options):
    config = SMALL[preset]
    task = build_task(
        preset, replace(config, surfaces=replace(config.surfaces, **options)), SYNTHETIC, CPU
    )
    stir(task.module, 0.05)
    return task


def terms(task, frames, seed=0):
    example = Example(1, np.array(frames))
    with torch.no_grad():
        task.module.eval()
        code = task.encode(example)
    return task.terms(example, code, np.random.default_rng(seed))


@pytest.mark.parametrize("preset", LITERAL)
def test_frames_seen_together_give_the_mean_of_frames_seen_apart(preset):
    task = task_with(preset, points=0)
    both = terms(task, [0, 1])
    apart = [terms(task, [k]) for k in (0, 1)]
    for name in ("distance", "normal", "latent"):
        mean = sum(float(one[name].detach()) for one in apart) / 2
        assert float(both[name].detach()) == pytest.approx(mean, rel=1e-4)
    assert float(apart[0]["distance"].detach()) != pytest.approx(
        float(apart[1]["distance"].detach()), rel=1e-3
    )


@pytest.mark.parametrize("points", [0, 48])
def test_points_off_the_surface_are_spread_by_the_50th_neighbour(monkeypatch, points):
    seen = []

    def record(surface, sigma, generator, mixture):
        seen.append((surface.numpy(), sigma.numpy(), mixture))
        return sample_space(surface, sigma, generator, mixture)

    monkeypatch.setattr(surface_task, "sample_space", record)
    task = task_with("dsr", points=points)
    terms(task, [0])
    ((surface, sigma, mixture),) = seen
    cloud = task._training[1].cloud(0)
    assert len(surface) == (points or len(cloud.points))
    rows = [int(np.square(cloud.points - p).sum(axis=1).argmin()) for p in surface]
    assert len(set(rows)) == len(rows)
    assert sigma == pytest.approx(local_sigma(cloud.points)[rows], rel=1e-5)
    assert mixture == SMALL["dsr"].model.loss.mixture


def test_each_trajectory_learns_its_own_code():
    task = task_with("dsr")
    task.total(terms(task, [0])).backward()
    gradient = task.codes.codes.weight.grad
    assert (gradient[0] == 0).all()
    assert (gradient[1] != 0).all()


@pytest.mark.parametrize("preset", LITERAL)
def test_codes_and_model_have_their_own_rates(preset):
    task = small_task(preset)
    (model, slow), (codes, fast) = task.rates()
    config = SMALL[preset].optimizer
    assert (slow, fast) == (config.learning_rate, config.code_learning_rate)
    assert [p is task.codes.codes.weight for p in codes] == [True]
    assert len(model) + len(codes) == len(list(task.module.parameters()))


@pytest.mark.parametrize("preset", SMALL)
def test_validation_leaves_the_weights_as_they_are_and_scores_the_average(preset):
    task = small_task(preset)
    stir(task.module, 0.05)
    learner = Learner(task.module, task.rates(), SMALL[preset].optimizer, CPU)
    scores = validate(task, learner, World())
    stir(task.module, 0.2, seed=1)
    before = {name: value.clone() for name, value in task.module.state_dict().items()}
    assert validate(task, learner, World()) == scores
    after = task.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_held_out_frames_are_scored_with_the_trajectorys_own_code():
    task = small_task("dsr")
    assert [case.code for case in task._cases] == [0, 1]
    assert [case.trajectory.frames.tolist() for case in task._cases] == [[1, 3], [1, 3]]
    assert [t.frames.tolist() for t in task._training] == [[0, 2], [0, 2]]
