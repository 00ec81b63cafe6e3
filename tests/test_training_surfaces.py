"""Surfaces that are learned from: where they lie, at what scale, at which model times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import bending, surfaces
from synthetic_chain import chain

from moedsr_core.data.ensemble import Ensemble
from moedsr_core.errors import InputError
from moedsr_core.frame import TimeMap, canonical_frame
from moedsr_core.losses import local_sigma
from moedsr_core.models.inputs import protein_input
from moedsr_core.surface.ses import SolventExcludedSurface
from moedsr_core.training.occupancy_probe import inside, probe_iou
from moedsr_core.training.sources import Sources, chosen, open_surfaces
from moedsr_core.training.surfaces import EnsembleSurfaces, Surfaces
from moedsr_core.training.trajectories import FrameConfig, omega_scale, trajectories

DATA = FrameConfig()
OWN = FrameConfig(time="lag", time_map=TimeMap(span_ps=1000.0), scale="protein")


@pytest.fixture(scope="module")
def made() -> EnsembleSurfaces:
    return surfaces(1)


def truth(k: int) -> SolventExcludedSurface:
    """Surface of a frame of the bending chain, in the canonical pose of its first frame."""
    frame = canonical_frame(bending().coords[0])
    coords = frame.to_canonical(bending().coords[k])
    return SolventExcludedSurface(coords, bending().structure.radii)


@pytest.mark.parametrize("k", [0, 3])
def test_points_lie_on_the_surface_of_their_frame_in_the_pose_of_the_first(made, k):
    points, normals = made.surface(k)
    points = points * made.scale
    assert np.abs(truth(k).signed_distance(points)).mean() < 0.06
    assert (truth(k).signed_distance(points + 0.5 * normals) > 0.2).mean() > 0.97
    assert np.abs(truth(3 - k).signed_distance(points)).mean() > 0.2


def test_the_input_is_posed_and_scaled_as_in_prediction(made):
    protein, frame = protein_input(bending().structure)
    assert made.scale == frame.scale == protein.scale
    assert made.structure.coords == pytest.approx(protein.atom_positions.numpy(), abs=1e-4)
    assert isinstance(made, Surfaces)


def test_one_scale_serves_a_data_set_and_everything_fits_into_it(made):
    both = {"a": surfaces(0), "b": made}
    scale = omega_scale(both, DATA)
    assert scale >= max(s.scale for s in both.values())
    for trajectory in trajectories(both, DATA, scale):
        assert trajectory.scale == scale
        for k in range(4):
            points = trajectory.cloud(k).points
            assert np.abs(points).max() < 1
            own = both[trajectory.name].surface(k)[0] * both[trajectory.name].scale
            assert points * scale == pytest.approx(own, abs=1e-4)


def test_each_protein_has_its_own_scale_where_asked_for(made):
    assert omega_scale({"b": made}, OWN) is None
    assert trajectories({"b": made}, OWN, None)[0].scale == made.scale


def leaving() -> dict[str, Surfaces]:
    first = chain(8)
    coords = np.stack([first.coords, 2.0 * first.coords])
    return {"runaway": EnsembleSurfaces(Ensemble("x", first, coords, np.array([0.0, 1.0])))}


def test_a_protein_that_leaves_omega_is_refused_by_name_and_frame():
    with pytest.raises(InputError, match=r"the surface of runaway must stay in Ω.*in frame 1;"):
        omega_scale(leaving(), OWN)
    assert omega_scale(leaving(), replace(OWN, first=1)) is None
    assert omega_scale(leaving(), DATA) > leaving()["runaway"].scale


def test_frames_run_from_minus_one_to_one_over_the_training_frames_as_in_dsr(made):
    config = FrameConfig(first=3, stride=2)
    (trajectory,) = trajectories({"b": made}, config, 30.0)
    assert trajectory.frames.tolist() == [0, 2]
    assert trajectory.times.tolist() == [-1.0, 0.0, 1.0, 2.0]
    (held,) = trajectories({"b": made}, config, 30.0, held_out=True)
    assert held.frames.tolist() == [1]
    assert held.times.tolist() == trajectory.times.tolist()


def test_a_single_training_frame_has_a_time(made):
    (trajectory,) = trajectories({"b": made}, FrameConfig(first=1), 30.0)
    assert trajectory.times[0] == -1.0
    assert np.isfinite(trajectory.times).all()
    assert trajectories({"b": made}, FrameConfig(first=1), 30.0, held_out=True) == []


def test_lags_go_through_the_models_time_axis(made):
    (trajectory,) = trajectories({"b": made}, OWN, None)
    assert trajectory.times == pytest.approx(OWN.time_map.to_t(100.0 * np.arange(4)))
    assert OWN.saved_time == OWN.time_map
    assert DATA.saved_time.span_ps == 0


def test_sigma_of_some_points_is_that_of_the_whole_cloud(made):
    (trajectory,) = trajectories({"b": made}, DATA, 30.0)
    cloud = trajectory.cloud(0)
    whole = local_sigma(cloud.points)
    rows = np.array([7, 3, 200])
    assert np.array_equal(cloud.sigma(rows), whole[rows])
    assert np.array_equal(cloud.sigma(np.arange(len(whole))), whole)


def test_clouds_are_forgotten_when_memory_is_short_and_come_back_the_same(made):
    (trajectory,) = trajectories({"b": made}, DATA, 30.0)
    trajectory._left = 32.0 * 300 * 2
    first = trajectory.cloud(0)
    assert trajectory.cloud(0) is first
    for k in (1, 2, 3):
        trajectory.cloud(k)
    assert len(trajectory._kept) == 2
    again = trajectory.cloud(0)
    assert again is not first
    assert np.array_equal(again.points, first.points)


@pytest.mark.parametrize("bad", [{"time": "ps"}, {"scale": "both"}, {"first": -1}, {"stride": 0}])
def test_choices_of_frames_that_cannot_be_are_refused(bad):
    with pytest.raises(InputError):
        FrameConfig(**bad)


# Inside and outside


def test_normals_tell_inside_from_outside():
    made = EnsembleSurfaces(bending())
    points, normals = made.surface(0)
    rng = np.random.default_rng(0)
    reach = np.abs(points).max(axis=0) * made.scale + 2
    anywhere = rng.uniform(-reach, reach, (4000, 3))
    told = inside(anywhere, made.scale * points, normals)
    true = truth(0).signed_distance(anywhere) < 0
    assert (told & true).sum() / (told | true).sum() > 0.95
    assert not (inside(anywhere, made.scale * points, -normals) & told).any()


@pytest.mark.parametrize("radius", [0.5, 0.4, 0.6])
def test_iou_of_balls_is_the_ratio_of_their_volumes(radius):
    directions = np.random.default_rng(0).normal(size=(4000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found = probe_iou(
        lambda x: x.norm(dim=1) - radius, 0.5 * directions, directions,
        n=20000, seed=0, device=torch.device("cpu"),
    )  # fmt: skip
    assert found == pytest.approx((min(radius, 0.5) / max(radius, 0.5)) ** 3, abs=0.02)


# Where they come from


def test_names_alone_are_trained_on_with_the_spacing_the_split_knows():
    split = {
        "train": [{"name": "a"}], "validation": [{"name": "b", "spacing_ps": 5}], "test": [],
    }  # fmt: skip
    assert chosen(split, ["b", "c"]) == {
        "train": [{"name": "b", "spacing_ps": 5}, {"name": "c"}], "validation": [],
    }  # fmt: skip
    assert chosen(split, []) == {"train": split["train"], "validation": split["validation"]}


def test_no_training_data_is_refused():
    with pytest.raises(InputError, match="at least one trajectory"):
        Sources(Path(), {"train": [], "validation": []}, Path()).surfaces("train")
    assert Sources(Path(), {"train": [], "validation": []}, Path()).surfaces("validation") == {}


def test_a_folder_without_the_protein_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no nowhere\.h5 or .*there is no folder .*nowhere;"):
        open_surfaces(tmp_path / "nowhere", {"name": "nowhere"})


def test_prepared_surfaces_are_taken_before_trajectories_replicates_apart(tmp_path, made):
    store = pytest.importorskip("moedsr_core.data.store", reason="there are no stores here")
    info = store.StoreInfo(
        name="p", replicate="R1", structure=made.structure, scale=made.scale,
        lags_ps=made.lags_ps, recipe={},
    )  # fmt: skip
    for label in ("p_R1", "p_R2", "p2"):
        with store.StoreWriter(tmp_path / f"{label}.h5", info, n_points=300) as writer:
            for k in range(4):
                writer.append(k, *made.surface(k), made.structure.coords)
            writer.finish()
    found = open_surfaces(tmp_path / "p", {"name": "p"})
    assert list(found) == ["p_R1", "p_R2"]
    assert isinstance(found["p_R1"], Surfaces)
    for k in (0, 3):
        for ours, theirs in zip(found["p_R2"].surface(k), made.surface(k), strict=True):
            assert ours == pytest.approx(theirs, abs=0.02)
