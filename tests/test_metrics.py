"""Metrics against shapes whose overlap and distance are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import marching_cubes

from moedsr_core.errors import InputError
from moedsr_core.frame import CanonicalFrame
from moedsr_core.metrics import (
    CONVENTIONS,
    Grid,
    chamfer,
    closest_points,
    compare,
    correlation,
    deviation,
    field_iou,
    field_occupancy,
    foot_weights,
    intersection_over_union,
    majority_shape,
    mesh_iou,
    mesh_occupancy,
    normal_consistency,
    surface_rmsf,
    to_omega,
)
from moedsr_core.metrics.distance import triangle_distance
from moedsr_core.surface.mesh import Mesh, vertex_normals


def ball(radius: float, center=(0.0, 0.0, 0.0)):
    return lambda x: np.linalg.norm(x - np.asarray(center), axis=1) - radius


def sphere_mesh(radius: float, center=(0.0, 0.0, 0.0), spacing: float = 0.1) -> Mesh:
    """Marching-cubes sphere whose vertices are moved onto the sphere exactly."""
    grid = Grid.around(np.full(3, -radius), np.full(3, radius), spacing)
    values = ball(radius)(grid.nodes(np.arange(np.prod(grid.shape)))).reshape(grid.shape)
    vertices, faces, _, _ = marching_cubes(values, 0.0, spacing=(spacing,) * 3)
    vertices = vertices + grid.origin
    normals = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    return Mesh(
        (radius * normals + np.asarray(center)).astype(np.float32),
        np.ascontiguousarray(faces, np.int32),
        normals.astype(np.float32),
    )


def cube_mesh(low: float, high: float) -> Mesh:
    corners = np.array([[x, y, z] for x in (low, high) for y in (low, high) for z in (low, high)])
    faces = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
             [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]  # fmt: skip
    vertices, triangles = corners.astype(np.float32), np.array(faces, np.int32)
    return Mesh(vertices, triangles, vertex_normals(vertices, triangles))


def flipped(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces, -mesh.normals)


def lens_iou(radius: float, distance: float) -> float:
    """Overlap of two equal balls (Weisstein, Sphere-Sphere Intersection) over their union."""
    lens = np.pi * (4 * radius + distance) * (2 * radius - distance) ** 2 / 12
    return lens / (2 * 4 * np.pi * radius**3 / 3 - lens)


@pytest.mark.parametrize("distance", [0.3, 1.0, 1.7])
def test_overlap_of_two_balls_is_the_lens_over_the_union(distance):
    shift = np.array([0.6, 0.0, 0.8]) * distance
    expected = lens_iou(1.0, distance)
    fields = field_iou(ball(1.0), ball(1.0, shift), np.full(3, -1.0), shift + 1.0, 0.025)
    assert fields == pytest.approx(expected, rel=5e-3)
    a, b = sphere_mesh(1.0), sphere_mesh(1.0, shift)
    assert mesh_iou(a, b, 0.025) == pytest.approx(expected, abs=2e-3)  # triangles cut corners


def test_overlap_converges_on_the_lens_as_the_grid_gets_finer():
    low, high = np.full(3, -1.03), np.array([1.72, 1.0, 1.0])
    errors = [
        abs(field_iou(ball(1.0), ball(1.0, (0.7, 0, 0)), low, high, h) - lens_iou(1.0, 0.7))
        for h in (0.2, 0.02)
    ]
    assert errors[1] < 2e-3 < errors[0]


def test_ray_parity_agrees_with_the_signed_distance_of_a_ball():
    mesh, grid = sphere_mesh(1.0, (0.1, -0.2, 0.05), 0.05), Grid.cube(61, 1.4)
    signed = ball(1.0, (0.1, -0.2, 0.05))(grid.nodes(np.arange(61**3))).reshape(grid.shape)
    inside = mesh_occupancy(mesh, grid)
    clear = np.abs(signed) > 0.002
    assert np.array_equal(inside[clear], (signed < 0)[clear])


def test_ray_parity_stands_rays_through_edges_and_corners():
    grid = Grid(np.full(3, -2.0), 0.5, (9, 9, 9))
    inside = mesh_occupancy(cube_mesh(-1.0, 1.0), grid)
    x = np.abs(grid.nodes(np.arange(9**3))).max(axis=1).reshape(grid.shape)
    assert inside[x < 1].all()
    assert not inside[x > 1].any()
    # The cube's own boundary counts once per direction, so its nodes tile space.
    assert inside.sum() == 4**3


def joined(a: Mesh, b: Mesh) -> Mesh:
    return Mesh(
        np.concatenate([a.vertices, b.vertices]),
        np.concatenate([a.faces, b.faces + len(a.vertices)]).astype(np.int32),
        np.concatenate([a.normals, b.normals]),
    )


def test_a_hollow_ball_is_empty_in_its_cavity():
    inner = sphere_mesh(0.5)
    shell = joined(sphere_mesh(1.0), Mesh(inner.vertices, inner.faces[:, ::-1], -inner.normals))
    grid = Grid.cube(41, 1.2)
    r = np.linalg.norm(grid.nodes(np.arange(41**3)), axis=1).reshape(grid.shape)
    inside = mesh_occupancy(shell, grid)
    assert not inside[r < 0.48].any()
    assert inside[(r > 0.51) & (r < 0.97)].all()


def test_a_hole_in_the_mesh_makes_nothing_outside_or_in_a_cavity_inside():
    outer = sphere_mesh(1.0)
    lid = outer.vertices[outer.faces][..., 2].min(axis=1) > 0.5
    cup = Mesh(outer.vertices, outer.faces[~lid], outer.normals)
    grid = Grid.cube(41, 1.2)
    r = np.linalg.norm(grid.nodes(np.arange(41**3)), axis=1).reshape(grid.shape)
    assert not mesh_occupancy(cup, grid)[r > 1.03].any()
    assert not mesh_occupancy(joined(cup, sphere_mesh(0.4)), grid)[r < 0.38].any()


def test_concentric_balls_are_as_far_apart_as_their_radii_differ():
    inner, outer = sphere_mesh(1.0, spacing=0.2), sphere_mesh(1.5, spacing=0.2)
    found = deviation(inner, outer)
    sag = 0.02  # depth of the longest edge's chord
    assert found.chamfer == pytest.approx(0.5, abs=sag)
    assert found.hausdorff == pytest.approx(0.5, abs=sag)
    assert found.chamfer_squared == pytest.approx(2 * 0.5**2, abs=2 * sag)
    assert found.normal_consistency_signed == pytest.approx(1.0, abs=1e-3)


def test_hausdorff_distance_sees_what_the_mean_does_not():
    shifted = deviation(sphere_mesh(1.0), sphere_mesh(1.0, (0.3, 0, 0)))
    assert shifted.hausdorff == pytest.approx(0.3, rel=1e-2)
    assert shifted.chamfer == pytest.approx(0.15, rel=2e-2)  # mean of 0.3 |cos|, to first order


@pytest.mark.parametrize("missed", [True, False])
def test_hausdorff_distance_sees_a_part_that_only_one_surface_has(missed):
    """A stray ball whose far side is 4.1 Å away, whether it was missed or invented."""
    one, two = sphere_mesh(1.0), joined(sphere_mesh(1.0), sphere_mesh(0.1, (5.0, 0, 0)))
    pair = (one, two) if missed else (two, one)
    found = deviation(*pair)
    assert found.hausdorff == pytest.approx(4.1, abs=0.01)
    assert found.chamfer < 0.2


def test_a_mesh_is_at_no_distance_from_itself():
    mesh = sphere_mesh(1.0)
    same = deviation(mesh, mesh)
    assert same.hausdorff < 1e-6
    scores = compare(mesh, mesh, "dsr_code", np.random.default_rng(0), samples=2_000, nodes=32)
    assert (scores.iou, scores.normal_consistency) == (1.0, pytest.approx(1.0, abs=1e-6))


def test_the_two_chamfer_conventions_differ_by_square_and_sum():
    rng = np.random.default_rng(0)
    inner, outer = sphere_mesh(0.6, spacing=0.05), sphere_mesh(0.8, spacing=0.05)
    paper = compare(inner, outer, "paper", rng, samples=20_000, nodes=32)
    code = compare(inner, outer, "dsr_code", rng, samples=20_000, nodes=32)
    assert paper.chamfer == pytest.approx(0.2, rel=1e-2)
    assert code.chamfer == pytest.approx(2 * 0.2**2, rel=2e-2)
    assert paper.iou == pytest.approx((0.6 / 0.8) ** 3, rel=0.05)
    assert code.iou == pytest.approx((0.6 / 0.8) ** 3, rel=0.05)


def test_only_the_code_convention_ignores_what_leaves_the_cube():
    """Two balls beyond [-1, 1]³ differ there only in the paper's convention."""
    rng = np.random.default_rng(0)
    big, bigger = sphere_mesh(1.9), sphere_mesh(2.4)
    sizes = {"samples": 2_000, "nodes": 64}
    assert compare(big, bigger, "dsr_code", rng, **sizes).iou == 1.0
    assert compare(big, bigger, "paper", rng, **sizes).iou == pytest.approx((1.9 / 2.4) ** 3, 0.03)


