"""Messages between surface points turn with the molecule and stay smooth."""

from __future__ import annotations

import pytest
import torch
from e3nn import o3
from equivariance import assert_equivariant, assert_invariant, make_graph, synthetic_protein

from moedsr_core.models.router.irreps import (
    depthwise_product,
    invariants,
    natural_irreps,
    unit_harmonics,
)
from moedsr_core.models.router.qmpnn import QMPNN, GaussianRadial

EXACT = 1e-9  # float64 rounding through a dozen layers

pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.fixture
def protein():
    return synthetic_protein()


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


def test_radial_basis_has_its_centres_every_30_over_phi_p_angstrom():
    radial = GaussianRadial(32, 5, 10.0, 30.0, 32)
    torch.testing.assert_close(radial.centres, torch.arange(33) * (30.0 / 32))


def test_radial_basis_is_gaussian_in_the_distance():
    radial, seen = GaussianRadial(3, 5, 2.0, 30.0, 8), []
    radial.mlp.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    radial(torch.tensor([10.5]))
    expected = torch.exp(-2.0 * torch.tensor([10.5, 0.5, 9.5, 19.5]) ** 2)
    torch.testing.assert_close(seen[0][0], expected)


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
