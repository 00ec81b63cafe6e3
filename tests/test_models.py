from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch
from equivariance import assert_invariant, motions, moved, synthetic_protein

from moedsr_core.errors import InputError
from moedsr_core.losses import LossConfig, load_balance, sdf_terms, total_loss
from moedsr_core.models.config import config_from_dict, config_to_dict
from moedsr_core.models.dsr import DSR, DSRConfig
from moedsr_core.models.experts.implicit import ImplicitConfig
from moedsr_core.models.latent import TrajectoryCodes, fit_latent
from moedsr_core.models.moedsr import PAPER_RANGES, ExpertConfig, MoEDSR, MoEDSRConfig
from moedsr_core.models.router.router import RouterConfig

MLP = ImplicitConfig(layers=4, width=48)
ROUTER = RouterConfig(
    phi_s=4, phi_r=4, phi_p=8, zeta=8, gamma=1.0, max_neighbours=12, l_max=1, layers=1
)
SMALL = MoEDSRConfig(
    router=ROUTER,
    n_experts=4,
    expert=ExpertConfig(phi_z=6, mlp=MLP),
    paper_ranges=False,
)
SMALL_DSR = DSRConfig(latent_size=6, mlp=MLP)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def protein():
    return synthetic_protein()


@pytest.fixture
def model():
    return MoEDSR(SMALL).eval()


def stir(model):
    """Give the silent inputs of a fresh model some weight, as training would."""
    for p in model.parameters():
        p.data.add_(0.05 * torch.randn_like(p))
    return model


def query(n=40):
    return 2 * torch.rand(n, 3) - 1, torch.tensor(0.25), torch.randn(6)


MODELS = {"moedsr": lambda: MoEDSR(SMALL), "dsr": lambda: DSR(SMALL_DSR)}


@pytest.mark.parametrize("name", MODELS)
def test_prepared_points_can_be_evaluated_in_any_grouping(name, protein):
    model = stir(MODELS[name]()).eval()
    code = model.encode(protein)
    x, t, z = query()
    whole = model(code, x, t, z)
    prepared = model.prepare(code, x)
    assert all(len(rows) == len(x) for rows in prepared.values())
    part = {key: rows[10:15] for key, rows in prepared.items()}
    torch.testing.assert_close(model.evaluate(code, part, t, z), whole[10:15])


@pytest.mark.parametrize("name", MODELS)
def test_times_and_codes_may_differ_from_point_to_point(name, protein):
    model = stir(MODELS[name]()).eval()
    code = model.encode(protein)
    x, t, z = query()
    times, codes = torch.linspace(-1, 1, len(x)), torch.randn(len(x), 6)
    rows = model(code, x, times, codes)
    torch.testing.assert_close(rows[7], model(code, x[7:8], times[7], codes[7])[0])
    same = model(code, x, t.expand(len(x)), z.expand(len(x), -1))
    torch.testing.assert_close(same, model(code, x, t, z))


@pytest.mark.parametrize("name", MODELS)
def test_the_surface_moves_with_time_and_code(name, protein):
    model = stir(MODELS[name]()).eval()
    code = model.encode(protein)
    x, t, z = query()
    assert (model(code, x, t, z) - model(code, x, -t, z)).abs().max() > 1e-3
    assert (model(code, x, t, z) - model(code, x, t, -z)).abs().max() > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_and_the_code_get_a_gradient(name, protein):
    model = MODELS[name]().train()
    z = torch.randn(6, requires_grad=True)
    code = model.encode(protein)
    if name == "moedsr":  # every expert must be chosen once to learn
        code = replace(code, gate=torch.softmax(model.gate.choice(code.descriptor), dim=0))
        code = replace(code, gate=code.gate + 0 * model.gate.noise(code.descriptor))
    x, t, _ = query(60)
    normals = torch.nn.functional.normalize(x, dim=1)
    terms = sdf_terms(lambda p: model(code, p, t, z), x, normals, x, z)
    total_loss(terms, LossConfig()).backward()
    idle = [
        key
        for key, p in model.named_parameters()
        if p.numel() and (p.grad is None or p.grad.abs().max() == 0) and "gate.noise" not in key
    ]
    assert idle == []
    assert z.grad.abs().max() > 0


@pytest.mark.parametrize("name", MODELS)
def test_gradients_in_space_agree_with_finite_differences(name):
    torch.set_default_dtype(torch.float64)
    try:
        model = stir(MODELS[name]()).eval()
        code = model.encode(synthetic_protein(n_points=20))
        x, t, z = query(3)
    finally:
        torch.set_default_dtype(torch.float32)
    x = torch.cat([x, torch.zeros(1, 3, dtype=x.dtype)]).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda p: model(code, p, t, z).sum(), (x,), eps=1e-7)