@pytest.mark.parametrize("convention", sorted(CONVENTIONS))
def test_normals_turned_inside_out_change_only_the_signed_consistency(convention):
    mesh, sizes = sphere_mesh(0.8), {"samples": 5_000, "nodes": 24}
    plain = compare(mesh, mesh, convention, np.random.default_rng(1), **sizes)
    turned = compare(flipped(mesh), mesh, convention, np.random.default_rng(1), **sizes)
    assert turned.normal_consistency == plain.normal_consistency > 0.999
    assert turned.normal_consistency_signed == -plain.normal_consistency_signed < -0.999


def test_random_normals_agree_by_half_unsigned_and_not_at_all_signed():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(20_000, 3))
    normals = [v / np.linalg.norm(v, axis=1)[:, None] for v in rng.normal(size=(2, 20_000, 3))]
    unsigned, signed = normal_consistency(points, normals[0], points, normals[1])
    assert unsigned == pytest.approx(0.5, abs=0.01)
    assert signed == pytest.approx(0.0, abs=0.02)


def test_normal_consistency_runs_from_the_truth_to_the_prediction():
    """A stray predicted point far away is never anyone's nearest, so it does not count."""
    up, down = np.array([[0.0, 0.0, 1.0]]), np.array([[0.0, 0.0, -1.0]])
    near, stray = np.zeros((1, 3)), np.full((1, 3), 9.0)
    both, normals = np.concatenate([near, stray]), np.concatenate([up, down])
    assert normal_consistency(both, normals, near, up) == (1.0, 1.0)
    assert normal_consistency(near, up, both, normals) == (1.0, 0.0)


