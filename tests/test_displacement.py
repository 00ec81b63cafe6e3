"""Random displacements: their size, their reach, and that they thin nothing."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from moedsr_core.models.displacement import RandomDisplacement

WAVES = 2000
LENGTH = 2.0


@pytest.fixture(scope="module")
def displacement():
    return RandomDisplacement(4 * WAVES, LENGTH)


def drawn(displacement, x, n, seed=0):
    """n displacements of points [Å], (n, points, 3)."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 4 * len(displacement.frequencies), generator=generator)
    return displacement.waves(x) @ displacement.directions(z)


def test_every_axis_has_unit_variance_everywhere(displacement):
    x = 30 * torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    xi = drawn(displacement, x, 3000)
    assert xi.mean(dim=0).abs().max() < 5 / math.sqrt(3000)
    assert (xi.var(dim=0) - 1).abs().max() < 0.05 + 5 * math.sqrt(2 / 3000)


def test_variance_is_exactly_the_same_at_every_point(displacement):
    x = 30 * torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    power = displacement.waves(x).square().sum(dim=1)
    assert power.numpy() == pytest.approx(1.5, rel=1e-4)


def test_neighbours_move_together_as_the_kernel_says(displacement):
    generator = torch.Generator().manual_seed(2)
    x = 20 * torch.randn(60, 3, generator=generator)
    step = torch.nn.functional.normalize(torch.randn(60, 3, generator=generator), dim=1)
    here = drawn(displacement, x, 200)
    for d in (0.0, 1.0, 2.0, 4.0, 8.0):
        there = drawn(displacement, x + d * step, 200)
        expected = math.exp(-(d**2) / (2 * LENGTH**2))
        assert (here * there).mean() == pytest.approx(expected, abs=0.03)


def test_no_matter_is_thinned_or_packed(displacement):
    x = 10 * torch.randn(8, 3, generator=torch.Generator().manual_seed(3))
    x = x.double().requires_grad_()
    waves = copy.deepcopy(displacement).double()
    z = torch.randn(4 * WAVES, generator=torch.Generator().manual_seed(4)).double()
    xi = waves.waves(x) @ waves.directions(z)
    slope = torch.stack(
        [torch.autograd.grad(xi[:, k].sum(), x, retain_graph=True)[0] for k in range(3)], dim=1
    )
    divergence = slope.diagonal(dim1=1, dim2=2).sum(dim=1)
    assert slope.abs().max() > 0.1
    assert divergence.abs().max() < 1e-5


def test_is_the_same_in_every_model():
    first = RandomDisplacement(16, 3.0)
    torch.manual_seed(99)
    second = RandomDisplacement(16, 3.0)
    assert torch.equal(first.frequencies, second.frequencies)
    assert torch.equal(first.polarisations, second.polarisations)


def test_code_zero_moves_nothing(displacement):
    x = torch.randn(5, 3)
    still = displacement.waves(x) @ displacement.directions(torch.zeros(4 * WAVES))
    assert torch.equal(still, torch.zeros(5, 3))
