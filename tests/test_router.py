from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from e3nn import o3
from equivariance import assert_equivariant, assert_invariant, synthetic_protein

from moedsr_core.errors import InputError
from moedsr_core.models.router import surface_graph as graphs
from moedsr_core.models.router.geoan import GeoAN
from moedsr_core.models.router.irreps import (
    depthwise_product,
    invariants,
    natural_irreps,
    unit_harmonics,
)
from moedsr_core.models.router.qmpnn import QMPNN, GaussianRadial
from moedsr_core.models.router.router import Router, RouterConfig

SMALL = RouterConfig(phi_s=4, phi_r=4, phi_p=8, zeta=8, gamma=1.0, max_neighbours=12)
THINNED = replace(SMALL, max_points=60)
EXACT = 1e-9  # float64 rounding through a dozen layers


@pytest.fixture(autouse=True)
def double_precision():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def protein():
    return synthetic_protein()


def make_graph(protein, window=9.0, k=12):
    normals = graphs.smoothed_normals(protein.points, protein.normals, 9.0)
    return graphs.surface_graph(protein.points, normals, window, k)


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


@pytest.mark.parametrize("l_max", [1, 2])
def test_hidden_features_turn_with_the_molecule(protein, l_max):
    net = QMPNN(3, l_max, 2, intervals=8, gamma=1.0, reach=30.0, max_neighbours=12)
    scalars = torch.randn(len(protein.points), 3)

    def features(p):
        return net.equivariant_features(scalars, make_graph(p))

    assert features(protein)[:, 3:].abs().max() > 1e-3
    assert_equivariant(features, net.irreps, protein, EXACT)


def test_the_invariance_check_can_fail(protein):
    net = QMPNN(3, 1, 2, intervals=8, gamma=1.0, reach=30.0, max_neighbours=12)
    scalars = torch.randn(len(protein.points), 3)

    def pooled_components(p):
        return net.equivariant_features(scalars, make_graph(p)).max(dim=0).values

    with pytest.raises(AssertionError, match="rotation changes"):
        assert_invariant(pooled_components, protein, 1e-3)


def test_the_equivariance_check_can_fail(protein):
    net = QMPNN(3, 1, 2, intervals=8, gamma=1.0, reach=30.0, max_neighbours=12)
    scalars = torch.randn(len(protein.points), 3)

    def with_pointwise_nonlinearity(p):
        return net.equivariant_features(scalars, make_graph(p)).relu()

    with pytest.raises(AssertionError, match="rotation leaves"):
        assert_equivariant(with_pointwise_nonlinearity, net.irreps, protein, 1e-3)


def test_linear_maps_have_a_bias_for_scalars_only():
    net = QMPNN(5, 2, 2, intervals=8, gamma=1.0, reach=30.0, max_neighbours=12)
    linears = [module for module in net.modules() if isinstance(module, o3.Linear)]
    assert len(linears) == 2 * 8
    for linear in linears:
        scalars = sum(mul for mul, ir in linear.irreps_out if ir.l == 0)
        assert linear.bias_numel == scalars


def test_each_output_channel_depends_on_one_input_channel():
    irreps, channels = natural_irreps(4, 2), 4
    product = depthwise_product(irreps, o3.Irreps.spherical_harmonics(2), irreps)
    weights, sh = torch.randn(1, product.weight_numel), torch.randn(1, 9)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: product(x[None], sh, weights)[0], torch.randn(irreps.dim)
    )
    assert len(product.irreps_out) == 11  # paths l1 x l2 -> l3 of natural parity, all l <= 2
    for (mul_out, ir_out), rows in zip(
        product.irreps_out, product.irreps_out.slices(), strict=True
    ):
        blocks = jacobian[rows].reshape(mul_out, ir_out.dim, -1)
        for (_, ir_in), columns in zip(irreps, irreps.slices(), strict=True):
            block = blocks[..., columns].reshape(channels, ir_out.dim, channels, ir_in.dim)
            coupling = block.abs().amax(dim=(1, 3))
            assert (coupling * (1 - torch.eye(channels))).max() == 0


