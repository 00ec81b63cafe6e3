"""What one step of `moedsr-anchored` sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_training import SAMPLES, SMALL, TIME, ensembles, samples, small_task

from moedsr_core.data.samples import motion_samples
from moedsr_core.errors import InputError
from moedsr_core.frame import OMEGA_MARGIN
from moedsr_core.training import motion_task
from moedsr_core.training.motion_task import MotionConfig


def test_a_sample_becomes_tensors_in_units_of_omega():
    measured = motion_samples(ensembles()[0], SAMPLES)
    for sample, example in zip(measured, samples(SAMPLES), strict=True):
        scale = np.abs(sample.structure.coords).max() + OMEGA_MARGIN
        assert example.protein.scale == pytest.approx(scale)
        assert example.points.numpy() * scale == pytest.approx(sample.points, abs=1e-4)
        assert example.points.abs().max() < 1
        assert example.distances.numpy() == pytest.approx(sample.distances, abs=1e-5)
        assert example.times.numpy() == pytest.approx(TIME.to_t(sample.lags_ps), abs=1e-5)


def test_a_step_sees_the_distances_of_its_points_at_its_frames(monkeypatch):
    seen = []

    def record(model, code, prepared, distances, times, **options):
        seen.append((prepared["start"], distances, times))
        return {"score": prepared["start"].sum()}

    monkeypatch.setattr(motion_task, "motion_loss", record)
    task = small_task("moedsr-anchored")
    (example, *_) = task.order.batch(0)
    with torch.no_grad():
        task.terms(example, task.encode(example), np.random.default_rng(0))
    ((start, distances, times),) = seen
    sample = samples(SAMPLES)[example.protein]
    rows = [int((sample.start - s).abs().argmin()) for s in start]
    config = SMALL["moedsr-anchored"].motion
    assert len(set(rows)) == config.points
    assert torch.equal(distances, sample.distances[example.frames][:, rows])
    assert torch.equal(times, sample.times[example.frames])
    assert len(times) == config.frames


@pytest.mark.parametrize("bad", [{"batch": 0}, {"points": 0}, {"balance_weight": -1.0}])
def test_steps_that_see_nothing_are_refused(bad):
    with pytest.raises(InputError):
        MotionConfig(**bad)
