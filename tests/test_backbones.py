"""What may replace the Q-MPNN: the same sizes, no order of points, and stated symmetries."""

from __future__ import annotations

import json
import math
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from equivariance import assert_invariant, motions, moved, random_rotation, synthetic_protein
from moving_protein import growing, helix
from synthetic_chain import chain, posed_chain, stir

from moedsr_core.errors import InputError
from moedsr_core.frame import TimeMap
from moedsr_core.models.config import config_from_dict, config_to_dict
from moedsr_core.models.experts.implicit import ImplicitConfig
from moedsr_core.models.inputs import protein_input
from moedsr_core.models.moedsr import ExpertConfig, MoEDSR, MoEDSRConfig
from moedsr_core.models.registry import load_model, save_model
from moedsr_core.models.router.backbones import dmasif, pyramid
from moedsr_core.models.router.backbones.choice import BACKBONES
from moedsr_core.models.router.backbones.pointcnn import DILATION, XConv
from moedsr_core.models.router.backbones.pointmlp import GeometricAffine
from moedsr_core.models.router.backbones.pointnet2 import SetAbstraction
from moedsr_core.models.router.backbones.pointtransformer import TransitionDown, VectorAttention
from moedsr_core.models.router.backbones.pointwisecnn import PointwiseConvolution, kernel_pairs
from moedsr_core.models.router.router import Router, RouterConfig
from moedsr_core.predict import PredictOptions, predict

SMALL = RouterConfig(phi_s=8, phi_r=4, phi_p=8, zeta=8, max_neighbours=12, l_max=1)
NAMES = list(BACKBONES)
PLAIN = [name for name in NAMES if name != "dmasif"]
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


def make_router(name: str, **changes) -> Router:
    torch.manual_seed(0)
    return Router(replace(SMALL, backbone=name, **changes))


def tiny_model(**changes) -> MoEDSRConfig:
    expert = ExpertConfig(phi_z=6, mlp=ImplicitConfig(layers=4, width=32))
    return MoEDSRConfig(
        router=replace(SMALL, **changes), n_experts=4, expert=expert, paper_ranges=False
    )


@pytest.mark.parametrize("points", [2, 5, 40, 700])
@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_those_of_the_qmpnn_however_many_points(name, points):
    protein = synthetic_protein(points)
    with torch.no_grad():
        features, descriptor = make_router(name)(protein)
    assert (features.shape, descriptor.shape) == ((points, 16), (8,))
    assert features.isfinite().all() and descriptor.isfinite().all()


def test_the_qmpnn_gives_features_of_those_sizes(protein):
    features, descriptor = make_router("qmpnn")(protein)
    assert (features.shape, descriptor.shape) == ((120, 16), (8,))


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_sizes_do_not_depend_on_the_depth(name, layers, protein):
    router = make_router(name, layers=layers, phi_s=5, l_max=2)
    features, descriptor = router(protein)
    assert (features.shape, descriptor.shape) == ((120, router.channels), (8,))


@pytest.mark.parametrize("max_points", [60, 1024], ids=["thinned", "all points"])
@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_points_makes_no_difference(name, max_points, protein):
    router = make_router(name, max_points=max_points)
    order = torch.randperm(len(protein.points))
    shuffled = replace(protein, points=protein.points[order], normals=protein.normals[order])
    features, descriptor = router(protein)
    other_features, other_descriptor = router(shuffled)
    torch.testing.assert_close(other_descriptor, descriptor, atol=EXACT, rtol=0)
    torch.testing.assert_close(other_features, features[order], atol=EXACT, rtol=0)


@torch.no_grad()
def change_under(motion: str, router: Router, protein) -> float:
    """Largest change of h_p, in units of its spread over different proteins."""
    others = torch.stack([router(synthetic_protein(seed=k))[1] for k in range(4)])
    change = (router(moved(protein, *motions()[motion]))[1] - router(protein)[1]).abs().max()
    return float(change / others.std(dim=0).max())


@pytest.mark.parametrize("name", NAMES)
def test_no_backbone_notices_where_the_molecule_is(name, protein):
    assert change_under("translation", make_router(name), protein) < 1e-8


@pytest.mark.parametrize("name", PLAIN)
def test_backbones_that_read_coordinates_turn_with_the_molecule(name, protein):
    assert change_under("rotation", make_router(name), protein) > 0.05
    with pytest.raises(AssertionError, match="rotation changes the result"):
        assert_invariant(lambda p: make_router(name)(p)[1], protein, 1e-4)


