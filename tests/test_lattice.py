"""The lattice of a surface's distances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from moving_protein import helix

from moedsr_core.surface import lattice
from moedsr_core.surface.lattice import DistanceLattice
from moedsr_core.surface.ses import SolventExcludedSurface


@pytest.fixture(scope="module")
def surface():
    molecule = helix()
    return SolventExcludedSurface(molecule.coords, molecule.radii)


@pytest.fixture(scope="module")
def measured(surface):
    return DistanceLattice.around(surface, spacing=0.5, band=5.0, margin=8.0)


def scattered(surface, n=4000, beyond=7.0):
    lower, upper = surface.bounds
    return np.random.default_rng(0).uniform(lower - beyond, upper + beyond, (n, 3))


def test_values_are_exact_at_nodes_in_the_band(surface, measured):
    index = np.argwhere(np.abs(measured.values.numpy()) < 5.0)[::50]
    x = measured.origin.numpy() + measured.spacing * index
    truth = surface.signed_distance(x)
    assert np.abs(measured.values.numpy()[tuple(index.T)] - truth).max() < 1e-4


def test_points_between_nodes_are_interpolated(surface, measured):
    x = scattered(surface)
    truth = surface.signed_distance(x)
    found = measured.sample(torch.tensor(x, dtype=torch.float32)).numpy()
    near = np.abs(truth) < 3.0
    assert np.abs(found - truth)[near].max() < 0.25
    assert np.abs(found - truth)[near].mean() < 0.02
    assert np.abs(found - truth)[~near].max() < 0.6


def test_half_the_spacing_gives_a_quarter_of_the_error(surface):
    x = scattered(surface, beyond=1.0)
    truth = surface.signed_distance(x)
    errors = []
    for spacing in (0.8, 0.4):
        found = DistanceLattice.around(surface, spacing=spacing, band=3.0, margin=4.0).sample(
            torch.tensor(x, dtype=torch.float32)
        )
        errors.append(np.median(np.abs(found.numpy() - truth)[np.abs(truth) < 1.0]))
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.35)


def test_outside_the_lattice_the_border_counts(surface, measured):
    lower, _ = surface.bounds
    x = torch.tensor(np.stack([lower - 8.0, lower - 100.0]), dtype=torch.float32)
    inner, outer = measured.sample(x)
    assert outer == pytest.approx(float(inner), abs=1e-3)
    assert outer > 5


def test_values_have_a_gradient(measured, surface):
    x = torch.tensor(scattered(surface, 300, 1.0), dtype=torch.float32).requires_grad_()
    measured.sample(x).sum().backward()
    length = x.grad.norm(dim=1)
    assert length.median() == pytest.approx(1.0, abs=0.05)


def test_any_shape_of_points_may_be_sampled(measured):
    x = torch.randn(2, 3, 4, 3)
    together = measured.sample(x)
    assert together.shape == (2, 3, 4)
    assert torch.equal(together[1, 2], measured.sample(x[1, 2]))


def test_a_huge_molecule_gets_a_coarser_lattice(surface, monkeypatch):
    monkeypatch.setattr(lattice, "_MAX_NODES", 5000)
    coarse = DistanceLattice.around(surface, spacing=0.5, band=3.0, margin=4.0)
    assert coarse.spacing > 1.0
    assert coarse.values.numel() < 15_000
