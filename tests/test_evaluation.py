"""The evaluation on motions whose scores are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from evaluated import ANCHORED, loaded
from moving_protein import GROWTH, GrowingModel, growing
from synthetic_chain import swelling

from moedsr_core.data.ensemble import anchors_of, superpose
from moedsr_core.errors import InputError
from moedsr_core.evaluation.conventions import OMEGAS, SHAPE_METRICS
from moedsr_core.evaluation.evaluate import evaluate, model_times
from moedsr_core.evaluation.motion import Motion, autocorrelation, compare_motion
from moedsr_core.evaluation.options import EvaluateOptions
from moedsr_core.evaluation.truth import measure_truth
from moedsr_core.frame import TimeMap, canonical_frame
from moedsr_core.metrics.scores import CONVENTIONS
from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.surface.ses import SolventExcludedSurface

QUICK = EvaluateOptions(frames=3, spacing=1.25, draws=6)


def to_and_fro(n_frames=5):
    """A chain that thickens and thins again."""
    moving = swelling()
    pick = np.arange(n_frames) % 2
    return dataclasses.replace(
        moving, coords=moving.coords[pick], lags_ps=100.0 * np.arange(n_frames)
    )


def test_an_untrained_model_is_the_still_picture_and_a_single_later_shape_its_own_mean(tmp_path):
    unmoved = AnchoredMoEDSR(dataclasses.replace(ANCHORED, typical_share=0.0))
    result = evaluate(swelling(), loaded(tmp_path, unmoved), QUICK)
    for metric in SHAPE_METRICS:
        assert result.mean("typical", metric) == pytest.approx(
            result.mean("static", metric), abs=1e-6
        )
    assert result.mean("mean_shape", "iou") == 1.0
    assert result.mean("mean_shape", "chamfer_A") == pytest.approx(0.0, abs=1e-3)
    assert result.mean("static", "iou") < 0.8
    assert result.frame0_iou == 1.0
    gap = {name: result.motion[name]["gap_closed"] for name in ("static", "typical", "mean_shape")}
    assert gap == pytest.approx({"static": 0.0, "typical": 0.0, "mean_shape": 1.0}, abs=1e-6)
    skill = {name: result.motion[name]["occupancy_skill"] for name in gap}
    assert skill == pytest.approx({"static": 0.0, "typical": 0.0, "mean_shape": 1.0}, abs=1e-6)


def test_a_still_trajectory_is_met_exactly_by_the_still_picture_and_has_no_motion_to_score(
    tmp_path,
):
    moving = swelling()
    still = dataclasses.replace(
        moving, coords=np.repeat(moving.coords[:1], 4, axis=0), lags_ps=moving.lags_ps[:4]
    )
    result = evaluate(still, loaded(tmp_path, push=0.5), QUICK)
    assert result.mean("static", "iou") == 1.0
    assert result.mean("static", "hausdorff_A") == pytest.approx(0.0, abs=1e-3)
    assert result.mean("static", "nc_signed") == pytest.approx(1.0, abs=1e-4)
    assert result.mean("drawn", "iou") < 1.0
    assert all(np.isnan(v) for v in result.motion["typical"].values())


def test_drawn_motions_fluctuate_as_much_as_the_model_says(tmp_path):
    ensemble = to_and_fro()
    radii = ensemble.structure.radii
    first, second = (SolventExcludedSurface(x, radii) for x in ensemble.coords[:2])
    there = second.signed_distance(first.mesh(0.8).vertices)
    true = np.median(np.std([there, 0 * there, there, 0 * there], axis=0, ddof=1))
    options = dataclasses.replace(QUICK, frames=4, draws=120)
    predicted = np.log1p(np.exp(-1.0))  # the amplitude of an untrained model [Å]
    result = evaluate(ensemble, loaded(tmp_path), options)
    expected = np.sqrt(1.0 - ANCHORED.kept_share) * predicted / true
    assert result.motion["drawn"]["surface_rmsf_ratio"] == pytest.approx(expected, rel=0.2)


def test_linear_interpolation_meets_a_straight_motion_and_its_last_frame_exactly(tmp_path):
    moving = swelling()
    ends = moving.coords[[0, 1]]
    straight = np.stack([ends[0] + s * (ends[1] - ends[0]) for s in (0.0, 0.4, 1.0)])
    ensemble = dataclasses.replace(moving, coords=straight, lags_ps=np.array([0.0, 40.0, 100.0]))
    options = dataclasses.replace(QUICK, frames=2, linear=True)
    result = evaluate(ensemble, loaded(tmp_path), options)
    np.testing.assert_array_equal(result.frames["linear"]["iou"], 1.0)
    assert result.frames["linear"]["hausdorff_A"].max() < 1e-3
    assert result.frames["static"]["iou"].max() < 0.95
    assert result.motion["linear"]["occupancy_skill"] == pytest.approx(1.0)
    assert result.motion["linear"]["mean_displacement_r"] == pytest.approx(1.0)


def test_an_evenly_growing_model_moves_as_far_as_it_says():
    """The growing model's surface moves GROWTH (1 + t)/2; Chamfer to a still truth is that."""
    moving = swelling()
    still = dataclasses.replace(
        moving, coords=np.repeat(moving.coords[:1], 3, axis=0), lags_ps=np.array([0.0, 10, 100.0])
    )
    result = evaluate(still, growing(), dataclasses.replace(QUICK, frames=2, draws=4))
    expected = GROWTH * (1 + result.times) / 2
    np.testing.assert_allclose(result.times, TimeMap(span_ps=100.0).to_t(np.array([10, 100.0])))
    np.testing.assert_allclose(result.frames["typical"]["chamfer_A"], expected, rtol=0.08)
    assert result.frame0_iou == 1.0


