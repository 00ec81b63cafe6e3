"""The chemistry of a surface point, read from the residues near it."""

from __future__ import annotations

import pytest
import torch
from equivariance import synthetic_protein

from moedsr_core.models.router import surface_graph as graphs
from moedsr_core.models.router.geoan import GeoAN

pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.fixture
def protein():
    return synthetic_protein()


def test_chemistry_sees_the_nearest_residues_only(protein):
    net = GeoAN(4, 4, 3)
    x, residues, kinds = protein.points, protein.residue_positions, protein.residue_kinds
    seen = graphs.nearest(x[:1], residues, 3)[0]
    far = torch.ones(30, dtype=torch.bool)
    far[seen] = False
    before = net(x[:1], residues, kinds)
    torch.testing.assert_close(net(x[:1], residues, torch.where(far, 7, kinds)), before)
    assert (net(x[:1], residues, torch.where(far, kinds, 24)) - before).abs().max() > 1e-4


def test_chemistry_falls_off_as_inverse_distance():
    net = GeoAN(4, 4, 1)
    seen = []
    net.residue_mlp.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    net(torch.tensor([[4.0, 0, 0], [0.1, 0, 0]]), torch.zeros(1, 3), torch.zeros(1).long())
    torch.testing.assert_close(seen[0][:, 0, -1], torch.tensor([0.25, 2.0]))


def test_chemistry_averages_over_residues(protein):
    net, seen = GeoAN(4, 4, 5), []
    net.residue_mlp.register_forward_hook(lambda _, __, output: seen.append(output.mean(dim=1)))
    net.point_mlp.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    net(protein.points, protein.residue_positions, protein.residue_kinds)
    assert torch.equal(*seen)


def test_a_short_chain_has_fewer_neighbours_than_asked_for(protein):
    net = GeoAN(4, 4, 16)
    assert (
        net(protein.points, protein.residue_positions[:2], protein.residue_kinds[:2])
        .isfinite()
        .all()
    )
