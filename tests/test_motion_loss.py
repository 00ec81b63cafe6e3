"""The loss of motions: least where drawn motions are distributed as the true ones."""

from __future__ import annotations

import math

import pytest
import torch
from small_anchored import SMALL, near, untrained
from synthetic_chain import posed_chain

from moedsr_core.training.motion_loss import CLIP, motion_loss, ranked_probability_score


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def score_of(mean, spread, draws=2, n=200_000):
    """Score of N(mean, spread) for a truth that is N(0, 1)."""
    drawn = mean + spread * normal(1, draws, n)
    return float(ranked_probability_score(drawn, normal(1, n, seed=1)).mean())


@pytest.mark.parametrize("draws", [2, 5])
def test_score_of_a_normal_distribution_is_the_known_one(draws):
    true = torch.full((1, 200_000), 0.7, dtype=torch.float64)
    drawn = 0.2 + 1.5 * normal(1, draws, 200_000)
    z = (0.7 - 0.2) / 1.5
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    known = 1.5 * (z * math.erf(z / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi))
    assert float(ranked_probability_score(drawn, true).mean()) == pytest.approx(known, abs=0.01)


def test_score_is_least_for_the_true_distribution():
    best = score_of(0.0, 1.0)
    for mean, spread in ((0.0, 0.7), (0.0, 1.4), (0.4, 1.0), (-0.4, 1.0), (0.0, 0.0)):
        assert score_of(mean, spread) > best + 0.01


def test_score_of_a_still_surface_is_its_absolute_error():
    still, true = torch.zeros(3, 2, 5), normal(3, 5).float()
    torch.testing.assert_close(ranked_probability_score(still, true), true.abs())


@pytest.fixture(scope="module")
def protein():
    return posed_chain()


@pytest.fixture(scope="module")
def model():
    return untrained(SMALL)


@pytest.fixture(scope="module")
def code(model, protein):
    with torch.no_grad():
        return model.encode(protein)


@pytest.fixture(scope="module")
def prepared(model, code, protein):
    with torch.no_grad():
        return model.prepare(code, near(protein, 200))


LATE = torch.ones(6)


def loss(model, code, prepared, distances, times=LATE, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return motion_loss(model, code, prepared, distances, times, generator=generator, **options)


def of_amplitude(prepared, amplitude):
    return {
        **prepared,
        "offset": torch.zeros_like(prepared["offset"]),
        "amplitude": torch.full_like(prepared["amplitude"], amplitude),
    }


def test_amplitude_costs_least_at_the_true_one(model, code, prepared):
    times = torch.ones(60)
    z = torch.randn(60, 1, SMALL.phi_z, generator=torch.Generator().manual_seed(7))
    true = model.draw(code, of_amplitude(prepared, 0.8), times, z)[:, 0]
    costs = {
        a: float(loss(model, code, of_amplitude(prepared, a), true, times, draws=8)["score"])
        for a in (0.0, 0.3, 0.8, 1.3, 2.5)
    }
    assert min(costs, key=costs.get) == 0.8


def test_skill_is_the_share_of_the_static_score_that_is_removed(model, code, prepared):
    still, grown = of_amplitude(prepared, 0.0), prepared["start"].expand(6, -1) - 0.4
    moving = {**still, "offset": torch.full_like(prepared["offset"], -0.2)}
    assert float(loss(model, code, still, grown)["skill"]) == pytest.approx(0.0, abs=1e-6)
    near_half = float(loss(model, code, moving, grown)["skill"])
    assert near_half == pytest.approx(math.tanh(0.2) / 0.4, abs=0.02)
    terms = loss(model, code, moving, grown)
    assert float(terms["mean_skill"]) == pytest.approx(near_half, abs=1e-6)


def test_points_beyond_the_clip_ask_for_nothing(model, code, prepared):
    far = {**of_amplitude(prepared, 0.0), "start": torch.full_like(prepared["start"], CLIP + 1)}
    away = torch.full((6, len(prepared["start"])), CLIP + 4.0)
    assert float(loss(model, code, far, away)["score"]) == 0.0


def test_points_at_the_surface_count_most(model, code, prepared):
    start = torch.zeros_like(prepared["start"])
    start[100:] = 2.9
    still = {**of_amplitude(prepared, 0.0), "start": start, "looked_up": prepared["looked_up"]}
    costs = []
    for rows in (slice(0, 100), slice(100, 200)):
        moved = start.clone()
        moved[rows] -= 0.1
        costs.append(float(loss(model, code, still, moved.expand(6, -1))["score"]))
    weights = [1.1, 0.1 + math.exp(-0.5 * (2.9 / 1.5) ** 2)]
    assert costs[0] / costs[1] == pytest.approx(weights[0] / weights[1], rel=1e-3)


def test_offset_and_amplitude_get_finite_gradients(model, code, prepared):
    rows = {name: values.clone() for name, values in prepared.items()}
    for name in ("offset", "amplitude"):
        rows[name].requires_grad_()
    moves = prepared["start"] + torch.randn(6, 200, generator=torch.Generator().manual_seed(1))
    terms = loss(model, code, rows, moves, torch.linspace(-1, 1, 6))
    terms["score"].backward()
    for name in ("offset", "amplitude"):
        assert torch.isfinite(rows[name].grad).all()
        assert rows[name].grad.abs().sum() > 0
    assert not terms["skill"].requires_grad
    assert not terms["mean_skill"].requires_grad


def test_early_frames_ask_for_less_motion(model, code, prepared):
    rise = float(model.time_weights(torch.tensor(-0.98))[0])
    assert rise < 0.5
    rows = {**of_amplitude(prepared, 0.0), "offset": torch.full_like(prepared["offset"], 0.3)}
    moved = (prepared["start"] + math.tanh(0.3 * rise)).expand(6, -1)
    terms = loss(model, code, rows, moved, torch.full((6,), -0.98))
    assert float(terms["score"]) == pytest.approx(0.0, abs=1e-5)


def test_validation_is_the_same_every_time(model, code, prepared):
    moves = prepared["start"].expand(6, -1) + 0.3
    first, again = (loss(model, code, prepared, moves, draws=4) for _ in range(2))
    assert first["score"] == again["score"]
    assert loss(model, code, prepared, moves, seed=1)["score"] != first["score"]
