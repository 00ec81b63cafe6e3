"""How the anchored model moves in time: away from its start, on a drawn path."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from small_anchored import SMALL, untrained


@pytest.fixture(scope="module")
def model():
    return untrained(SMALL)


def test_drawn_path_has_the_autocorrelation_of_its_process():
    model = untrained(replace(SMALL, phi_z=200, kept_share=0.0))
    path = model.latent_path(600, torch.Generator().manual_seed(0)).double()
    rho = math.exp(-2.0 / SMALL.memory)
    assert path.var() == pytest.approx(1.0, abs=0.05)
    for lag in (1, 2, 4, 8, 16, 40):
        expected = rho**lag * (1 + lag * (1 - rho**2) / (1 + rho**2))
        measured = (path[lag:] * path[:-lag]).mean()
        assert measured == pytest.approx(expected, abs=0.05)


def test_a_share_of_a_drawn_path_stays_for_the_whole_movie():
    model = untrained(replace(SMALL, phi_z=4000, kept_share=0.3))
    path = model.latent_path(100, torch.Generator().manual_seed(0)).double()
    assert (path[0] * path[-1]).mean() == pytest.approx(0.3, abs=0.05)
    assert path.var() == pytest.approx(1.0, abs=0.05)


def test_drawn_path_is_stationary_from_its_first_frame():
    model = untrained(replace(SMALL, phi_z=4000))
    path = model.latent_path(3, torch.Generator().manual_seed(1))
    assert (path.var(dim=1) - 1).abs().max() < 5 * math.sqrt(2 / 4000)
    assert path.mean(dim=1).abs().max() < 5 / math.sqrt(4000)


def test_drawn_path_has_a_velocity(model):
    path = model.latent_path(200, torch.Generator().manual_seed(0))
    velocity = path.diff(dim=0)
    assert velocity.square().mean() < 0.1
    assert (velocity[1:] * velocity[:-1]).mean() > 0.5 * velocity.square().mean()


def test_path_depends_on_its_seed_alone(model):
    def path(seed):
        return model.latent_path(20, torch.Generator().manual_seed(seed))

    first = path(4)
    torch.manual_seed(99)
    assert torch.equal(path(4), first)
    assert not torch.equal(path(5), first)


def test_surface_leaves_its_start_at_once_and_for_good(model):
    rise, share = model.time_weights(torch.linspace(-1, 1, 201))
    assert rise[0] == 0
    assert (rise.diff() >= 0).all()
    assert rise[10] == pytest.approx(1 - math.exp(-0.1 / SMALL.rise), abs=1e-5)
    assert rise[-1] == pytest.approx(1.0)
    torch.testing.assert_close(share.sum(dim=-1), torch.ones(201))
    assert share.min() > 0
    peaks = share.argmax(dim=0)
    assert torch.equal(peaks, torch.arange(SMALL.time_modes) * 50)