@pytest.mark.parametrize("max_points", [60, 1024], ids=["thinned", "all points"])
def test_dmasif_does_not_turn_with_the_molecule(max_points, protein):
    router = make_router("dmasif", max_points=max_points)
    assert change_under("rotation", router, protein) < 1e-8
    turned = moved(protein, *motions()["rotation"])
    torch.testing.assert_close(router(turned)[0], router(protein)[0], atol=1e-8, rtol=0)


def test_dmasif_tells_a_molecule_from_its_mirror_image(protein):
    assert change_under("reflection", make_router("dmasif"), protein) > 1e-3


@pytest.mark.parametrize("name", ["qmpnn", *NAMES])
def test_the_canonical_pose_makes_every_backbone_ignore_how_a_molecule_lies(name):
    torch.set_default_dtype(torch.float32)
    atoms, other = chain(6), chain(6, seed=1)
    turn = random_rotation(torch.Generator().manual_seed(3), torch.float64).numpy()
    turned = atoms.with_coords(atoms.coords @ turn.T + np.array([5.0, -20.0, 8.0]))
    router = make_router(name)
    with torch.no_grad():
        here, there, elsewhere = (
            router(protein_input(s, n_points=60)[0])[1] for s in (atoms, turned, other)
        )
    assert (there - here).abs().max() < 0.05 * (elsewhere - here).abs().max()  # measured: 0


@pytest.mark.parametrize("name", NAMES)
def test_proteins_are_told_apart_by_chemistry_and_by_shape(name, protein):
    router = make_router(name)
    other = replace(protein, residue_kinds=(protein.residue_kinds + 1) % 20)
    bent = replace(protein, points=protein.points * torch.tensor([1.2, 1.0, 0.9]))
    assert (router(protein)[1] - router(other)[1]).abs().max() > 1e-4
    assert (router(protein)[1] - router(bent)[1]).abs().max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_finite_gradient(name, protein):
    router = make_router(name)
    features, descriptor = router(protein)
    (descriptor.square().sum() + features.square().sum()).backward()
    grads = {key: p.grad for key, p in router.named_parameters()}
    assert [k for k, g in grads.items() if g is None or not g.isfinite().all()] == []
    largest = max(g.abs().max() for g in grads.values())
    assert [k for k, g in grads.items() if g.abs().max() < 1e-10 * largest] == []


