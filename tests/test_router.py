"""The router sees a protein whichever way it lies, and every parameter matters."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from equivariance import assert_invariant, synthetic_protein

from moedsr_core.errors import InputError
from moedsr_core.models.router import surface_graph as graphs
from moedsr_core.models.router.router import Router, RouterConfig

SMALL = RouterConfig(phi_s=4, phi_r=4, phi_p=8, zeta=8, gamma=1.0, max_neighbours=12)
THINNED = replace(SMALL, max_points=60)
EXACT = 1e-9  # float64 rounding through a dozen layers

pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.fixture
def protein():
    return synthetic_protein()


@pytest.mark.parametrize("config", [SMALL, THINNED], ids=["all points", "thinned"])
@pytest.mark.parametrize("output", [0, 1], ids=["point features", "descriptor"])
def test_router_does_not_depend_on_the_frame(protein, config, output):
    router = Router(config)
    assert_invariant(lambda p: router(p)[output], protein, EXACT)


@pytest.mark.parametrize("config", [SMALL, THINNED], ids=["all points", "thinned"])
def test_router_ignores_the_order_of_points_and_residues(protein, config):
    router = Router(config)
    order, residues = torch.randperm(len(protein.points)), torch.randperm(30)
    shuffled = replace(
        protein,
        points=protein.points[order],
        normals=protein.normals[order],
        residue_positions=protein.residue_positions[residues],
        residue_kinds=protein.residue_kinds[residues],
    )
    features, descriptor = router(protein)
    other_features, other_descriptor = router(shuffled)
    torch.testing.assert_close(other_features, features[order], atol=EXACT, rtol=0)
    torch.testing.assert_close(other_descriptor, descriptor, atol=EXACT, rtol=0)


def test_router_tells_proteins_apart(protein):
    router = Router(SMALL)
    other = replace(protein, residue_kinds=(protein.residue_kinds + 1) % 20)
    assert (router(protein)[1] - router(other)[1]).abs().max() > 1e-4
    bent = replace(protein, points=protein.points * torch.tensor([1.2, 1.0, 0.9]))
    assert (router(protein)[1] - router(bent)[1]).abs().max() > 1e-4


def test_thinned_messages_leave_the_chosen_points_as_they_are(protein):
    router = Router(THINNED)
    chosen = graphs.farthest_points(protein.points, 60)
    normals = graphs.smoothed_normals(protein.points, protein.normals, SMALL.sigma_n)
    x = protein.points[chosen]
    graph = graphs.surface_graph(x, normals[chosen], SMALL.sigma_d, SMALL.max_neighbours)
    chemistry = router.geoan(x, protein.residue_positions, protein.residue_kinds)
    expected = router.qmpnn(chemistry, graph)
    torch.testing.assert_close(router(protein)[0][chosen], expected, atol=1e-6, rtol=0)


def test_the_descriptor_reads_the_largest_value_of_each_feature(protein):
    router = Router(SMALL)
    features, descriptor = router(protein)
    torch.testing.assert_close(router.readout(features.amax(dim=0)), descriptor)


def test_every_router_parameter_gets_a_gradient(protein):
    router = Router(SMALL)
    features, descriptor = router(protein)
    (descriptor.square().sum() + features.square().sum()).backward()
    idle = [
        name
        for name, p in router.named_parameters()
        if p.numel() and (p.grad is None or p.grad.abs().max() == 0)
    ]
    assert idle == []


def test_gradients_agree_with_finite_differences():
    protein = synthetic_protein(n_points=9, n_residues=3)
    router = Router(replace(SMALL, phi_s=2, phi_p=3, zeta=3, max_neighbours=4))

    def descriptor(points, residues):
        return router(replace(protein, points=points, residue_positions=residues))[1]

    inputs = (protein.points.requires_grad_(), protein.residue_positions.requires_grad_())
    assert torch.autograd.gradcheck(descriptor, inputs, atol=1e-6)


def test_second_derivatives_are_finite_where_points_coincide():
    protein = synthetic_protein(n_points=20)
    points = protein.points.clone()
    points[1] = points[0]
    points.requires_grad_(True)
    router = Router(replace(SMALL, max_neighbours=6))
    _, descriptor = router(replace(protein, points=points))
    (first,) = torch.autograd.grad(descriptor.sum(), points, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), points)
    assert first.isfinite().all() and second.isfinite().all()


def test_both_precisions_agree(protein):
    router = Router(SMALL)
    features, descriptor = router(protein)
    single = replace(
        protein,
        points=protein.points.float(),
        normals=protein.normals.float(),
        residue_positions=protein.residue_positions.float(),
    )
    single_features, single_descriptor = router.float()(single)
    torch.testing.assert_close(single_descriptor.double(), descriptor, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(single_features.double(), features, atol=1e-4, rtol=1e-3)


def test_weights_survive_a_round_trip_through_safetensors(protein, tmp_path):
    from safetensors.torch import load_file, save_file

    router, other = Router(SMALL), Router(SMALL)
    save_file(router.state_dict(), tmp_path / "router.safetensors")
    other.load_state_dict(load_file(tmp_path / "router.safetensors"))
    assert torch.equal(other(protein)[1], router(protein)[1])


def test_router_refuses_proteins_it_cannot_see(protein):
    router = Router(SMALL)
    with pytest.raises(InputError, match="at least two surface points, got 1"):
        router(replace(protein, points=protein.points[:1], normals=protein.normals[:1]))
    none = replace(
        protein,
        residue_positions=protein.residue_positions[:0],
        residue_kinds=protein.residue_kinds[:0],
    )
    with pytest.raises(InputError, match="at least one residue"):
        router(none)


@pytest.mark.parametrize(
    "change", [{"phi_s": 0}, {"sigma_d": 0.0}, {"gamma": float("nan")}, {"max_points": 1}]
)
def test_router_configuration_refuses_nonsense(change):
    with pytest.raises(InputError, match=next(iter(change))):
        RouterConfig(**change)
