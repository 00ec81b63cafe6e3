"""The level that keeps a protein's volume while its surface moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_anchored import SMALL, draws, untrained
from synthetic_chain import posed_chain

from moedsr_core.errors import InputError
from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.models.volume import VolumeLevel, measure_level, nodes_near

TIMES = torch.tensor([-1.0, -0.9, -0.2, 0.7, 1.0])


@pytest.fixture(scope="module")
def protein():
    return posed_chain()


@pytest.fixture(scope="module")
def wearing():
    """A model whose motions wear the surface away."""
    return untrained(replace(SMALL, volume_nodes=16_384))


@pytest.fixture(scope="module")
def lattice(wearing, protein):
    with torch.no_grad():
        return wearing.encode(protein).lattice


def enclosed(values, lattice):
    """Volume of f < 0 [nodes], from f on the whole band around the input's surface."""
    return (values < 0).sum(dim=-1) + (lattice.values <= -4.0).sum()


@torch.no_grad()
def kept(model, protein, lattice, t):
    """Volume in the mean over drawn motions, and of the typical shape, over the input's."""
    code = model.encode(protein)
    rows, before = band(model, code, protein, lattice)
    drawn = enclosed(model.draw(code, rows, t[None], draws(24, seed=5)[None])[0], lattice)
    typical = enclosed(model.typical(code, rows, t), lattice)
    return float(drawn.float().mean() / before), float(typical / before)


def band(model, code, protein, lattice):
    """Every node of the band, prepared, and the input's volume."""
    index = torch.nonzero(lattice.values.abs() < 4.0)
    here, start = lattice.origin + lattice.spacing * index, lattice.values[tuple(index.T)]
    return model.prepare(code, here / protein.scale, start), enclosed(start, lattice)


def test_a_level_is_told_in_straight_lines_and_grows_with_the_rise():
    level = VolumeLevel(torch.tensor([-0.5, 0.0, 1.0]), torch.tensor([1.0, 3.0, 5.0]))
    t = torch.tensor([-0.9, -0.5, -0.25, 0.5, 1.0])
    ones = torch.ones(5)
    assert level.at(t, ones).tolist() == [1.0, 1.0, 2.0, 4.0, 5.0]
    assert level.at(t, 0.5 * ones).tolist() == [0.5, 0.5, 1.0, 2.0, 2.5]
    assert level.at(t, 0.0 * ones).tolist() == [0.0] * 5


def test_nodes_lie_around_the_surface_and_are_always_the_same(lattice):
    here, start = nodes_near(lattice, 500)
    assert 450 < len(here) <= 500
    assert start.abs().max() < 4.0
    assert (lattice.sample(here) - start).abs().max() < 1e-4
    assert torch.equal(here, nodes_near(lattice, 500)[0])
    everything, _ = nodes_near(lattice, 10**9)
    assert len(everything) == int((lattice.values.abs() < 4.0).sum())


@torch.no_grad()
def test_the_typical_shape_of_a_movie_keeps_its_volume_in_every_frame(wearing, protein, lattice):
    code = wearing.encode(protein)
    rows, before = band(wearing, code, protein, lattice)
    times = torch.tensor([-1.0, -0.97, -0.7, 0.2])
    settled = wearing.settle(code, times, None)
    assert settled.typical_level.times.tolist() == times[1:].tolist()
    for t in times:
        shape = enclosed(wearing.typical(settled, rows, t), lattice)
        assert float(shape / before) == pytest.approx(1.0, abs=0.01)


def test_a_surface_that_moves_inwards_everywhere_is_moved_back():
    start = torch.linspace(-3.0, 3.0, 20_001)
    times = torch.tensor([-0.9, 0.0, 1.0])
    moved = [(start + 0.3 * (1 + t))[None] for t in times]
    level = measure_level(times, 1 + times, moved, start)
    assert level.levels.tolist() == pytest.approx([0.3] * 3, abs=0.005)


def test_a_surface_that_encloses_as_much_already_stays_where_it_is():
    start = torch.tensor([-2.0, -0.7, 0.4, 1.1])
    times = torch.tensor([0.0, 1.0])
    moved = [start[None], start.flip(0)[None]]
    assert measure_level(times, 1 + times, moved, start).levels.tolist() == [0.0, 0.0]
    for outside in (start.abs(), -start.abs()):
        assert measure_level(times[:1], times[1:], [start[None]], outside).levels.tolist() == [0.0]


@pytest.mark.parametrize("t", [-0.9, 1.0])
def test_the_volume_is_kept_where_motion_would_wear_it_away(wearing, protein, lattice, t):
    bare = AnchoredMoEDSR(replace(wearing.config, volume_nodes=0)).eval()
    bare.load_state_dict(wearing.state_dict())
    with_level = kept(wearing, protein, lattice, torch.tensor(t))
    without = kept(bare, protein, lattice, torch.tensor(t))
    assert with_level == pytest.approx((1.0, 1.0), abs=0.02)
    assert max(abs(1 - v) for v in without) > 0.05


def test_evaluated_motions_have_the_level_of_drawn_ones(wearing, protein):
    with torch.no_grad():
        code = wearing.encode(protein)
        here, start = nodes_near(code.lattice, 200)
        rows = wearing.prepare(code, here / protein.scale, start)
        bare = replace(code, drawn_level=None, typical_level=None)
        rise, _ = wearing.time_weights(TIMES)
        for t, w in zip(TIMES, rise, strict=True):
            z = draws(1)[0]
            gap = wearing.evaluate(bare, rows, t, z) - wearing.evaluate(code, rows, t, z)
            level = float(code.drawn_level.at(t, w)) / protein.scale
            assert gap.tolist() == pytest.approx([level] * len(here), abs=1e-6)


@torch.no_grad()
def test_every_frame_of_a_movie_keeps_the_volume(wearing, protein, lattice):
    times, path = torch.tensor([-1.0, -0.97, -0.6, 0.1, 0.8]), draws(5, seed=8)
    code = wearing.encode(protein)
    rows, before = band(wearing, code, protein, lattice)

    def volumes(code):
        frames = [wearing.evaluate(code, rows, t, z) for t, z in zip(times, path, strict=True)]
        return [float(enclosed(f, lattice) / before) for f in frames]

    settled = wearing.settle(code, times, path)
    assert volumes(settled) == pytest.approx([1.0] * 5, abs=0.01)
    assert volumes(settled)[0] == 1.0
    assert max(abs(v - 1.0) for v in volumes(code)) > 0.03


def test_a_movie_that_never_leaves_its_start_has_no_level_of_its_own(wearing, protein):
    with torch.no_grad():
        code = wearing.encode(protein)
        assert wearing.settle(code, torch.full((3,), -1.0), draws(3)) is code
        assert wearing.settle(code, torch.full((3,), -1.0), None) is code


def test_a_single_frame_has_one_level(wearing, protein):
    with torch.no_grad():
        code = wearing.settle(wearing.encode(protein), torch.tensor([0.5]), draws(1))
    t, rise = torch.tensor(0.5), torch.tensor(0.9)
    assert float(code.drawn_level.at(t, rise)) == pytest.approx(
        0.9 * float(code.drawn_level.levels)
    )


def test_no_level_is_measured_while_training(wearing, protein):
    model = AnchoredMoEDSR(wearing.config).train()
    assert model.encode(protein).drawn_level is None
    assert model.eval().encode(protein).drawn_level is not None


def test_a_negative_number_of_nodes_is_refused():
    with pytest.raises(InputError, match="volume_nodes must not be negative, got -1"):
        replace(SMALL, volume_nodes=-1)