@pytest.mark.parametrize("name", NAMES)
def test_coincident_points_leave_values_and_gradients_finite(name):
    protein = synthetic_protein(40)
    points = protein.points.clone()
    points[:12] = points[0]
    for x in (points, torch.zeros(40, 3)):
        x = x.clone().requires_grad_(True)
        router = make_router(name)
        features, descriptor = router(replace(protein, points=x))
        (descriptor.square().sum() + features.square().sum()).backward()
        assert descriptor.isfinite().all() and features.isfinite().all()
        assert x.grad.isfinite().all()
        assert all(p.grad.isfinite().all() for p in router.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_agrees_with_double(name, protein):
    router = make_router(name)
    _, descriptor = router(protein)
    single = replace(
        protein,
        points=protein.points.float(),
        normals=protein.normals.float(),
        residue_positions=protein.residue_positions.float(),
    )
    _, rounded = router.float()(single)
    torch.testing.assert_close(rounded.double(), descriptor, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_predicts_the_same_after_loading(name, tmp_path):
    torch.set_default_dtype(torch.float32)
    protein = posed_chain(n_residues=6)
    model = stir(MoEDSR(tiny_model(backbone=name)), 0.1).eval()
    save_model(tmp_path / "m", model, architecture="moedsr", summary="s", time=TimeMap(span_ps=1.0))
    torch.manual_seed(99)
    again = load_model(tmp_path / "m").model
    x, t, z = 0.4 * torch.rand(20, 3) - 0.2, torch.tensor(0.3), torch.randn(6)
    with torch.no_grad():
        values = [m(m.encode(protein), x, t, z) for m in (model, again)]
    assert again.config == model.config
    assert values[0].std() > 0
    assert torch.equal(*values)


@pytest.mark.parametrize("name", NAMES)
def test_a_movie_is_predicted_from_end_to_end(name):
    torch.set_default_dtype(torch.float32)
    config = tiny_model(backbone=name, max_points=64)
    mlp = ImplicitConfig(layers=4, width=64, radius=0.5)
    model = MoEDSR(replace(config, expert=replace(config.expert, mlp=mlp))).eval()
    options = PredictOptions(frames=2, device="cpu", latent="typical", n_points=100, spacing=2.0)
    movie = predict(helix(4), options, loaded=growing(model))
    assert len(movie.frames) == 2
    assert all(np.isfinite(frame.vertices).all() and frame.volume > 0 for frame in movie.frames)
    assert movie.expert.sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def test_an_unknown_backbone_or_expert_is_refused_in_one_sentence():
    with pytest.raises(
        InputError, match=r"router\.backbone must be one of qmpnn, pointnet2"
    ) as bad:
        RouterConfig(backbone="pointnet")
    assert "\n" not in str(bad.value)
    with pytest.raises(
        InputError, match=r"expert\.kind must be one of implicit, naive, got 'siren'"
    ):
        ExpertConfig(kind="siren")


@pytest.mark.parametrize("name", ["qmpnn", *NAMES])
def test_a_configuration_names_its_backbone(name):
    config = tiny_model(backbone=name)
    data = json.loads(json.dumps(config_to_dict(config)))
    assert data["router"]["backbone"] == name
    assert config_from_dict(MoEDSRConfig, data) == config


def test_weights_without_a_named_backbone_are_the_qmpnns():
    """Weights saved before there was a choice."""
    data = config_to_dict(SMALL)
    del data["backbone"]
    router = Router(config_from_dict(RouterConfig, data))
    assert {key.split(".")[0] for key in router.state_dict()} == {"geoan", "qmpnn", "readout"}
    assert load_model().model.config.router.backbone == "qmpnn"


def test_the_benchmark_finds_sizes_times_and_symmetries():
    torch.set_default_dtype(torch.float32)
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "backbones.py"
    found = runpy.run_path(str(path))["measure"](40, 10, 2, SMALL)
    assert list(found) == ["qmpnn", *NAMES]
    for name, m in found.items():
        assert m.parameters > 100 and len(m.forward) == len(m.training) == 2
        assert 0 < min(m.forward) and 0 < min(m.training)
        assert (m.changes["rotation"] < 0.01) == (name in ("qmpnn", "dmasif"))
        assert (m.changes["reflection"] < 0.01) == (name == "qmpnn")


# One by one


def test_a_ball_holds_the_nearest_points_and_nothing_outside(protein):
    x, centres = protein.points, protein.points[:20]
    index = pyramid.ball(centres, x, 6.0, 9)
    distance = torch.cdist(centres, x)
    for row, near in zip(index, distance, strict=True):
        expected = near.argsort()[: min(9, int((near <= 6.0).sum()))]
        assert set(row.tolist()) == set(expected.tolist())


def test_set_abstraction_sees_each_ball_and_no_further(protein):
    net = SetAbstraction(4, 8, 0.5, 12)
    x, features = protein.points / 12.0, torch.randn(120, 4, requires_grad=True)
    kept = torch.arange(10)
    (influence,) = torch.autograd.grad(net(features, x, kept)[3].sum(), features)
    seen = influence.abs().sum(dim=1) > 0
    assert seen.any()
    assert (x[seen] - x[3]).norm(dim=1).max() <= 0.5


def test_set_abstraction_agrees_with_equation_1_written_out(protein):
    net = SetAbstraction(4, 8, 1.0, 12)
    x, features = protein.points / 12.0, torch.randn(120, 4)
    distance, expected = (x - x[3]).norm(dim=1), []
    for radius, k, mlp in zip([0.25, 0.5, 1.0], [3, 6, 12], net.mlps, strict=True):
        near = [j for j in distance.argsort()[:k] if distance[j] <= radius]
        seen = [mlp(torch.cat([features[j], (x[j] - x[3]) / radius])) for j in near]
        expected.append(torch.stack(seen).amax(dim=0))
    torch.testing.assert_close(net(features, x, torch.tensor([3]))[0], torch.cat(expected))


def test_x_conv_depends_on_the_nearest_places_in_order_of_distance(protein):
    conv = XConv(4, 8, 6)
    x, features = protein.points / 9.0, torch.randn(120, 4, requires_grad=True)
    (influence,) = torch.autograd.grad(conv(features, x, x[:1]).square().sum(), features)
    nearest = (x - x[0]).norm(dim=1).argsort()[: 6 * DILATION : DILATION]
    seen = influence.abs().sum(dim=1).nonzero()[:, 0]
    assert sorted(seen.tolist()) == sorted(nearest.tolist())


def test_x_conv_agrees_with_algorithm_1_written_out(protein):
    conv = XConv(4, 8, 6)
    x, features = protein.points / 9.0, torch.randn(120, 4)
    places = (x - x[7]).norm(dim=1).argsort()[: 6 * DILATION : DILATION]
    local = x[places] - x[7]
    gathered = torch.cat([conv.lift(local), features[places]], dim=1)
    matrix = conv.transform(local.flatten()[None]).reshape(6, 6)
    weighed = torch.stack([sum(matrix[a, b] * gathered[b] for b in range(6)) for a in range(6)])
    convolved = (weighed[..., None] * conv.places).sum(dim=0)
    expected = conv.mix(convolved.flatten()[None])
    torch.testing.assert_close(conv(features, x, x[7:8]), expected, atol=1e-12, rtol=1e-9)


def test_vector_attention_agrees_with_equation_3_written_out(protein):
    net = VectorAttention(6, 5)
    x, features = protein.points / 9.0, torch.randn(120, 6)
    hidden, i = net.before(features), 11
    near = (x - x[i]).norm(dim=1).argsort()[:5]
    delta = [net.place(x[i] - x[j]) for j in near]
    scores = torch.stack(
        [
            net.relate(net.query(hidden[i]) - net.key(hidden[j]) + d)
            for j, d in zip(near, delta, strict=True)
        ]
    )
    share = scores.exp() / scores.exp().sum(dim=0)
    values = torch.stack([net.value(hidden[j]) + d for j, d in zip(near, delta, strict=True)])
    expected = features[i] + net.after((share * values).sum(dim=0))
    torch.testing.assert_close(net(features, x)[i], expected)


def test_transition_down_takes_the_largest_neighbour(protein):
    net = TransitionDown(4, 8, 7)
    seen = []
    net.attention.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    x, features, kept = protein.points / 9.0, torch.randn(120, 4), torch.tensor([5, 50])
    net(features, x, kept)
    near = (x - x[50]).norm(dim=1).argsort()[:7]
    torch.testing.assert_close(seen[0][1], net.mlp(features[near]).amax(dim=0))


def test_the_affine_module_brings_every_scale_to_one():
    affine = GeometricAffine(3)
    grouped, centres = torch.randn(20, 6, 3), torch.randn(20, 3)
    values = affine(grouped, centres).detach()
    assert float(values.square().mean()) == pytest.approx(1.0, rel=1e-4)
    torch.testing.assert_close(affine(70 * grouped, 70 * centres), values, atol=1e-4, rtol=0)
    assert affine(centres[:, None].expand(20, 6, 3), centres).abs().max() == 0


def test_pointwise_convolution_averages_within_each_cell():
    x = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [1.2, 0.1, 0], [0, -1.0, 1.1], [5.0, 0, 0]])
    conv, features = PointwiseConvolution(2, 3), torch.randn(5, 2)
    weight = conv.weight.reshape(3, 3, 3, 2, 3)
    expected = (
        features[0] @ weight[1, 1, 1]
        + 0.5 * (features[1] + features[2]) @ weight[2, 1, 1]
        + features[3] @ weight[1, 0, 2]
    )
    got = conv(features, kernel_pairs(x, 1.0))
    torch.testing.assert_close(got[0], torch.nn.functional.selu(expected))
    torch.testing.assert_close(got[4], torch.nn.functional.selu(features[4] @ weight[1, 1, 1]))