@pytest.mark.parametrize("phi_sh", [1, 3, 9, 16])
def test_second_derivatives_are_finite_at_the_centre_in_single_precision(phi_sh, protein):
    config = replace(SMALL, expert=replace(SMALL.expert, phi_sh=phi_sh))
    model = stir(MoEDSR(config)).eval()
    code = model.encode(protein)
    x = torch.zeros(2, 3)
    terms = sdf_terms(lambda p: model(code, p, torch.tensor(0.0), torch.zeros(6)), x, x, x, x)
    grads = torch.autograd.grad(
        total_loss(terms, LossConfig()), [p for e in model.experts for p in e.parameters()],
        allow_unused=True,
    )  # fmt: skip
    assert all(g is None or g.isfinite().all() for g in grads)


def test_dispatch_equals_the_dense_sum(model, protein):
    stir(model)
    code = model.encode(protein)
    x, t, z = query()
    n = len(x)
    inputs = torch.cat(
        [model.encoding(x), t.expand(n, 1), code.descriptor.expand(n, -1), z.expand(n, -1)], dim=1
    )
    dense = sum(code.gate[i] * expert(inputs) for i, expert in enumerate(model.experts))
    torch.testing.assert_close(model(code, x, t, z), dense)


def test_only_chosen_experts_run(model, protein):
    calls = []
    for i, expert in enumerate(model.experts):
        expert.register_forward_hook(lambda *_, i=i: calls.append(i))
    code = model.encode(protein)
    model(code, *query())
    assert sorted(calls) == code.gate.nonzero()[:, 0].tolist()
    assert len(calls) == 2


def test_experts_left_out_do_not_learn(model, protein):
    code = model.encode(protein)
    model(code, *query()).sum().backward()
    learned = [expert.linears[0].weight.grad is not None for expert in model.experts]
    assert learned == (code.gate > 0).tolist()


def test_the_gate_is_noisy_in_training_only(model, protein):
    assert torch.equal(model.encode(protein).gate, model.encode(protein).gate)
    model.train()
    gates = torch.stack([model.encode(protein).gate for _ in range(8)])
    assert gates.std(dim=0).max() > 0
    assert ((gates > 0).sum(dim=1) == 2).all()


def test_code_of_a_protein_does_not_depend_on_the_frame(model, protein):
    assert_invariant(lambda p: model.encode(p).gate, protein, 1e-4)
    assert_invariant(lambda p: model.encode(p).descriptor, protein, 1e-4)


def test_prediction_turns_with_the_molecule_for_the_radial_encoding_only(protein):
    """What the paper's O(3) claim amounts to: an MLP on components of l > 0 is not invariant."""
    x, t, z = query()
    rotation, shift = motions()["rotation"]
    change = {}
    for phi_sh in (1, 9):
        model = stir(MoEDSR(replace(SMALL, expert=replace(SMALL.expert, phi_sh=phi_sh)))).eval()
        still = model(model.encode(protein), x, t, z)
        turned = model(model.encode(moved(protein, rotation, shift)), x @ rotation.T, t, z)
        change[phi_sh] = (turned - still).abs().max().item()
    assert change[1] < 1e-4
    assert change[9] > 1e-2


def test_coordinate_experts_are_the_spherical_ones_with_l_1_only(protein):
    """The paper's ablation "ordinary coordinate" coincides with φ_SH = 3."""
    naive = stir(MoEDSR(replace(SMALL, expert=replace(SMALL.expert, encoding="coordinates"))))
    vector = MoEDSR(replace(SMALL, expert=replace(SMALL.expert, phi_sh=3)))
    vector.load_state_dict(naive.state_dict())
    x, t, z = query()
    values = [m.eval()(m.encode(protein), x, t, z) for m in (naive, vector)]
    torch.testing.assert_close(*values)


@pytest.mark.parametrize("phi_sh", [1, 3, 9, 16])
def test_an_untrained_model_of_the_papers_width_is_a_sphere(phi_sh, protein):
    expert = ExpertConfig(phi_sh=phi_sh)
    model = MoEDSR(replace(SMALL, expert=expert)).eval()
    assert_sphere(model, protein)


def assert_sphere(model, protein):
    x = 2 * torch.rand(300, 3) - 1
    x = x[x.norm(dim=1) > 0.4]
    sdf = x.norm(dim=1) - 1.0
    z = torch.randn(model.latent_size)
    f = model(model.encode(protein), x, torch.tensor(0.5), z).detach()
    assert torch.corrcoef(torch.stack([f, sdf]))[0, 1] > 0.85
    assert (f - sdf).abs().mean() < 0.25  # one random start; measured 0.12 on average


def test_gates_of_several_proteins_can_be_balanced(model):
    model.train()
    codes = [model.encode(synthetic_protein(seed=k)) for k in range(4)]
    load_balance(torch.stack([code.gate for code in codes])).backward()
    assert model.router.geoan.embedding.weight.grad.abs().max() > 0
    assert model.gate.choice.weight.grad.abs().max() > 0


def test_dsr_has_the_papers_size():
    model = DSR(DSRConfig())
    assert len(model.network.linears) == 9
    assert model.network.linears[0].in_features == 196
    assert sum(p.numel() for p in model.parameters()) == 1_839_421


