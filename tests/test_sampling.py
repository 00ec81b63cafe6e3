"""Points spread over a mesh by area."""

import numpy as np
import pytest
import trimesh

from moedsr_core.errors import InputError
from moedsr_core.surface.mesh import Mesh, vertex_normals
from moedsr_core.surface.sampling import sample_surface


def mesh_of(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    vertices, faces = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    return Mesh(vertices, faces, vertex_normals(vertices, faces))


def shelves(areas: np.ndarray) -> Mesh:
    """Loose triangles of given areas, the k-th at height k, each in another shape."""
    corners = []
    for k, area in enumerate(areas):
        width = 0.2 + 3.0 * ((7 * k) % 5)
        corners += [[0, 0, k], [width, 0, k], [0.3 * k, 2 * area / width, k]]
    return mesh_of(np.array(corners), np.arange(3 * len(areas)).reshape(-1, 3))


def draw(mesh: Mesh, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return sample_surface(mesh, n, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
def test_each_face_gets_its_share_of_points_to_within_one(seed):
    areas = 10.0 ** np.random.default_rng(seed).uniform(-4, 1, 60)
    mesh = shelves(areas)
    exact = np.linalg.norm(mesh.face_vectors, axis=1)
    points, _ = draw(mesh, 4000, seed)
    counts = np.bincount(points[:, 2].round().astype(int), minlength=len(areas))
    assert np.abs(counts - 4000 * exact / exact.sum()).max() < 1 + 1e-6


def test_faces_without_area_get_no_points():
    mesh = mesh_of(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5], [0, 0, 5], [1, 1, 5]],
        [[3, 4, 5], [0, 1, 2], [4, 3, 5]],
    )
    points, _ = draw(mesh, 500)
    assert (points[:, 2] == 0).all()


def test_points_are_uniform_within_a_face():
    n = 20000
    points, _ = draw(mesh_of([[0, 0, 0], [4, 0, 0], [1, 3, 0]], [[0, 1, 2]]), n)
    share = np.linalg.solve(np.array([[4, 1], [0, 3]]), points[:, :2].T)
    barycentric = np.stack([1 - share.sum(axis=0), *share], axis=1)
    assert barycentric.min() > -1e-6
    for limit, probability in [(0.5, 0.25), (0.9, 0.01), (0.1, 0.81)]:
        deviation = np.sqrt(n * probability * (1 - probability))
        counts = (barycentric > limit).sum(axis=0)
        assert np.abs(counts - n * probability).max() < 4.5 * deviation


def test_two_points_of_one_face_are_independent():
    pairs = np.array(
        [draw(mesh_of([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]), 2, k)[0] for k in range(800)]
    )
    correlation = np.corrcoef(pairs[:, 0, 0], pairs[:, 1, 0])[0, 1]
    assert abs(correlation) < 4.5 / np.sqrt(800)


def test_points_lie_on_the_mesh():
    ball = trimesh.creation.icosphere(subdivisions=2, radius=3.0)
    points, _ = draw(mesh_of(ball.vertices, ball.faces), 300)
    _, distance, _ = trimesh.proximity.closest_point_naive(ball, points)
    assert distance.max() < 1e-6


def test_normals_are_unit_and_outward_where_corners_differ():
    ball = trimesh.creation.icosphere(subdivisions=1, radius=3.0)
    points, normals = draw(mesh_of(ball.vertices, ball.faces), 2000)
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1.0, abs=1e-12)
    radial = points / np.linalg.norm(points, axis=1, keepdims=True)
    assert (normals * radial).sum(axis=1).min() > 0.99


def test_the_same_seed_gives_the_same_points_and_another_seed_others():
    mesh = shelves(np.arange(1.0, 9.0))
    again = draw(mesh, 100)
    assert all(np.array_equal(a, b) for a, b in zip(draw(mesh, 100), again, strict=True))
    assert not np.isclose(draw(mesh, 100, seed=1)[0], again[0])[:, :2].all(axis=1).any()


def test_a_single_point_falls_on_faces_in_proportion_to_area():
    mesh = shelves(np.array([1.0, 3.0]))
    rng = np.random.default_rng(0)
    high = np.mean([sample_surface(mesh, 1, rng)[0][0, 2] > 0.5 for _ in range(2000)])
    assert high == pytest.approx(0.75, abs=4.5 * np.sqrt(0.75 * 0.25 / 2000))


@pytest.mark.parametrize("n", [0, -3])
def test_drawing_no_points_is_refused(n):
    with pytest.raises(InputError, match="at least one point"):
        draw(shelves(np.ones(3)), n)


@pytest.mark.parametrize("faces", [np.zeros((0, 3)), [[0, 0, 1]]])
def test_a_mesh_without_area_is_refused(faces):
    with pytest.raises(InputError, match="mesh with area"):
        draw(mesh_of([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.reshape(faces, (-1, 3))), 10)