def sphere(radius: float, n: int = 1500) -> tuple[torch.Tensor, torch.Tensor]:
    k = torch.arange(n) + 0.5
    height, turn = 1 - 2 * k / n, math.pi * (1 + 5**0.5) * k
    ring = (1 - height**2).sqrt()
    normals = torch.stack([ring * turn.cos(), ring * turn.sin(), height], dim=1)
    return radius * normals, normals


@pytest.mark.parametrize("scale", [2.0, 3.0, 5.0])
def test_curvatures_of_a_sphere_are_one_over_its_radius_and_its_square(scale):
    mean, gauss = dmasif.curvatures(*sphere(15.0), scale).T
    expected = pytest.approx(torch.full((1500,), 1 / 15.0).numpy(), rel=0.03)
    assert mean.numpy() == expected
    assert gauss.sqrt().numpy() == expected


def test_curvatures_change_sign_with_the_side_and_vanish_on_a_plane():
    x, n = sphere(15.0)
    mean, gauss = dmasif.curvatures(x, -n, 3.0).T
    assert mean.max() < 0 < gauss.min()
    flat = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0), torch.zeros(1))
    bends = dmasif.curvatures(flat, torch.tensor([[0.0, 0, 1]]).expand(64, 3), 3.0)
    assert bends.abs().max() < 1e-12