def test_summed_messages_equal_the_sum_of_linear_messages(protein):
    net = QMPNN(3, 2, 1, intervals=8, gamma=1.0, reach=30.0, max_neighbours=12)
    layer, graph = net.layers[0], make_graph(protein)
    torch.nn.init.normal_(layer.mix.bias)
    product = torch.randn(len(protein.points), 12, layer.product.irreps_out.dim)
    expected = (graph.envelope[..., None] * layer.mix(product)).sum(dim=1) * layer.scale
    got = layer._sum_messages(product, graph.envelope)
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-12)


def test_a_point_without_neighbours_gets_no_message(protein):
    net = QMPNN(3, 1, 1, intervals=8, gamma=1.0, reach=30.0, max_neighbours=12)
    lonely = make_graph(protein, window=1e-3)
    layer = net.layers[0]
    product = torch.randn(len(protein.points), 12, layer.product.irreps_out.dim)
    assert layer._sum_messages(product, lonely.envelope).abs().max() == 0


def test_quasi_geodesic_lies_between_one_and_three_times_the_straight_line():
    same, across, opposite = graphs.quasi_geodesic(
        torch.full((3,), 2.0), torch.tensor([1.0, 0, -1])
    )
    assert (same, across, opposite) == (2.0, 4.0, 6.0)


def test_smoothed_normals_agree_with_the_printed_sum(protein, monkeypatch):
    monkeypatch.setattr(graphs, "_BLOCK", 500)  # several blocks of rows
    x, n = protein.points, protein.normals
    kernel = torch.exp(-(x[:, None] - x[None]).square().sum(-1) / (2 * 9.0**2))
    expected = torch.nn.functional.normalize((kernel[..., None] * n[None]).sum(1), dim=1)
    torch.testing.assert_close(graphs.smoothed_normals(x, n, 9.0), expected)


def test_neighbours_agree_with_brute_force(protein, monkeypatch):
    monkeypatch.setattr(graphs, "_BLOCK", 500)
    normals = graphs.smoothed_normals(protein.points, protein.normals, 9.0)
    graph = make_graph(protein, window=9.0, k=12)
    straight = (protein.points[:, None] - protein.points[None]).norm(dim=-1)
    distance = straight * (2 - normals @ normals.T)
    distance.fill_diagonal_(torch.inf)
    expected = distance.sort(dim=1)
    assert torch.equal(graph.neighbours, expected.indices[:, :12])
    torch.testing.assert_close(graph.distances, expected.values[:, :12])
    reach = expected.values[:, 12:13].clamp(max=9.0)
    assert torch.equal(graph.envelope > 0, expected.values[:, :12] < reach)


def test_features_stay_smooth_when_a_point_crosses_the_window(protein):
    net = QMPNN(3, 1, 1, intervals=8, gamma=1.0, reach=30.0, max_neighbours=119)
    scalars = torch.randn(len(protein.points), 3)
    edge = float(make_graph(protein, 9.0, 119).distances[0, 5])

    def feature(window):
        return net(scalars, make_graph(protein, window, 119))[0]

    h = 1e-4
    below, at, above = feature(edge - h), feature(edge), feature(edge + h)
    slope_change = ((above - at) - (at - below)).abs().max() / h
    assert slope_change < 1e-3 * (1 + (at - below).abs().max() / h)


def test_features_stay_smooth_when_the_neighbour_cap_swaps_points(protein):
    graph = make_graph(protein, window=1e3, k=8)
    normals = graphs.smoothed_normals(protein.points, protein.normals, 9.0)
    ninth = make_graph(protein, window=1e3, k=9).distances[:, 8:9]
    torch.testing.assert_close(graph.envelope, graphs.cutoff_envelope(graph.distances / ninth))
    everyone = graphs.surface_graph(protein.points, normals, 1e3, 500)
    assert everyone.neighbours.shape == (120, 119)


