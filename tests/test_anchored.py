"""The anchored model: exact at its start, invariant, and a fluctuation around a typical motion."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from equivariance import random_rotation
from small_anchored import SMALL, draws, near, untrained
from synthetic_chain import posed_chain, stir

from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.surface.lattice import DistanceLattice


@pytest.fixture(scope="module")
def protein():
    return posed_chain()


@pytest.fixture(scope="module")
def model():
    return untrained(SMALL)


@pytest.fixture(scope="module")
def code(model, protein):
    with torch.no_grad():
        return model.encode(protein)


@pytest.fixture(scope="module")
def prepared(model, code, protein):
    with torch.no_grad():
        return model.prepare(code, near(protein))


def turned(protein, rotation):
    """The protein and its exact surface after a rotation about the centre of Ω."""
    turn = rotation.double().numpy()
    exact, surface = protein.surface, copy.copy(protein.surface)
    surface.centers = exact.centers @ turn.T
    surface.signed_distance = lambda points: exact.signed_distance(points @ turn)
    return replace(
        protein,
        points=protein.points @ rotation.T,
        normals=protein.normals @ rotation.T,
        residue_positions=protein.residue_positions @ rotation.T,
        atom_positions=protein.atom_positions @ rotation.T,
        surface=surface,
    )


@torch.no_grad()
def assert_turns_with_the_molecule(model, protein):
    x = near(protein)
    rotation = random_rotation(torch.Generator().manual_seed(3))
    other = turned(protein, rotation)
    here = model.prepare(model.encode(protein), x)
    there = model.prepare(model.encode(other), x @ rotation.T)
    for name in ("start", "offset", "amplitude"):
        error = float((there[name] - here[name]).abs().max())
        assert error < 2e-3, f"{name} differs by {error:.2g} Å"


def test_frame_zero_is_the_input_surface_whatever_the_weights(protein):
    model, x = AnchoredMoEDSR(SMALL).eval(), near(protein)
    truth = torch.from_numpy(protein.surface.signed_distance((x * protein.scale).double().numpy()))
    for seed in range(3):
        stir(model, seed=seed)
        with torch.no_grad():
            code = model.encode(protein)
            rows = model.prepare(code, x)
            later = model.evaluate(code, rows, torch.tensor(0.0), draws(1)[0])
            first = model.evaluate(code, rows, torch.tensor(-1.0), 5 * draws(1, seed)[0])
        assert torch.equal(first, truth.float() / protein.scale)
        assert (later - first).abs().max() * protein.scale > 0.1


def test_an_untrained_model_leaves_the_surface_where_it_is(protein):
    model = AnchoredMoEDSR(SMALL).eval()
    with torch.no_grad():
        code = model.encode(protein)
        x, still = near(protein), torch.zeros(SMALL.phi_z)
        f = [model(code, x, torch.tensor(t), still) for t in (-1.0, -0.3, 1.0)]
    assert torch.equal(f[0], f[1])
    assert torch.equal(f[0], f[2])


def test_prediction_turns_with_the_molecule(protein, model):
    assert_turns_with_the_molecule(model, protein)


def test_the_turning_check_fails_for_an_encoding_that_sees_directions(protein):
    with pytest.raises(AssertionError, match="differs by"):
        assert_turns_with_the_molecule(untrained(replace(SMALL, phi_sh=3)), protein)


def test_the_prediction_is_continuous_along_lines_through_the_molecule(model, protein, code):
    """No jump where the set of nearest atoms, residues or surface points changes."""
    ends = near(protein, 12, seed=4)
    x = torch.lerp(ends[:6, None], ends[6:, None], torch.linspace(0, 1, 4001)[None, :, None])
    start = torch.zeros(x.shape[:2].numel())
    with torch.no_grad():
        rows = model.prepare(code, x.reshape(-1, 3), start)
    step = (x[:, 1] - x[:, 0]).norm(dim=-1) * protein.scale
    for name in ("offset", "amplitude"):
        values = rows[name].reshape(*x.shape[:2], -1)
        jumps = values.diff(dim=1).abs().amax(dim=(1, 2))
        assert (jumps / step).max() < 5.0, name


def test_order_of_atoms_changes_nothing(protein, model, prepared):
    order = torch.randperm(len(protein.atom_positions), generator=torch.Generator().manual_seed(0))
    names = ("atom_positions", "atom_radii", "atom_depths", "atom_residues")
    other = replace(protein, **{name: getattr(protein, name)[order] for name in names})
    with torch.no_grad():
        rows = model.prepare(model.encode(other), near(protein))
    for name, expected in prepared.items():
        torch.testing.assert_close(rows[name], expected, atol=1e-4, rtol=1e-4)


def test_prepared_points_can_be_evaluated_in_any_grouping(model, code, protein, prepared):
    z, t = draws(1)[0], torch.tensor(0.2)
    whole = model.evaluate(code, prepared, t, z)
    part = {name: rows[7:19] for name, rows in prepared.items()}
    assert torch.equal(model.evaluate(code, part, t, z), whole[7:19])
    with torch.no_grad():
        alone = model.prepare(code, near(protein)[7:8])
    torch.testing.assert_close(model.evaluate(code, alone, t, z), whole[7:8], atol=1e-6, rtol=1e-4)


def test_times_and_codes_may_differ_from_point_to_point(model, code, prepared):
    n = len(prepared["start"])
    times, codes = torch.linspace(-1, 1, n), draws(n)
    rows = model.evaluate(code, prepared, times, codes)
    for k in range(n):
        single = {name: values[k : k + 1] for name, values in prepared.items()}
        alone = model.evaluate(code, single, times[k], codes[k])
        torch.testing.assert_close(rows[k : k + 1], alone, atol=1e-7, rtol=1e-5)


def test_an_offset_moves_the_surface_whatever_the_code(model, code, prepared):
    still = {**prepared, "amplitude": torch.zeros_like(prepared["amplitude"])}
    t = torch.tensor(0.4)
    rise, share = model.time_weights(t)
    offset = rise * (prepared["offset"] @ share)
    expected = prepared["start"] + SMALL.largest_offset * torch.tanh(offset / SMALL.largest_offset)
    for z in (*draws(2), torch.zeros(SMALL.phi_z)):
        f = model.evaluate(code, still, t, z) * code.protein.scale
        torch.testing.assert_close(f, expected, atol=2e-5, rtol=1e-5)


def only_random(prepared, spread):
    """The same points, displaced by a random field of one amplitude alone [Å]."""
    return {
        **prepared,
        "offset": torch.zeros_like(prepared["offset"]),
        "amplitude": torch.full_like(prepared["amplitude"], spread),
    }


def test_a_drawn_motion_is_the_first_surface_at_displaced_points(model, code, prepared, protein):
    t, z = torch.tensor(1.0), draws(1, 5)[0]
    rise = float(model.time_weights(t)[0])
    f = model.evaluate(code, only_random(prepared, 0.3), t, z) * protein.scale
    half = SMALL.phi_z // 2
    moved = prepared["waves"][:, : half // 2] @ model.displacement.directions(z[:half])
    origin = prepared["position"] - 0.3 * rise * moved
    truth = protein.surface.signed_distance(origin.double().numpy())
    assert np.abs(f.numpy() - truth).mean() < 0.03
    assert np.abs(f.numpy() - truth).max() < 0.25
    assert np.abs(f.numpy() - prepared["start"].numpy()).max() > 0.2


def test_what_goes_beyond_a_places_own_amplitude_is_shared_over_a_longer_distance():
    model = untrained(replace(SMALL, phi_z=1600))
    x = torch.tensor([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
    z = torch.randn(500, 1600, generator=torch.Generator().manual_seed(0))
    waves = torch.stack([model.displacement.waves(x), model.drift.waves(x)], dim=1)
    drawn = torch.einsum("nlw,dlwc->dnlc", waves, model._directions(z))
    own, shared = (drawn[:, 0] * drawn[:, 1]).mean(dim=(0, 2)).tolist()
    assert own == pytest.approx(math.exp(-(4.0**2) / (2 * SMALL.motion_length**2)), abs=0.12)
    assert shared == pytest.approx(math.exp(-(4.0**2) / (2 * SMALL.drift_length**2)), abs=0.12)


def test_a_large_amplitude_is_split_without_changing_its_size(model, code, prepared):
    t, z = torch.tensor(1.0), draws(600)
    amplitude = 1.5
    seen = []
    plain = replace(SMALL, largest_displacement=1e3)
    for own in (0.1, 0.8, 10.0):
        model.config = replace(plain, own_amplitude=own)
        rows = {**only_random(prepared, amplitude), "start": 0 * prepared["start"]}
        flat = replace(code, lattice=Ramp())
        rows["looked_up"] = Ramp().sample(rows["position"])
        seen.append(float(model.draw(flat, rows, t[None], z[None]).std()))
    model.config = SMALL
    assert seen == pytest.approx([amplitude * float(model.time_weights(t)[0])] * 3, rel=0.1)


class Ramp(DistanceLattice):
    """The signed distance to a plane."""

    def __init__(self) -> None:
        super().__init__(torch.zeros(2, 2, 2), torch.zeros(3), 1.0)

    def sample(self, x):
        return x[..., 0]


def test_drawn_motions_have_the_amplitude_that_the_experts_say(model, code, prepared, protein):
    t, n = torch.tensor(1.0), 400
    small = only_random(prepared, 0.05)
    f = model.draw(code, small, t[None], draws(n)[None])[0]
    where = (prepared["start"].abs() < 1.0).numpy()
    ratio = f.std(dim=0).numpy()[where] / (0.05 * float(model.time_weights(t)[0]))
    assert np.median(ratio) == pytest.approx(1.0, abs=0.1)


def test_drawing_many_motions_equals_drawing_each(model, code, prepared):
    times, z = torch.tensor([-1.0, 0.1, 0.7]), draws(6).reshape(3, 2, -1)
    together = model.draw(code, prepared, times, z)
    for k, t in enumerate(times):
        for d in range(2):
            alone = model.evaluate(code, prepared, t, z[k, d]) * code.protein.scale
            torch.testing.assert_close(together[k, d], alone, atol=1e-5, rtol=1e-5)


def test_typical_shape_is_the_mean_over_smaller_opposite_motions(model, code, prepared):
    t, z = torch.tensor(0.6), model.typical_codes
    torch.testing.assert_close(z.sum(dim=0), torch.zeros(SMALL.phi_z))
    smaller = SMALL.typical_share * z
    one_by_one = torch.stack([model.evaluate(code, prepared, t, single) for single in smaller])
    torch.testing.assert_close(model.typical(code, prepared, t), one_by_one.mean(dim=0))


def test_typical_shape_starts_at_the_input_surface(model, code, prepared):
    first = model.typical(code, prepared, torch.tensor(-1.0)) * code.protein.scale
    torch.testing.assert_close(first, prepared["start"], atol=1e-5, rtol=1e-5)


def test_amplitude_is_positive_everywhere(prepared):
    assert prepared["amplitude"].min() > 0


def test_nothing_is_displaced_further_than_allowed(model, code, prepared):
    far = only_random(prepared, 50.0)
    f = model.evaluate(code, far, torch.tensor(1.0), draws(1)[0]) * code.protein.scale
    change = (f - prepared["start"]).abs()
    assert change.max() <= SMALL.largest_displacement + 0.1
    assert change.max() > 0.8 * SMALL.largest_displacement


def test_no_offset_is_larger_than_allowed(model, code, prepared):
    rows = {**only_random(prepared, 0.0), "offset": 1e3 * prepared["offset"]}
    change = (
        model.evaluate(code, rows, torch.tensor(1.0), draws(1)[0]) * code.protein.scale
        - prepared["start"]
    ).abs()
    assert change.max() <= SMALL.largest_offset + 1e-4
    assert change.max() > 0.9 * SMALL.largest_offset


def test_only_chosen_experts_are_evaluated(protein, model):
    code = model.encode(protein)
    calls = []
    hooks = [
        expert.register_forward_hook(lambda *_, k=k: calls.append(k))
        for k, expert in enumerate(model.experts)
    ]
    with torch.no_grad():
        model.prepare(code, near(protein))
        chosen, prepared_calls = torch.nonzero(code.gate).flatten().tolist(), list(calls)
        calls.clear()
        model.evaluate(code, model.prepare(code, near(protein)), torch.tensor(0.0), draws(1)[0])
    for hook in hooks:
        hook.remove()
    assert len(chosen) == SMALL.n_selected
    assert prepared_calls == chosen
    assert calls == chosen


def test_mixture_is_the_gated_sum_over_all_experts(protein, model, code, prepared):
    with torch.no_grad():
        inputs = model._expert_inputs(code, near(protein), prepared["start"])
        dense = sum(g * expert(inputs) for g, expert in zip(code.gate, model.experts, strict=True))
    torch.testing.assert_close(
        prepared["offset"], dense[:, : SMALL.time_modes], atol=1e-5, rtol=1e-4
    )


def test_shares_of_experts_sum_to_one_and_leave_out_the_others(protein, model, code):
    with torch.no_grad():
        shares = model.expert_shares(code, near(protein))
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(len(shares)))
    assert torch.equal((shares > 0).any(dim=0), code.gate > 0)


def test_shares_are_the_gated_sizes_of_what_the_experts_say(protein, model, code, prepared):
    with torch.no_grad():
        inputs = model._expert_inputs(code, near(protein), prepared["start"])
        size = torch.stack([expert(inputs).norm(dim=1) for expert in model.experts], dim=1)
        shares = model.expert_shares(code, near(protein))
    expected = code.gate * size
    torch.testing.assert_close(shares, expected / expected.sum(dim=1, keepdim=True))


def test_shares_of_an_untrained_model_are_finite(protein):
    model = AnchoredMoEDSR(SMALL).eval()
    with torch.no_grad():
        shares = model.expert_shares(model.encode(protein), near(protein))
    assert torch.isfinite(shares).all()


def test_a_known_start_distance_is_used_as_it_is(protein, model, code, prepared):
    blind = replace(code, protein=replace(protein, surface=None))
    with torch.no_grad():
        rows = model.prepare(blind, near(protein), prepared["start"])
    for name, expected in prepared.items():
        assert torch.equal(rows[name], expected)


def test_weights_make_the_same_model_again(protein, model, prepared):
    other = AnchoredMoEDSR(SMALL).eval()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        rows = other.prepare(other.encode(protein), near(protein))
    assert all(torch.equal(rows[name], prepared[name]) for name in prepared)


def test_distances_are_in_units_of_omega(protein, prepared):
    x = (near(protein).double().numpy()) * protein.scale
    truth = protein.surface.signed_distance(x)
    assert np.abs(prepared["start"].numpy() - truth).max() < 1e-4