@pytest.mark.parametrize(
    ("kind", "span_ps"), [("moedsr-anchored", 1e5), ("moedsr", 0.0), ("dsr", 0.0)]
)
def test_every_architecture_can_be_measured(kind, span_ps, tmp_path):
    options = dataclasses.replace(QUICK, frames=2, spacing=1.2)
    result = evaluate(swelling(), loaded(tmp_path, kind=kind, push=0.01, span_ps=span_ps), options)
    exact = kind == "moedsr-anchored"
    assert (result.frame0_iou == 1.0) == exact
    assert 0 < result.mean("typical", "iou") < 1
    assert np.isfinite(result.mean("drawn", "chamfer_paper"))
    assert np.isfinite(result.motion["drawn"]["occupancy_skill"])
    assert result.architecture == kind


class Vanishing(GrowingModel):
    """Its surface is gone at all times after the first."""

    def evaluate(self, code, prepared, t, z):
        return super().evaluate(code, prepared, t, z) + 100.0 * (t > -1)


def test_a_model_without_a_surface_overlaps_nothing_and_has_no_distance():
    result = evaluate(swelling(), growing(Vanishing()), dataclasses.replace(QUICK, draws=4))
    np.testing.assert_array_equal(result.frames["typical"]["iou"], 0.0)
    assert np.isnan(result.frames["typical"]["chamfer_A"]).all()
    assert result.to_dict()["scores"]["typical"]["chamfer_A"]["mean"] is None


def test_a_surface_that_a_literal_model_puts_far_away_counts_against_it():
    """Far from the truth too the model's own sign is taken, not that of the first surface."""

    class Stray(GrowingModel):
        def prepare(self, code, x):
            corner = code.protein.points.amax(dim=0) + 5.0
            away = (x * code.protein.scale - corner).norm(dim=1)
            return super().prepare(code, x) | {"stray": away - 4.0}

        def evaluate(self, code, prepared, t, z):
            own = prepared["start"] / code.protein.scale
            return own.minimum(prepared["stray"] / code.protein.scale)

    options = dataclasses.replace(QUICK, frames=1, draws=2)
    plain, stray = (evaluate(swelling(), growing(m), options) for m in (None, Stray()))
    assert stray.frame0_iou < 0.9 < plain.frame0_iou


def test_a_surface_that_goes_far_is_measured_where_it_goes():
    """A domain that moves 15 Å, far beyond the band around the first surface."""
    chain = swelling(n_residues=12)
    moved = chain.coords[0].copy()
    moved[-12:] += [15.0, 0.0, 0.0]
    frame = canonical_frame(chain.coords[0])
    structure = chain.structure.with_coords(frame.to_canonical(chain.coords[0]))
    later = frame.to_canonical(moved)
    surface = SolventExcludedSurface(structure.coords, structure.radii)
    truth = measure_truth(structure, later[None], surface, 1.0)
    whole = SolventExcludedSurface(later, structure.radii)
    nodes = truth.grid.nodes(np.arange(truth.start.size))
    expected = whole.signed_distance(nodes).reshape(truth.start.shape) < 0
    np.testing.assert_array_equal(truth.moment(truth.frames[0]).volume < 0, expected)


def motion(occupancy, noise=0.0):
    n = len(occupancy)
    flat = np.arange(4.0)
    return Motion(flat, flat, np.asarray(occupancy, float), np.full(n, noise))


def test_occupancy_skill_is_the_share_of_the_squared_error_that_is_gone():
    true, first = motion([0.0, 0.5, 1.0, 0.5]), np.array([False, True, True, False])
    half = motion([0.0, 0.75, 1.0, 0.25])
    scores = [compare_motion(m, true, first, np.arange(4)) for m in (true, half, motion(first))]
    assert [s["occupancy_skill"] for s in scores] == pytest.approx([1.0, 0.75, 0.0])