def test_the_envelope_ends_with_vanishing_first_and_second_derivative():
    u = torch.tensor([0.0, 1.0 - 1e-9, 1.0 + 1e-9], requires_grad=True)
    value = graphs.cutoff_envelope(u)
    (first,) = torch.autograd.grad(value.sum(), u, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), u)
    torch.testing.assert_close(value.detach(), torch.tensor([1.0, 0, 0]))
    assert first.abs().max() < 1e-12
    assert second[1:].abs().max() < 1e-6


def test_points_out_of_reach_have_no_influence(protein):
    net = QMPNN(2, 1, 2, intervals=8, gamma=1.0, reach=30.0, max_neighbours=12)
    graph = make_graph(protein, window=5.0)
    scalars = torch.randn(len(protein.points), 2, requires_grad=True)
    near = torch.eye(120, dtype=torch.bool)
    hop = torch.zeros(120, 120).scatter(1, graph.neighbours, graph.envelope) > 0
    for _ in range(2):
        near = near | (near.double() @ hop.double() > 0)
    (influence,) = torch.autograd.grad(net(scalars, graph)[0].sum(), scalars)
    assert 1 < near[0].sum() < 120
    assert torch.equal(influence.abs().sum(dim=1) > 0, near[0])


def test_farthest_points_cover_the_cloud_as_widely_as_they_are_spread(protein):
    chosen = graphs.farthest_points(protein.points, 30)
    kept = protein.points[chosen]
    spread = torch.pdist(kept).min()
    reach = torch.cdist(protein.points, kept).min(dim=1).values.max()
    assert len(set(chosen.tolist())) == 30
    assert reach <= spread


def test_interpolation_gives_known_values_back(protein):
    values = torch.randn(40, 3)
    got = graphs.interpolate(values, protein.points[:40], protein.points)
    torch.testing.assert_close(got[:40], values, atol=1e-5, rtol=0)
    assert got.min() >= values.min() and got.max() <= values.max()


def test_thinned_messages_leave_the_chosen_points_as_they_are(protein):
    router = Router(THINNED)
    chosen = graphs.farthest_points(protein.points, 60)
    normals = graphs.smoothed_normals(protein.points, protein.normals, SMALL.sigma_n)
    x = protein.points[chosen]
    graph = graphs.surface_graph(x, normals[chosen], SMALL.sigma_d, SMALL.max_neighbours)
    chemistry = router.geoan(x, protein.residue_positions, protein.residue_kinds)
    expected = router.qmpnn(chemistry, graph)
    torch.testing.assert_close(router(protein)[0][chosen], expected, atol=1e-6, rtol=0)


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


def test_radial_basis_has_its_centres_every_30_over_phi_p_angstrom():
    radial = GaussianRadial(32, 5, 10.0, 30.0, 32)
    torch.testing.assert_close(radial.centres, torch.arange(33) * (30.0 / 32))


def test_radial_basis_is_gaussian_in_the_distance():
    radial, seen = GaussianRadial(3, 5, 2.0, 30.0, 8), []
    radial.mlp.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    radial(torch.tensor([10.5]))
    expected = torch.exp(-2.0 * torch.tensor([10.5, 0.5, 9.5, 19.5]) ** 2)
    torch.testing.assert_close(seen[0][0], expected)


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
    protein = synthetic_protein(n_points=14, n_residues=5)
    router = Router(replace(SMALL, phi_s=2, phi_p=4, zeta=3, max_neighbours=5))

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


def test_norms_are_smooth_and_vanish_at_zero():
    irreps = natural_irreps(2, 2)
    x = torch.zeros(1, irreps.dim, requires_grad=True)
    value = invariants(x, irreps)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert value.abs().max() == 0
    assert second.isfinite().all()


def test_harmonics_of_a_direction_do_not_depend_on_its_length():
    v = torch.randn(10, 3)
    torch.testing.assert_close(unit_harmonics(9 * v, 2), unit_harmonics(v, 2), atol=1e-4, rtol=0)
    assert unit_harmonics(torch.zeros(1, 3), 2)[0, 1:].abs().max() == 0


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