def test_curvatures_of_a_cylinder_are_those_of_one_direction():
    turn, height = torch.arange(60) * 2 * math.pi / 60, torch.arange(-12.0, 13.0)
    angle, z = torch.cartesian_prod(turn, height).T
    normals = torch.stack([angle.cos(), angle.sin(), 0 * z], dim=1)
    points = 10.0 * normals + torch.stack([0 * z, 0 * z, z], dim=1)
    middle = dmasif.curvatures(points, normals, 2.0)[z == 0]
    assert middle[:, 0].numpy() == pytest.approx(0.05, rel=0.05)
    assert middle[:, 1].abs().max() < 1e-9


def test_frames_are_orthonormal_right_handed_and_climb_the_potential():
    x, n = sphere(12.0, 400)
    offsets = x - x[:, None]
    window = dmasif.gaussian_window(offsets, n, 4.0)
    frames = dmasif.local_frames(offsets, window, n, 20.0 + x[:, 2])
    inside = x[:, 2].abs() < 10.0
    eye = torch.eye(3).expand(400, 3, 3)
    torch.testing.assert_close((frames @ frames.mT)[inside], eye[inside], atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(frames[inside]), torch.ones(int(inside.sum())))
    south_to_north = torch.tensor([0.0, 0, 1]) - n[:, 2:] * n
    cosine = torch.nn.functional.cosine_similarity(frames[:, 1], south_to_north)
    assert cosine[inside].min() > 0.9


def test_the_quasi_geodesic_convolution_agrees_with_the_sum_over_pairs(protein):
    net = dmasif.Convolution(4, 8)
    features, local, window = torch.randn(30, 4), torch.randn(30, 30, 3), torch.rand(30, 30)
    hidden = net.before(features)
    kernel = net.filter(torch.relu(net.cuts(local)))
    gathered = (window[..., None] * kernel * hidden[None]).sum(dim=1)
    expected = net.carry(features) + net.last(net.behind(gathered))
    torch.testing.assert_close(net(features, local, window), expected, atol=1e-10, rtol=1e-9)


# The experts' ablations


@pytest.mark.parametrize("encoding", ["spherical", "coordinates"])
def test_the_naive_expert_has_no_skip_connection_and_no_sphere_for_a_start(encoding, protein):
    config = tiny_model()
    expert = replace(config.expert, kind="naive", encoding=encoding)
    model = MoEDSR(replace(config, expert=expert)).eval()
    net = model.experts[0]
    size = model.encoding.size + 1 + 8 + 6
    assert [tuple(li.weight.shape) for li in net.linears] == [
        (32, size), (32, 32), (32, 32), (32, 32), (1, 32)
    ]  # fmt: skip
    x, z = 2 * torch.rand(200, 3) - 1, torch.randn(6)
    f = model(model.encode(protein), x, torch.tensor(0.5), z).detach()
    assert torch.corrcoef(torch.stack([f, x.norm(dim=1)]))[0, 1].abs() < 0.85


def test_the_naive_expert_is_the_composition_of_its_layers():
    config = tiny_model()
    net = MoEDSR(replace(config, expert=replace(config.expert, kind="naive"))).experts[1]
    inputs = torch.randn(5, net.linears[0].in_features, requires_grad=True)
    hidden = inputs
    for linear in net.linears[:4]:
        hidden = torch.nn.functional.softplus(linear(hidden), beta=100)
    torch.testing.assert_close(net(inputs), net.linears[4](hidden)[:, 0])
    assert torch.autograd.gradcheck(net, (inputs,), eps=1e-7, atol=1e-5)
