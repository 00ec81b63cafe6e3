from __future__ import annotations

import math
import runpy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from analytic_fields import MOVING, AnalyticField, ball, breathing_ball, merging_balls, torus
from scipy.spatial import cKDTree

from moedsr_core.errors import InputError, MoedsrError
from moedsr_core.levelset import (
    Grid,
    LevelSetConfig,
    LevelSetExtractor,
    dense_mesh,
    extract_frames,
)
from moedsr_core.levelset.extract import triangulate
from moedsr_core.levelset.store import NodeStore
from moedsr_core.surface.mesh import Mesh

BOX = ([-10.0] * 3, [10.0] * 3)
TIMES = (-1.0, -0.5, 0.0, 0.4, 1.0)


def assert_same_mesh(mesh: Mesh, reference: Mesh) -> None:
    assert len(mesh.vertices) == len(reference.vertices)
    assert np.abs(mesh.vertices - reference.vertices).max() < 1e-5
    assert np.array_equal(mesh.faces, reference.faces)
    assert mesh.is_watertight


class Network:
    """A small random network around a ball, in float64."""

    evaluations = 0

    def __init__(self, strength: float = 1.5) -> None:
        torch.manual_seed(3)
        self.strength = strength
        self.net = torch.nn.Sequential(
            torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)
        ).double()

    def prepare(self, points: np.ndarray) -> dict[str, torch.Tensor]:
        return {"x": torch.from_numpy(points)}

    @torch.no_grad()
    def values(self, rows: dict[str, torch.Tensor], t: float) -> np.ndarray:
        x = rows["x"]
        self.evaluations += len(x)
        inputs = torch.cat([x / 2, torch.full((len(x), 1), t, dtype=x.dtype)], dim=1)
        return (x.norm(dim=1) - 6 + self.strength * self.net(inputs)[:, 0]).numpy()


@pytest.mark.parametrize("name", MOVING)
def test_the_narrow_band_gives_the_dense_mesh(name):
    field = AnalyticField(MOVING[name])
    extractor = LevelSetExtractor(field, BOX, 0.5)
    for t in TIMES:
        assert_same_mesh(extractor.marching_cubes(t), dense_mesh(field, t, extractor.grid))


def test_the_narrow_band_gives_the_dense_mesh_of_a_network():
    field = Network()
    extractor = LevelSetExtractor(field, BOX, 0.5)
    for t in TIMES:
        assert_same_mesh(extractor.marching_cubes(t), dense_mesh(field, t, extractor.grid))
    assert 0 < extractor.share_of_dense < 0.25


@pytest.mark.parametrize("steepness", [0.05, 1.0, 6.0])
def test_a_field_of_any_steepness_gives_the_dense_mesh(steepness):
    field = AnalyticField(lambda x, t: steepness * MOVING["appearing_ball"](x, t))
    extractor = LevelSetExtractor(field, BOX, 0.5)
    for t in TIMES:
        assert_same_mesh(extractor.marching_cubes(t), dense_mesh(field, t, extractor.grid))


def test_a_ball_between_the_coarse_nodes_is_found_by_the_slope_bound_alone():
    field = AnalyticField(MOVING["appearing_ball"])
    found = LevelSetExtractor(field, BOX, 0.5)
    coarse = found.grid.points(found._band._coarse)
    assert field.function(coarse, 0.5)[np.linalg.norm(coarse - 4.0, axis=1) < 5].min() > 0
    assert found.marching_cubes(0.5).vertices.max() > 4.5


def test_the_check_for_a_hidden_ball_can_fail(monkeypatch):
    monkeypatch.setattr("moedsr_core.levelset.band._SLOPE_SAFETY", 0.0)
    field = AnalyticField(MOVING["appearing_ball"])
    blind = LevelSetExtractor(field, BOX, 0.5, config=LevelSetConfig(lipschitz=0.01))
    assert blind.marching_cubes(0.5).vertices.max() < 4.0


def test_a_surface_found_anywhere_is_followed_everywhere_whatever_the_slope(monkeypatch):
    monkeypatch.setattr("moedsr_core.levelset.band._SLOPE_SAFETY", 0.0)
    field = AnalyticField(torus)
    extractor = LevelSetExtractor(field, BOX, 0.5, config=LevelSetConfig(lipschitz=0.01))
    assert_same_mesh(extractor.marching_cubes(0.0), dense_mesh(field, 0.0, extractor.grid))