def test_chamfer_of_points_is_the_brute_force_mean():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(40, 3)), rng.normal(size=(70, 3))
    table = np.linalg.norm(a[:, None] - b[None], axis=2)
    there, back = table.min(axis=1), table.min(axis=0)
    assert chamfer(a, b) == pytest.approx((there.mean() + back.mean()) / 2)
    assert chamfer(a, b, squared=True) == pytest.approx((there**2).mean() + (back**2).mean())


def test_closest_points_on_a_mesh_are_the_brute_force_ones():
    rng = np.random.default_rng(4)
    mesh = sphere_mesh(1.0, spacing=0.3)
    stretched = Mesh(mesh.vertices * np.float32([1, 1, 9]), mesh.faces, mesh.normals)
    points = rng.normal(size=(150, 3)) * [1, 1, 6]
    corners = stretched.vertices.astype(float)[stretched.faces]
    n = len(corners)
    table = triangle_distance(np.repeat(points, n, axis=0), np.tile(corners, (150, 1, 1)))
    distance, face = closest_points(points, stretched)
    np.testing.assert_allclose(distance, table.reshape(150, n).min(axis=1), rtol=1e-12)
    np.testing.assert_allclose(distance, table.reshape(150, n)[np.arange(150), face])


def two_balls(distance: float) -> dict[str, float]:
    """Metrics of unit balls a distance apart, by quadrature over the angle to the axis.

    A point of one sphere at cosine u to the axis lies ``√(1 + d² − 2ud)`` from the other's centre.
    """
    nodes = (np.arange(200_000) + 0.5) / 100_000 - 1  # midpoint rule; d(area) is uniform in u
    far = np.sqrt(1 + distance**2 - 2 * nodes * distance)
    gap, cosine = np.abs(far - 1), (1 - distance * nodes) / far
    return {
        "chamfer": gap.mean(),
        "chamfer_squared": 2 * np.square(gap).mean(),
        "hausdorff": distance,
        "normal_consistency": np.abs(cosine).mean(),
        "normal_consistency_signed": cosine.mean(),
    }


