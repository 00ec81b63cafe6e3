from __future__ import annotations

import math

import pytest
import torch
from e3nn import o3
from equivariance import random_rotation

from moedsr_core.errors import InputError
from moedsr_core.models.experts.encoding import DEGREES, CoordinateEncoding, SphericalEncoding
from moedsr_core.models.experts.implicit import ImplicitConfig, ImplicitMLP

SIZES = sorted(DEGREES)
NARROW = ImplicitConfig(layers=4, width=48)


def points(n=200, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(n, 3, generator=generator, dtype=dtype) - 1


def irreps_of(size):
    return o3.Irreps([(1, (degree, (-1) ** degree)) for degree in DEGREES[size]])


@pytest.mark.parametrize("size", SIZES)
def test_encoding_turns_with_the_point(size):
    """To single precision, in which e3nn makes its Wigner matrices by default."""
    psi, x = SphericalEncoding(size), points()
    turn = random_rotation(torch.Generator().manual_seed(0), torch.float64)
    for rotation in (turn, -turn):
        turned = psi(x) @ irreps_of(size).D_from_matrix(rotation).T
        torch.testing.assert_close(psi(x @ rotation.T), turned, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_encoding_is_the_length_times_the_harmonics_of_the_direction(size):
    x = points()
    length = x.norm(dim=1, keepdim=True)
    harmonics = o3.spherical_harmonics(
        list(DEGREES[size]), x / length, normalize=False, normalization="norm"
    )
    error = (SphericalEncoding(size)(x) - length * harmonics).abs()
    assert (error <= 2 * 1e-3**2 / length).all()  # the softening's own second-order error


@pytest.mark.parametrize("size", SIZES)
def test_the_norm_of_each_degree_is_the_distance_from_the_centre(size):
    x = points()
    for columns in irreps_of(size).slices():
        norm = SphericalEncoding(size)(x)[:, columns].norm(dim=1)
        torch.testing.assert_close(norm, x.norm(dim=1), atol=1e-4, rtol=1e-4)


def test_encoding_of_size_three_is_the_plain_coordinate():
    x = points()
    torch.testing.assert_close(SphericalEncoding(3)(x), x, atol=1e-15, rtol=1e-15)
    assert torch.equal(CoordinateEncoding()(x), x)


@pytest.mark.parametrize("size", SIZES)
def test_encoding_has_the_promised_size_and_point_columns(size):
    psi, x = SphericalEncoding(size), points()
    assert psi(x).shape == (200, psi.size)
    norm = psi(x)[:, psi.distance_columns].norm(dim=1)
    torch.testing.assert_close(norm, x.norm(dim=1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", SIZES)
def test_first_and_second_derivatives_are_finite_at_the_centre(size, dtype):
    psi = SphericalEncoding(size)
    for offset in (0.0, 1e-20, 1e-6):
        x = torch.full((3,), offset, dtype=dtype)
        first = torch.autograd.functional.jacobian(lambda v: psi(v[None])[0], x)
        second = torch.stack(
            [
                torch.autograd.functional.hessian(lambda v, k=k: psi(v[None])[0, k], x)
                for k in range(size)
            ]
        )
        assert first.isfinite().all() and second.isfinite().all()
        assert second.abs().max() <= 10 / psi.softening


@pytest.mark.parametrize("size", SIZES)
def test_encoding_gradients_agree_with_finite_differences(size):
    x = torch.cat([points(4), torch.zeros(1, 3, dtype=torch.float64)]).requires_grad_(True)
    psi = SphericalEncoding(size, softening=0.05)
    assert torch.autograd.gradcheck(psi, (x,))
    assert torch.autograd.gradgradcheck(psi, (x,))


def test_encoding_refuses_other_sizes():
    with pytest.raises(InputError, match=r"one of \[1, 3, 9, 16\], got 4"):
        SphericalEncoding(4)


@pytest.mark.parametrize("size", SIZES)
def test_an_untrained_expert_is_the_distance_to_a_sphere(size):
    """On average over random starts; one net of width 512 is off by about 0.1, and Softplus
    rounds the cone's tip, hence the open centre."""
    psi, x = SphericalEncoding(size), points(dtype=torch.float32)
    x = x[x.norm(dim=1) > 0.4]
    sdf = x.norm(dim=1) - 0.8
    errors = []
    for seed in range(4):
        torch.manual_seed(seed)
        net = ImplicitMLP(ImplicitConfig(radius=0.8), psi.size + 9, psi.distance_columns)
        f = net(torch.cat([psi(x), torch.randn(len(x), 9)], dim=1)).detach()
        assert torch.corrcoef(torch.stack([f, sdf]))[0, 1] > 0.85
        assert (f[sdf > 0.45] > 0).all() and (f[sdf < -0.35] < 0).all()
        errors.append(f - sdf)
    assert torch.stack(errors).mean().abs() < 0.12  # measured at most 0.08 over 8 starts
    assert torch.stack(errors).abs().mean() < 0.18  # measured at most 0.12


def test_an_untrained_expert_does_not_yet_see_time_or_code():
    psi, x = SphericalEncoding(9), points(dtype=torch.float32)
    net = ImplicitMLP(NARROW, psi.size + 9, psi.distance_columns)
    codes = torch.randn(2, len(x), 9)
    assert torch.equal(*(net(torch.cat([psi(x), code], dim=1)) for code in codes))


def test_an_untrained_network_started_on_all_inputs_measures_them_all():
    """The released code of DSR: √(|x|² + t² + |z|²) - radius."""
    torch.manual_seed(0)
    inputs = torch.randn(300, 7)
    ratios = []
    for _ in range(4):
        net = ImplicitMLP(ImplicitConfig(start="all"), 7, slice(0, 3))
        ratios.append((net(inputs).detach() + 1.0) / inputs.norm(dim=1))
    assert float(torch.stack(ratios).mean()) == pytest.approx(1.0, abs=0.15)
    assert torch.stack(ratios).std() < 0.25


def test_the_skip_joins_the_input_to_the_middle_layer():
    net = ImplicitMLP(ImplicitConfig(), 196, slice(192, 195))
    shapes = [tuple(linear.weight.shape) for linear in net.linears]
    assert shapes == [(512, 196), (512, 512), (512, 512), (316, 512)] + [(512, 512)] * 4 + [
        (1, 512)
    ]
    seen = []
    net.linears[4].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    inputs = torch.randn(5, 196)
    net(inputs)
    torch.testing.assert_close(seen[0][:, -196:], inputs / math.sqrt(2))


def test_the_activation_is_softplus_of_sharpness_100():
    net = ImplicitMLP(NARROW, 5, slice(0, 3))
    zero = net.activation(torch.zeros(1))
    assert zero.item() == pytest.approx(math.log(2) / 100)


def test_network_gradients_agree_with_finite_differences():
    torch.manual_seed(0)
    net = ImplicitMLP(ImplicitConfig(layers=2, width=12, beta=5.0), 4, slice(0, 3)).double()
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(net, (x,))
    assert torch.autograd.gradgradcheck(net, (x,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 1}, "at least 2 hidden layers"),
        ({"beta": 0.0}, "beta and radius"),
        ({"start": "none"}, "start must be one of"),
    ],
)
def test_network_configuration_refuses_nonsense(change, message):
    with pytest.raises(InputError, match=message):
        ImplicitConfig(**change)


def test_a_network_narrower_than_its_input_is_refused():
    with pytest.raises(InputError, match="wider than the 48 inputs, got 48"):
        ImplicitMLP(NARROW, 48, slice(0, 3))