def test_a_sphere_at_128_cubed_takes_less_than_eight_percent_of_the_dense_evaluations():
    field = AnalyticField(lambda x, t: ball(x, (0, 0, 0), 32.0 + 0.5 * t))
    extractor = LevelSetExtractor(field, ([-50.0] * 3, [50.0] * 3), 100 / 127)
    assert extractor.grid.size >= 128**3
    for t in np.linspace(-1, 1, 4):
        extractor.marching_cubes(float(t))
    assert extractor.share_of_dense < 0.08
    assert extractor.evaluations == field.evaluations


def test_a_node_is_prepared_once_for_all_times():
    field = AnalyticField(torus)
    list(extract_frames(field, [0.0] * 5, BOX, 0.5))
    points = np.round(np.concatenate(field.prepared), 6)
    assert len(np.unique(points, axis=0)) == len(points)


def test_the_area_and_volume_of_a_ball_converge_at_second_order():
    spacings, errors = np.array([1.0, 0.5, 0.25]), []
    for h in spacings:
        (mesh,) = extract_frames(
            AnalyticField(breathing_ball), [0.0], BOX, h, mesh="marching_cubes"
        )
        errors.append([1 - mesh.area / (4 * np.pi * 36), 1 - mesh.volume / (4 / 3 * np.pi * 216)])
    slope = np.polyfit(np.log(spacings), np.log(np.abs(errors)), 1)[0]
    assert slope == pytest.approx([2, 2], abs=0.3)


@pytest.mark.parametrize("level", [-2.0, 1.5])
def test_any_level_can_be_meshed(level):
    (mesh,) = extract_frames(AnalyticField(breathing_ball), [0.0], BOX, 0.5, level=level)
    radius = np.linalg.norm(mesh.vertices - (0.1, 0.2, 0.3), axis=1)
    assert radius == pytest.approx(6 + level, abs=0.02)


def test_zeros_exactly_on_nodes_leave_no_holes():
    def wavy(x, t):
        return ball(x, (0, 0, 0), 5.0) + np.round(np.sin(2 * x[:, 0]) * np.sin(2 * x[:, 1]), 1)

    extractor = LevelSetExtractor(AnalyticField(wavy), BOX, 1.0)
    values = wavy(extractor.grid.points(np.arange(extractor.grid.size)), 0.0)
    values = values.reshape(extractor.grid.shape).astype(np.float32)
    assert (values == 0).sum() > 20
    assert not triangulate(values, extractor.grid).is_watertight
    assert extractor.marching_cubes(0.0).is_watertight


def test_normals_point_outwards():
    (mesh,) = extract_frames(AnalyticField(breathing_ball), [0.0], BOX, 0.5)
    outward = (mesh.vertices - np.array([0.1, 0.2, 0.3])) / 6.0
    assert ((mesh.normals * outward).sum(axis=1) > 0.98).all()
    assert mesh.volume > 0