@pytest.mark.parametrize("distance", [0.4, 1.3, 3.0])
def test_two_balls_differ_as_the_integral_over_their_spheres_says(distance):
    shift = np.array([0.6, 0.0, 0.8]) * distance
    found = deviation(sphere_mesh(1.0), sphere_mesh(1.0, shift))
    for name, expected in two_balls(distance).items():
        assert getattr(found, name) == pytest.approx(expected, rel=1e-2, abs=1e-3), name


def test_beyond_a_radius_apart_only_the_signed_normals_see_that_balls_face_away():
    assert two_balls(1.3)["normal_consistency"] > two_balls(1.3)["normal_consistency_signed"] + 0.02


def test_measuring_to_triangles_is_the_limit_of_ever_more_samples():
    """Samples add their own spacing; four times as many halve what they add."""
    a, b = sphere_mesh(1.0), sphere_mesh(1.0, (0.05, 0, 0))
    exact = deviation(a, b).chamfer
    added = [
        compare(a, b, "paper", np.random.default_rng(0), samples=n, nodes=8).chamfer - exact
        for n in (500, 2_000, 32_000)
    ]
    assert added[0] > added[1] > added[2] > 0
    assert added[2] < 0.2 * exact < added[0]


def test_both_conventions_hold_each_other_in_bounds():
    """Mean squares are at least the square of the mean, and at most the largest times the mean."""
    rng = np.random.default_rng(9)
    base = sphere_mesh(1.0, spacing=0.2)
    for _ in range(5):
        size = (1 + 0.2 * rng.random(len(base.vertices)))[:, None].astype(np.float32)
        found = deviation(Mesh(base.vertices * size, base.faces, base.normals), base)
        squared = found.chamfer_squared / 2
        assert found.chamfer**2 <= squared <= found.hausdorff * found.chamfer
        assert abs(found.normal_consistency_signed) <= found.normal_consistency <= 1


def test_the_quick_search_finds_the_nearest_triangle_of_a_smooth_surface():
    a, b = sphere_mesh(1.0), sphere_mesh(1.0, (0.3, 0.1, 0))
    points = a.vertices.astype(float)
    quick, exact = closest_points(points, b, thorough=False)[0], closest_points(points, b)[0]
    np.testing.assert_allclose(quick, exact, atol=1e-12)


def test_the_quick_search_never_finds_less_than_the_nearest():
    rng = np.random.default_rng(10)
    vertices = rng.normal(size=(300, 3)).astype(np.float32)
    soup = Mesh(vertices, rng.permutation(300).reshape(100, 3).astype(np.int32), vertices)
    points = rng.normal(size=(200, 3))
    quick, exact = closest_points(points, soup, thorough=False)[0], closest_points(points, soup)[0]
    assert (quick >= exact - 1e-12).all()
    assert (quick > exact + 1e-3).any()  # large, tangled triangles are what it may miss


def test_foot_weights_make_the_place_that_the_distance_is_to():
    rng = np.random.default_rng(11)
    triangles, points = rng.normal(size=(500, 3, 3)), 2 * rng.normal(size=(500, 3))
    triangles[:50, 2] = 0.3 * triangles[:50, 0] + 0.7 * triangles[:50, 1]  # without area
    weights = foot_weights(points, triangles)
    place = np.einsum("nk,nkd->nd", weights, triangles)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights >= 0).all()
    np.testing.assert_allclose(
        np.linalg.norm(points - place, axis=1), triangle_distance(points, triangles), atol=1e-7
    )


def test_distance_to_a_triangle_is_that_of_its_densely_sampled_points():
    rng = np.random.default_rng(5)
    triangle = np.array([[0.0, 0.0, 0.0], [2.0, 0.3, 0.0], [0.2, 0.9, 0.4]])
    steps = np.linspace(0, 1, 400)
    u, v = np.meshgrid(steps, steps)
    u, v = u[u + v <= 1], v[u + v <= 1]
    dense = triangle[0] + u[:, None] * (triangle[1] - triangle[0]) + v[:, None] * triangle[2]
    points = rng.normal(size=(60, 3)) * 1.5
    expected = np.array([np.linalg.norm(dense - p, axis=1).min() for p in points])
    found = triangle_distance(points, np.repeat(triangle[None], 60, axis=0))
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_a_triangle_without_area_counts_as_its_segment():
    needle = np.array([[[0.0, 0, 0], [2.0, 0, 0], [1.0, 0, 0]]])
    assert triangle_distance(np.array([[1.5, 3.0, 4.0]]), needle)[0] == pytest.approx(5.0)


