from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from moedsr_core.errors import InputError
from moedsr_core.losses import (
    LossConfig,
    eikonal_term,
    gradient,
    latent_norm,
    load_balance,
    local_sigma,
    manifold_terms,
    sample_space,
    sdf_terms,
    total_loss,
)


def sphere(x, radius=0.5):
    return x.norm(dim=1) - radius


def sphere_points(n=300, radius=0.5):
    u = torch.nn.functional.normalize(torch.randn(n, 3), dim=1)
    return radius * u, u


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_a_true_signed_distance_costs_nothing():
    points, normals = sphere_points()
    terms = sdf_terms(sphere, points, normals, 0.1 + torch.rand(200, 3), torch.zeros(8))
    for name, value in terms.items():
        assert value.item() < 1e-6, name


def test_each_term_measures_its_own_defect():
    points, normals = sphere_points()
    space = 0.1 + torch.rand(200, 3)
    shifted = manifold_terms(lambda x: sphere(x) + 0.2, points, normals)
    assert shifted["distance"].item() == pytest.approx(0.2, rel=1e-5)
    assert shifted["normal"].item() < 1e-6
    inside_out = manifold_terms(lambda x: -sphere(x), points, normals)
    assert inside_out["normal"].item() == pytest.approx(2.0, rel=1e-5)
    assert eikonal_term(lambda x: 3 * sphere(x), space).item() == pytest.approx(4.0, rel=1e-4)
    assert float(latent_norm(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))) == pytest.approx(2.5)


def test_gradient_is_that_of_the_field_in_space():
    x = torch.rand(10, 3)
    values, slope = gradient(lambda p: p.square().sum(dim=1), x)
    torch.testing.assert_close(slope, 2 * x)
    torch.testing.assert_close(values, x.square().sum(dim=1))


def test_eikonal_and_normal_terms_train_the_field():
    weight = torch.tensor(2.0, requires_grad=True)
    points, normals = sphere_points()
    loss = eikonal_term(lambda x: weight * sphere(x), 0.2 + torch.rand(50, 3))
    loss = loss + manifold_terms(lambda x: weight * sphere(x), points, normals)["normal"]
    (slope,) = torch.autograd.grad(loss, weight)
    assert float(slope) == pytest.approx(2 * (2 - 1) + 1, rel=1e-3)


def test_terms_have_finite_gradients_where_they_vanish():
    z = torch.zeros(5, requires_grad=True)
    weight = torch.ones((), requires_grad=True)
    flat = torch.rand(20, 3) * torch.tensor([1.0, 1.0, 0.0])
    normals = torch.tensor([[0.0, 0.0, 1.0]]).repeat(20, 1)
    terms = sdf_terms(lambda x: weight * x[:, 2], flat, normals, flat, z)
    grads = torch.autograd.grad(total_loss(terms, LossConfig()), [z, weight])
    assert all(g.isfinite().all() for g in grads)


def test_load_balance_is_one_at_uniform_use_and_the_number_of_experts_at_the_worst():
    assert float(load_balance(torch.eye(4))) == pytest.approx(1.0)
    assert float(load_balance(torch.eye(4)[[2] * 6])) == pytest.approx(4.0)


def test_load_balance_counts_winners_and_averages_gates():
    gates = torch.tensor([[0.6, 0.4, 0.0], [0.7, 0.0, 0.3], [0.0, 0.9, 0.1]])
    expected = 3 * (2 / 3 * 1.3 / 3 + 1 / 3 * 1.3 / 3)
    assert float(load_balance(gates)) == pytest.approx(expected)


def test_load_balance_is_least_at_uniform_use():
    uses = [
        float(load_balance(torch.eye(3)[list(choice)]))
        for choice in itertools.product(range(3), repeat=6)
    ]
    uniform = float(load_balance(torch.eye(3)[[0, 1, 2] * 2]))
    assert uniform == pytest.approx(min(uses))
    assert sum(use < uniform + 1e-6 for use in uses) == 90  # 6!/(2!2!2!) even choices and no other


def test_load_balance_pushes_gates_away_from_the_crowded_expert():
    logits = torch.tensor([[2.0, 0.0, 0.0]]).repeat(5, 1).requires_grad_(True)
    load_balance(torch.softmax(logits, dim=1)).backward()
    assert (logits.grad[:, 0] > 0).all()
    assert (logits.grad[:, 1:] < 0).all()


def test_total_is_the_papers_weighted_sum():
    names = ("distance", "normal", "eikonal", "latent", "balance")
    terms = {name: torch.tensor(10.0**k) for k, name in enumerate(names)}
    config = LossConfig(lambda_1=2.0, tau=3.0, lambda_sdf=0.5, lambda_z=0.1, lambda_2=0.01)
    expected = 2.0 * (1 + 3.0 * 10 + 0.5 * 100 + 0.1 * 1000) + 0.01 * 10000
    assert float(total_loss(terms, config)) == pytest.approx(expected)


def test_a_term_without_a_weight_is_refused():
    with pytest.raises(InputError, match="'eikonall'"):
        total_loss({"eikonall": torch.tensor(1.0)}, LossConfig())


def test_local_sigma_is_the_distance_to_the_fiftieth_neighbour():
    points = np.random.default_rng(0).normal(size=(120, 3))
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.testing.assert_allclose(local_sigma(points), np.sort(distance, axis=1)[:, 50])
    few = points[:10]
    np.testing.assert_allclose(local_sigma(few), distance[:10, :10].max(axis=1))


@pytest.mark.parametrize(("mixture", "uniform"), [("paper", 800), ("released", 100)])
def test_space_is_sampled_in_the_printed_and_in_the_released_mixture(mixture, uniform):
    points, _ = sphere_points(800, radius=5.0)  # outside Ω, so that the two parts are told apart
    sigma = torch.full((800,), 1e-3)
    drawn = sample_space(points, sigma, torch.Generator().manual_seed(0), mixture)
    assert int((drawn.abs().amax(dim=1) <= 1).sum()) == uniform
    assert len(drawn) == 800 + uniform


def test_samples_have_the_promised_distributions():
    points = torch.zeros(20000, 3)
    sigma = torch.full((20000,), 0.3)
    drawn = sample_space(points, sigma, torch.Generator().manual_seed(0))
    local, uniform = drawn[:20000], drawn[20000:]
    assert float(local.std()) == pytest.approx(0.3, rel=0.02)
    assert float(uniform.var()) == pytest.approx(1 / 3, rel=0.02)
    assert uniform.abs().max() <= 1


def test_samples_depend_on_the_given_generator_alone():
    points, _ = sphere_points(50)
    sigma = torch.full((50,), 0.1)
    first = sample_space(points, sigma, torch.Generator().manual_seed(3))
    state = torch.get_rng_state()
    second = sample_space(points, sigma, torch.Generator().manual_seed(3))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())


def test_an_unknown_mixture_is_refused():
    with pytest.raises(InputError, match="got 'dsr'"):
        sample_space(torch.zeros(2, 3), torch.ones(2), torch.Generator(), "dsr")
    with pytest.raises(InputError, match="got 'dsr'"):
        LossConfig(mixture="dsr")


def test_negative_weights_are_refused():
    with pytest.raises(InputError, match=r"loss\.tau must not be negative, got -1"):
        LossConfig(tau=-1.0)