@pytest.mark.parametrize("mesh", ["tracked", "marching_cubes"])
@pytest.mark.parametrize(
    "way", [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
)
def test_a_surface_that_leaves_the_box_is_refused(way, mesh):
    field = AnalyticField(lambda x, t: ball(x - 6 * t * np.array(way), (0, 0, 0), 7.0))
    frames = extract_frames(field, [0.0, 1.0], BOX, 1.0, mesh=mesh)
    next(frames)
    with pytest.raises(InputError, match=r"t = 1 leaves the box"):
        next(frames)


def test_a_field_without_a_surface_is_refused():
    field = AnalyticField(lambda x, t: ball(x, (0, 0, 0), -1.0))
    with pytest.raises(InputError, match="no surface at t = 0"):
        next(extract_frames(field, [0.0], BOX, 0.5))


def test_values_that_are_not_numbers_are_refused():
    field = AnalyticField(lambda x, t: np.where(x[:, 0] > 0, np.nan, 1.0))
    with pytest.raises(MoedsrError, match="not numbers"):
        next(extract_frames(field, [0.0], BOX, 0.5))


@pytest.mark.parametrize(
    ("box", "spacing", "reason"),
    [
        (([0] * 3, [1] * 3), 0.0, "positive spacing"),
        (([0] * 3, [1, 1, 0]), 0.5, "upper corner"),
        (([0] * 3, [1, 1, math.inf]), 0.5, "upper corner"),
        (([0] * 3, [600.0] * 3), 0.5, "choose"),
    ],
)
def test_grids_that_cannot_be_searched_are_refused(box, spacing, reason):
    with pytest.raises(InputError, match=reason):
        Grid.around(box, spacing)


def test_the_spacing_named_for_a_box_that_is_too_large_works():
    with pytest.raises(InputError, match="choose") as refusal:
        Grid.around(([0] * 3, [600.0] * 3), 0.5)
    advice = float(str(refusal.value).split("choose ")[1].split()[0])
    assert Grid.around(([0] * 3, [600.0] * 3), advice + 0.02).size > 1e8


@pytest.mark.parametrize("bad", [{"lipschitz": 0.0}, {"stride": 3}, {"store_mb": 0.0}])
def test_searches_that_cannot_work_are_refused(bad):
    with pytest.raises(InputError, match="got"):
        LevelSetConfig(**bad)


def test_an_unknown_mesh_is_refused_with_the_choices():
    with pytest.raises(InputError, match=r"marching_cubes.*tracked"):
        next(extract_frames(AnalyticField(torus), [0.0], BOX, 0.5, mesh="cubes"))


def test_a_full_store_changes_no_mesh_and_keeps_its_size():
    field = AnalyticField(breathing_ball)
    config = LevelSetConfig(store_mb=0.05)
    small, large = (LevelSetExtractor(field, BOX, 0.5, config=c) for c in (config, None))
    for t in TIMES:
        assert_same_mesh(small.marching_cubes(t), large.marching_cubes(t))
    assert small.nodes_prepared > large.nodes_prepared
    assert small._store._rows["x"].nbytes <= 0.05 * 2**20


def test_tracked_frames_share_one_topology_and_lie_on_the_surface():
    field = AnalyticField(lambda x, t: ball(x, (1.5 * t, t, 0), 6.0 + 0.8 * t))
    times = np.linspace(-1, 1, 9)
    meshes = list(extract_frames(field, times, BOX, 0.5))
    assert len({id(mesh.faces) for mesh in meshes}) == 1
    for t, mesh in zip(times, meshes, strict=True):
        assert np.abs(field.function(mesh.vertices, t)).max() < 0.03
        assert mesh.is_watertight
        assert mesh.volume == pytest.approx(4 / 3 * np.pi * (6 + 0.8 * t) ** 3, rel=0.01)


def test_tracked_vertices_follow_a_jump_of_two_spacings():
    field = AnalyticField(lambda x, t: ball(x, (t, 0, 0), 5.0))
    first, second = extract_frames(field, [0.0, 1.0], BOX, 0.5)
    assert second.faces is first.faces
    assert np.abs(field.function(second.vertices, 1.0)).max() < 0.03


def test_tracked_vertices_stay_where_a_surface_does():
    meshes = list(extract_frames(AnalyticField(torus), [0.0] * 30, BOX, 0.5))
    drift = np.linalg.norm(meshes[-1].vertices - meshes[1].vertices, axis=1)
    assert drift.max() < 0.2
    assert drift.mean() < 0.05


def test_tracked_triangles_are_better_than_those_of_marching_cubes():
    (free,) = extract_frames(AnalyticField(torus), [0.0], BOX, 0.5, mesh="marching_cubes")
    (tracked,) = extract_frames(AnalyticField(torus), [0.0], BOX, 0.5)
    assert smallest_angles(free).min() < 1.0
    assert np.percentile(smallest_angles(tracked), 1) > 15.0


@pytest.mark.parametrize("function", [merging_balls, MOVING["appearing_ball"], MOVING["cavity"]])
def test_tracked_meshes_follow_a_change_of_topology(function):
    field = AnalyticField(function)
    times = np.linspace(-1, 1, 13)
    extractor = LevelSetExtractor(field, BOX, 0.5)
    meshes = list(extractor.frames(times))
    for t, mesh in zip(times, meshes, strict=True):
        reference = dense_mesh(field, t, extractor.grid)
        assert mesh.is_watertight
        assert np.abs(function(mesh.vertices, t)).max() < 0.55
        assert cKDTree(mesh.vertices).query(reference.vertices)[0].max() < 1.25
    changed = np.flatnonzero([a.faces is not b.faces for a, b in pairwise(meshes)])
    assert len(changed) == extractor.remeshed
    assert len(changed) < 8


@pytest.mark.parametrize("function", [breathing_ball, torus])
def test_no_topology_is_made_anew_without_need(function):
    extractor = LevelSetExtractor(AnalyticField(function), BOX, 0.5)
    assert len(list(extractor.frames(np.linspace(-1, 1, 21)))) == 21
    assert extractor.remeshed == 0


def test_a_mesh_is_made_anew_when_its_triangles_spoil():
    """A ball that travels leaves its vertices crowded at its rear."""
    field = AnalyticField(lambda x, t: ball(x, (6 * t, 0, 0), 3.0))
    extractor = LevelSetExtractor(field, BOX, 0.5)
    for mesh in extractor.frames(np.linspace(-1, 1, 41)):
        assert np.percentile(smallest_angles(mesh), 1) > 5.0
    assert 1 <= extractor.remeshed <= 4


def test_a_part_that_vanishes_leaves_no_vertices_behind():
    """A droplet too small to spoil a share of triangles that would count."""

    def drying(x, t):
        droplet = ball(x, (7.5, 7.5, 7.5), 0.7) if t < 0 else np.full(len(x), np.inf)
        return np.minimum(ball(x, (0, 0, 0), 7.0), droplet)

    before, after = extract_frames(AnalyticField(drying), [-1.0, 1.0], BOX, 0.5)
    assert before.vertices.max() > 8.0
    reference = dense_mesh(AnalyticField(drying), 1.0, Grid.around(BOX, 0.5, 8))
    assert after.area == pytest.approx(reference.area, rel=1e-3)
    assert after.is_watertight
    assert len(after.vertices) == len(reference.vertices)


def test_a_kept_time_can_be_sampled_after_later_ones():
    field = AnalyticField(breathing_ball)
    extractor = LevelSetExtractor(field, BOX, 0.5)
    frames = extractor.frames([-1.0, 1.0])
    next(frames)
    start = extractor.keep()
    late = next(frames).vertices.astype(np.float64)
    assert start.sample(late)[0] == pytest.approx(2.0, abs=0.05)
    assert np.abs(extractor.sample(late)).max() < 0.01


def test_a_movie_can_go_on_with_another_field():
    still = AnalyticField(lambda x, t: breathing_ball(x, -1.0))
    moving = AnalyticField(breathing_ball)
    extractor = LevelSetExtractor(still, BOX, 0.5)
    first = next(extractor.frames([-1.0], "marching_cubes"))
    assert_same_mesh(first, dense_mesh(still, -1.0, extractor.grid))
    extractor.go_on(moving, 2.0)
    ahead = np.concatenate(moving.prepared)
    nodes = extractor.grid.points(np.arange(extractor.grid.size))
    near = np.abs(breathing_ball(nodes, -1.0)) < 2.0
    assert near.sum() <= len(ahead) < 1.5 * near.sum()
    moving.prepared.clear()
    for t, mesh in zip(TIMES, extractor.frames(TIMES, "marching_cubes"), strict=True):
        assert_same_mesh(mesh, dense_mesh(AnalyticField(breathing_ball), t, extractor.grid))
    later = np.concatenate(moving.prepared)
    assert np.abs(breathing_ball(later, -1.0)).min() > 2.0, "what is near was prepared already"


def test_nodes_prepared_at_once_leave_half_of_the_store_to_others(monkeypatch):
    monkeypatch.setattr("moedsr_core.levelset.store._CHUNK", 1000)
    moving = AnalyticField(breathing_ball)
    store = NodeStore(moving, Grid.around(BOX, 0.5, 8), megabytes=24 * 8000 / 2**20)
    wanted = np.random.default_rng(0).permutation(store.grid.size)[:9000]
    store.fetch(wanted)
    assert [len(points) for points in moving.prepared] == [1000] * 4
    moving.prepared.clear()
    store.values(wanted[:4000], 0.0)
    assert moving.prepared == []
    store.values(wanted[4000:4100], 0.0)
    assert [len(points) for points in moving.prepared] == [100]


def smallest_angles(mesh: Mesh) -> np.ndarray:
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    angles = []
    for k in range(3):
        u, v = corners[:, (k + 1) % 3] - corners[:, k], corners[:, (k + 2) % 3] - corners[:, k]
        cosine = (u * v).sum(axis=1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
        angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return np.min(angles, axis=0)


@pytest.mark.parametrize("kind", ["analytic", "network"])
def test_the_benchmark_measures_a_band_that_equals_the_dense_grid(kind):
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "levelset.py"
    benchmark = runpy.run_path(str(path))
    small, large = (benchmark["measure"](kind, nodes, 2) for nodes in (33, 65))
    assert small.same and large.same
    assert large.share < 0.7 * small.share
    assert 0 < large.band_seconds and 0 < large.dense_seconds