def test_fluctuation_of_a_breathing_ball_is_its_amplitude_over_root_two():
    phases = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    points = sphere_mesh(1.0, spacing=0.4).vertices.astype(float)
    distances = np.stack([ball(1.0 + 0.2 * np.sin(p))(points) for p in phases])
    np.testing.assert_allclose(surface_rmsf(distances), 0.2 / np.sqrt(2), rtol=1e-6)


def test_correlation_ignores_scale_and_ranks_ignore_any_monotone_map():
    x = np.random.default_rng(6).normal(size=200)
    assert correlation(3 * x + 2, x) == pytest.approx(1.0)
    assert correlation(np.exp(x), x, ranks=True) == pytest.approx(1.0)
    assert correlation(np.exp(x), x) < 0.9
    assert correlation(-x, x) == pytest.approx(-1.0)


def test_a_still_prediction_has_no_correlation_to_report():
    assert np.isnan(correlation(np.zeros(5), np.arange(5.0)))


def test_no_single_shape_has_fewer_wrong_nodes_than_the_majority():
    rng = np.random.default_rng(7)
    solids = rng.random((9, 6, 6, 6)) < 0.5
    best = np.count_nonzero(solids != majority_shape(solids))
    others = [np.count_nonzero(solids != shape) for shape in (*solids, rng.random((6, 6, 6)) < 0.5)]
    assert best < min(others)
    assert not majority_shape(np.array([[True], [False]]))[0]  # a tie is outside


def test_scores_in_omega_do_not_depend_on_where_the_molecule_lies():
    turn = np.linalg.qr(np.random.default_rng(8).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    frame = CanonicalFrame(turn, np.array([5.0, -30.0, 12.0]), 20.0)
    mesh = sphere_mesh(10.0, frame.center, spacing=1.0)
    omega = to_omega(mesh, frame)
    np.testing.assert_allclose(np.linalg.norm(omega.vertices, axis=1), 0.5, atol=1e-5)
    outward = np.einsum("nd,nd->n", omega.vertices, omega.normals)
    np.testing.assert_allclose(outward, 0.5, atol=1e-5)


def test_what_cannot_be_measured_is_refused_in_one_sentence():
    mesh, rng = sphere_mesh(1.0, spacing=0.5), np.random.default_rng(0)
    empty = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros((0, 3), "f4"))
    with pytest.raises(InputError, match="choose from"):
        compare(mesh, mesh, "dsr-code", rng)
    with pytest.raises(InputError, match="spacing must be"):
        mesh_iou(mesh, mesh, 0.0)
    with pytest.raises(InputError, match="nodes"):
        Grid.around(np.zeros(3), np.ones(3), 1e-4)
    with pytest.raises(InputError, match="empty"):
        field_iou(ball(0.01, (9, 9, 9)), ball(0.01, (9, 9, 9)), np.zeros(3), np.ones(3), 0.5)
    with pytest.raises(InputError, match="empty"):
        mesh_iou(empty, empty, 0.5)
    with pytest.raises(InputError, match="triangle"):
        closest_points(np.zeros((1, 3)), empty)
    with pytest.raises(InputError, match="finite"):
        closest_points(np.full((1, 3), np.nan), mesh)
    with pytest.raises(InputError, match="one grid"):
        intersection_over_union(np.ones((2, 2), bool), np.ones((3, 2), bool))
    with pytest.raises(InputError, match="two frames"):
        surface_rmsf(np.zeros((1, 4)))
    with pytest.raises(InputError, match="equally long"):
        correlation(np.zeros(3), np.zeros(4))
    with pytest.raises(InputError, match="at least one frame"):
        majority_shape(np.zeros((0, 2), bool))


def test_a_field_is_asked_in_parts_and_gives_the_whole_grid():
    """Larger than one part: the cube of 70³ nodes is asked for in two calls."""
    sizes = []

    def counted(x):
        sizes.append(len(x))
        return ball(0.5)(x)

    grid = Grid.cube(70)
    inside = field_occupancy(counted, grid)
    assert len(sizes) == 2
    assert sum(sizes) == 70**3
    assert inside.sum() * grid.spacing**3 == pytest.approx(4 / 3 * np.pi * 0.5**3, rel=0.01)