def test_occupancy_skill_does_not_depend_on_how_many_shapes_are_drawn():
    """With the sampling noise left in, two draws would lower the skill by about 0.5."""
    rng = np.random.default_rng(0)
    chance = rng.random(20_000)
    first, true = chance > 0.5, motion(chance)
    skills = []
    for draws in (2, 50):
        drawn = (rng.random((draws, len(chance))) < chance).mean(axis=0)
        noise = drawn * (1 - drawn) / (draws - 1)
        predicted = Motion(true.rmsf, true.displacement, drawn, noise)
        skills.append(compare_motion(predicted, true, first, np.arange(4))["occupancy_skill"])
    assert skills == pytest.approx([1.0, 1.0], abs=0.02)


def test_time_runs_evenly_over_the_frames_where_the_model_knows_no_picoseconds():
    lags = np.array([0.0, 1.0, 5.0, 100.0, 1000.0])
    chosen = np.array([1, 2, 4])
    assert model_times(TimeMap(span_ps=0.0), lags, chosen).tolist() == [-0.5, 0.0, 1.0]
    by_lag = model_times(TimeMap(span_ps=1000.0), lags, chosen)
    assert by_lag[-1] == pytest.approx(1.0)
    assert by_lag[0] < -0.5


def test_a_unit_of_omega_is_one_of_two_lengths_and_both_give_the_same_angstroms(tmp_path):
    coords = np.array([[[0.0, 0, 0], [10.0, 2, 0]], [[0.0, 0, 0], [14.0, 2, 0]]])
    radii = np.array([1.5, 2.5])
    assert OMEGAS["dsr"](coords, radii) == pytest.approx(0.55 * (14 + 1.5 + 2.5))
    assert OMEGAS["fitted"](coords, radii) == canonical_frame(coords[0]).scale
    model = loaded(tmp_path)
    once = dataclasses.replace(QUICK, frames=1, draws=2, spacing=1.4)
    fitted, dsr = (
        evaluate(swelling(), model, dataclasses.replace(once, omega=omega))
        for omega in ("fitted", "dsr")
    )
    assert fitted.omega_A != dsr.omega_A
    for result in (fitted, dsr):
        paper, angstrom = result.mean("static", "chamfer_paper"), result.mean("static", "chamfer_A")
        assert paper * result.omega_A == pytest.approx(angstrom)
        squared = result.mean("static", "chamfer_dsr_code") * result.omega_A**2
        assert squared >= 2 * angstrom**2  # the mean of squares is at least the square of the mean


def test_sampled_distances_only_add_the_floor_of_finitely_many_samples(tmp_path, monkeypatch):
    fewer = dataclasses.replace(CONVENTIONS["dsr_code"], samples=5_000)
    monkeypatch.setitem(CONVENTIONS, "dsr_code", fewer)
    model = loaded(tmp_path)
    surface, samples = (
        evaluate(swelling(), model, dataclasses.replace(QUICK, frames=1, draws=2, distances=name))
        for name in ("surface", "samples")
    )
    area = 900.0  # of the chain, at most [Å²]
    floor = 2 * area / (np.pi * fewer.samples) / surface.omega_A**2
    exact, sampled = (r.mean("static", "chamfer_dsr_code") for r in (surface, samples))
    assert 0.98 * exact < sampled < 1.02 * exact + floor
    assert samples.mean("mean_shape", "chamfer_dsr_code") > 0
    assert samples.mean("static", "chamfer_A") == surface.mean("static", "chamfer_A")


def test_the_json_holds_every_figure_and_no_nan(tmp_path):
    told = []
    options = dataclasses.replace(QUICK, frames=2, linear=True)
    result = evaluate(swelling(), loaded(tmp_path), options, lambda *step: told.append(step))
    data = result.to_dict()
    assert set(data["scores"]) == {
        "static", "mean_shape", "typical", "drawn", "linear", "elastic_network",
    }  # fmt: skip
    for name in ("static", "typical", "linear"):
        assert set(SHAPE_METRICS) <= set(data["scores"][name])
        assert len(data["scores"][name]["iou"]["per_frame"]) == 2
    assert data["headline"]["occupancy_skill"] == result.motion["drawn"]["occupancy_skill"]
    assert data["headline"]["gap_closed"] == result.motion["typical"]["gap_closed"]
    assert data["scores"]["static"]["surface_rmsf_r"] is None
    assert data["ensemble"]["compared"] == [1, 4]
    assert len(data["residue_rmsf_A"]["true"]) == len(data["residue_rmsf_A"]["residue"])
    assert {"total", "model"} <= set(data["seconds"])
    assert [step[1] for step in told] == sorted(step[1] for step in told)
    assert told[-1][1:] == (6, 6)