def test_dsr_reads_code_then_point_then_time(protein):
    model, seen = DSR(SMALL_DSR), []
    model.network.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    x, t, z = query(1)
    model(model.encode(protein), x, t, z)
    torch.testing.assert_close(seen[0][0], torch.cat([z, x[0], t[None]]))


def test_dsr_knows_nothing_of_the_protein(protein):
    model = stir(DSR(SMALL_DSR))
    x, t, z = query()
    codes = [model.encode(p) for p in (protein, synthetic_protein(seed=5))]
    assert torch.equal(model(codes[0], x, t, z), model(codes[1], x, t, z))
    assert codes[0].gate.tolist() == [1.0]
    assert codes[0].descriptor.shape == (0,)


def test_an_untrained_dsr_is_a_sphere(protein):
    assert_sphere(DSR(DSRConfig()), protein)


@pytest.mark.parametrize("cls", [MoEDSRConfig, DSRConfig])
def test_configuration_survives_json(cls):
    config = cls(loss=LossConfig(lambda_sdf=0.7, mixture="released"))
    assert cls.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.to_dict() == asdict(config)
    assert cls.from_dict({}) == cls()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"router": {"phi_x": 3}}, "unknown key 'router.phi_x'"),
        ({"n_expert": 4}, "unknown key 'n_expert'"),
        ({"n_experts": 4.0}, "n_experts must be of type int, got 4.0"),
        ({"n_experts": True}, "n_experts must be of type int, got True"),
        ({"expert": {"mlp": {"start": 3}}}, "expert.mlp.start must be of type str, got 3"),
        ({"router": 3}, "'router' must be an object, got 3"),
        ({"n_experts": 5}, r"n_experts must be one of \[4, 8, 16\]"),
        ({"expert": {"encoding": "fourier"}}, "encoding must be one of"),
        ({"code_scale": "big"}, "code_scale must be one of"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(data, message):
    with pytest.raises(InputError, match=message):
        MoEDSRConfig.from_dict(data)


def test_an_integer_serves_where_a_number_is_asked_for():
    config = config_from_dict(RouterConfig, {"sigma_n": 12})
    assert config.sigma_n == 12.0 and type(config.sigma_n) is float
    assert config_to_dict(config)["sigma_n"] == 12.0


@pytest.mark.parametrize("path", PAPER_RANGES)
def test_each_row_of_table_2_is_kept_to_its_range(path):
    *parents, name = path.split(".")
    data: dict = MoEDSRConfig().to_dict()
    inner = data
    for parent in parents:
        inner = inner[parent]
    allowed = PAPER_RANGES[path]
    for value in allowed:
        inner[name] = value
        MoEDSRConfig.from_dict(data)
    inner[name] = type(allowed[0])(2 * max(allowed))
    if path != "expert.phi_sh":
        with pytest.raises(InputError, match=f"{path} must be"):
            MoEDSRConfig.from_dict(data)
        MoEDSRConfig.from_dict({**data, "paper_ranges": False})


def test_table_2_has_its_seventeen_rows():
    """Sixteen printed rows, and σ_d, which only the text gives."""
    assert len(PAPER_RANGES) == 17


@pytest.mark.parametrize(("scale", "spread"), [("paper", 1.0), ("released", 192**-0.5)])
def test_untrained_codes_have_the_named_spread(scale, spread):
    codes = TrajectoryCodes(500, 192, scale)
    assert codes.codes.weight.std().item() == pytest.approx(spread, rel=0.02)
    assert torch.equal(codes(torch.tensor([3, 7])), codes.codes.weight[[3, 7]])
    torch.testing.assert_close(codes.mean, codes.codes.weight.detach().mean(dim=0))
    assert not codes.mean.requires_grad


def test_a_fitted_code_explains_the_first_frame_better_and_moves_nothing_else(protein):
    model = stir(DSR(SMALL_DSR)).eval()
    code, t = model.encode(protein), torch.tensor(-1.0)
    points = protein.points / protein.scale
    before = {key: value.clone() for key, value in model.state_dict().items()}

    def misfit(z):
        return model(code, points, t, z).abs().mean().item()

    z = fit_latent(
        model, code, points, protein.normals,
        steps=30, learning_rate=0.05, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert misfit(z) < 0.9 * misfit(torch.zeros(6))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not z.requires_grad


def test_fitting_a_code_depends_on_the_given_generator_alone(protein):
    model = stir(MoEDSR(SMALL)).eval()
    code, points = model.encode(protein), protein.points / protein.scale
    codes = []
    for _ in range(2):
        torch.rand(1)
        generator = torch.Generator().manual_seed(0)
        codes.append(
            fit_latent(model, code, points, protein.normals, steps=3, batch=20, generator=generator)
        )
    assert torch.equal(*codes)


def test_a_movie_holds_one_code_still(model):
    drawn = model.latent_path(3, torch.Generator().manual_seed(0))
    assert drawn.shape == (3, 6) and torch.equal(drawn[0], drawn[2])
