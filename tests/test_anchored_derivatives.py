"""Derivatives of the anchored model are those of finite differences."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from small_anchored import SMALL, draws, near, untrained
from synthetic_chain import posed_chain

from moedsr_core.models.anchored import surface_distance


@pytest.fixture(scope="module")
def protein():
    return posed_chain()


@pytest.fixture(scope="module")
def model():
    return untrained(SMALL)


def in_double(protein):
    return replace(
        protein,
        **{
            name: getattr(protein, name).double()
            for name in ("points", "normals", "residue_positions", "atom_positions", "atom_radii")
        },
    )


def test_start_distance_has_the_derivative_of_finite_differences(protein):
    x = near(protein, 60, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(surface_distance(protein, x).sum(), x)
    step = 1e-4 * torch.eye(3, dtype=torch.float64)
    with torch.no_grad():
        numeric = torch.stack(
            [
                (surface_distance(protein, x + h) - surface_distance(protein, x - h)) / 2e-4
                for h in step
            ],
            dim=1,
        )
    error = (slope - numeric).norm(dim=1) / numeric.norm(dim=1)
    assert error.median() < 0.01
    assert error.quantile(0.8) < 0.1
    assert slope.norm(dim=1).median() == pytest.approx(protein.scale, rel=0.01)


def test_start_distance_has_no_second_derivative_to_give(protein):
    x = near(protein, 4).requires_grad_()
    total = surface_distance(protein, x).square().sum()
    (slope,) = torch.autograd.grad(total, x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        slope.square().sum().backward()


def test_learned_part_has_the_derivatives_of_finite_differences(protein, model):
    double, model = in_double(protein), copy.deepcopy(model).double()
    code, x = model.encode(double), near(protein, 5, dtype=torch.float64).requires_grad_()
    start = surface_distance(double, x).detach()
    z = draws(1)[0].double()

    def change(x):
        rows = model.prepare(code, x, start)
        return model.evaluate(code, rows, torch.tensor(0.3, dtype=torch.float64), z)

    assert torch.autograd.gradcheck(change, x, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("at", ["surface point", "atom", "centre"])
def test_second_derivatives_of_the_learned_part_are_finite(protein, model, at):
    double, model = in_double(protein), copy.deepcopy(model).double()
    code = model.encode(double)
    x = {
        "surface point": double.points[:3] / double.scale,
        "atom": double.atom_positions[:3] / double.scale,
        "centre": torch.zeros(1, 3, dtype=torch.float64),
    }[at].clone().requires_grad_()  # fmt: skip
    rows = model.prepare(code, x, torch.zeros(len(x), dtype=torch.float64))
    total = rows["offset"].sum() + rows["amplitude"].sum() + rows["waves"].sum()
    (slope,) = torch.autograd.grad(total, x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.square().sum(), x)
    assert torch.isfinite(slope).all()
    assert torch.isfinite(curvature).all()


def test_every_parameter_gets_a_gradient(protein):
    model = untrained(replace(SMALL, n_selected=SMALL.n_experts)).train()
    code, x = model.encode(protein), near(protein)
    model(code, x, torch.tensor(0.3), draws(1)[0]).square().sum().backward()
    silent = [
        name
        for name, p in model.named_parameters()
        if p.grad is None or not p.grad.any() or not torch.isfinite(p.grad).all()
    ]
    assert silent == []