def test_an_elastic_network_has_a_fluctuation_and_no_shape(tmp_path):
    result = evaluate(to_and_fro(), loaded(tmp_path), dataclasses.replace(QUICK, frames=4))
    scores = result.motion["elastic_network"]
    assert set(scores) == {"surface_rmsf_r", "surface_rmsf_r_residue"}
    assert all(-1 <= value <= 1 for value in scores.values())
    assert "elastic_network" not in result.frames


def test_one_frame_cannot_be_evaluated(tmp_path):
    moving = swelling()
    one = dataclasses.replace(moving, coords=moving.coords[:1], lags_ps=moving.lags_ps[:1])
    with pytest.raises(InputError, match="two frames"):
        evaluate(one, loaded(tmp_path))


@pytest.mark.parametrize(
    "wrong",
    [{"frames": 0}, {"spacing": 9.0}, {"omega": "unit"}, {"distances": "x"}, {"latent": "sample"},
     {"draws": -1}],
)  # fmt: skip
def test_options_that_measure_nothing_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        EvaluateOptions(**wrong)


def test_autocorrelation_is_that_of_a_known_process():
    """An autoregressive process of first order forgets by the same factor at every step."""
    rng, rho = np.random.default_rng(0), 0.8
    series = [rng.normal(size=4000)]
    for _ in range(199):
        series.append(rho * series[-1] + np.sqrt(1 - rho**2) * rng.normal(size=4000))
    found = autocorrelation(7.0 + 0.3 * np.stack(series))
    assert len(found) == 101
    assert found[0] == pytest.approx(1.0)
    own_mean = (1 + rho) / (1 - rho) / 200  # variance of the mean over time
    expected = (rho ** np.arange(1, 6) - own_mean) / (1 - own_mean)
    np.testing.assert_allclose(found[1:6], expected, atol=0.01)


def test_frames_that_know_nothing_of_each_other_are_a_little_anticorrelated():
    found = autocorrelation(np.random.default_rng(0).normal(size=(10, 50_000)))
    np.testing.assert_allclose(found[1:], -1 / 9, atol=0.01)


@pytest.mark.parametrize("frames", [1, 5])
def test_what_does_not_move_has_no_autocorrelation(frames):
    assert np.isnan(autocorrelation(np.ones((frames, 7)))).all()


def test_the_autocorrelation_of_an_evaluation_is_of_the_truth_and_of_one_drawn_motion(tmp_path):
    result = evaluate(
        to_and_fro(7), loaded(tmp_path, push=0.5), dataclasses.replace(QUICK, frames=6)
    )
    true, drawn = (result.autocorrelation[who] for who in ("true", "drawn"))
    np.testing.assert_allclose(true, [1, -1, 1, -1], atol=1e-6)
    assert len(drawn) == 4
    assert drawn[0] == pytest.approx(1.0)
    assert np.abs(drawn[1:]).max() < 0.9


def test_a_replicate_that_does_the_same_is_met_exactly_however_it_lies(tmp_path):
    moving = to_and_fro(5)
    laid = superpose(moving.coords, moving.coords[0], anchors_of(moving.structure))
    moving = dataclasses.replace(moving, coords=laid)
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turned = dataclasses.replace(moving, coords=moving.coords @ turn.T + 7.0, name="again")
    options = dataclasses.replace(QUICK, frames=4)
    result = evaluate(moving, loaded(tmp_path, push=0.1), options, replicate=turned)
    assert result.mean("replicate", "iou") == pytest.approx(1.0, abs=1e-3)
    scores = result.motion["replicate"]
    for figure in (
        "occupancy_skill",
        "mean_displacement_r",
        "surface_rmsf_r",
        "surface_rmsf_ratio",
    ):
        assert scores[figure] == pytest.approx(1.0, abs=1e-3), figure


def test_a_replicate_that_goes_farther_is_shown_where_it_goes(tmp_path):
    """Its surface is told where the trajectory itself has none."""
    moving = swelling()
    far = moving.coords.copy()
    far[1:, -8:] += [0.0, 0.0, 25.0]
    away = dataclasses.replace(moving, coords=far, name="away")
    result = evaluate(moving, loaded(tmp_path), QUICK, replicate=away)
    assert result.mean("replicate", "volume_ratio") > 0.9
    assert result.mean("replicate", "hausdorff_A") > 10.0


def test_a_replicate_of_another_molecule_or_of_one_frame_is_refused(tmp_path):
    model = loaded(tmp_path)
    with pytest.raises(InputError, match="has other atoms than swelling; give replicates of one"):
        evaluate(swelling(), model, QUICK, replicate=swelling(n_residues=9))
    one = dataclasses.replace(swelling(), coords=swelling().coords[:1], lags_ps=np.zeros(1))
    with pytest.raises(InputError, match="at least two frames, got 1"):
        evaluate(swelling(), model, QUICK, replicate=one)
