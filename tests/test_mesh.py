"""Area, volume, closedness and normals of triangle meshes."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from moedsr_core.surface.mesh import Mesh, mean_around, vertex_normals


def mesh_of(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    vertices, faces = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    return Mesh(vertices, faces, vertex_normals(vertices, faces))


def box(low=(0.0, 0.0, 0.0), size=(1.0, 1.0, 1.0)) -> Mesh:
    solid = trimesh.creation.box(bounds=[low, np.add(low, size)])
    return mesh_of(solid.vertices, solid.faces)


def sphere(radius: float = 2.0, subdivisions: int = 3) -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return mesh_of(ball.vertices, ball.faces)


def joined(a: Mesh, b: Mesh) -> Mesh:
    return mesh_of(
        np.concatenate([a.vertices, b.vertices]),
        np.concatenate([a.faces, b.faces + len(a.vertices)]),
    )


def inside_out(mesh: Mesh) -> Mesh:
    return mesh_of(mesh.vertices, mesh.faces[:, ::-1])


def tetrahedron() -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    return corners, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)


def test_area_and_volume_of_a_box_are_exact_anywhere():
    mesh = box(low=(-7.0, 30.0, 2.5), size=(1.0, 2.0, 4.0))
    assert mesh.area == pytest.approx(2 * (2 + 4 + 8), rel=1e-6)
    assert mesh.volume == pytest.approx(8.0, rel=1e-6)


def test_volume_does_not_depend_on_where_the_origin_is():
    mesh = sphere()
    far = mesh_of(mesh.vertices + np.float32(64.0), mesh.faces)
    assert far.volume == pytest.approx(mesh.volume, rel=1e-5)


def test_an_inside_out_mesh_has_the_negative_volume_and_the_same_area():
    mesh = box()
    assert inside_out(mesh).volume == -mesh.volume
    assert inside_out(mesh).area == mesh.area


def test_a_cavity_takes_its_volume_away_and_adds_its_area():
    hollow = joined(box(size=(4, 4, 4)), inside_out(box(low=(1, 1, 1), size=(2, 2, 2))))
    assert hollow.volume == pytest.approx(64 - 8)
    assert hollow.area == pytest.approx(96 + 24)
    assert hollow.is_watertight


def test_face_vectors_of_a_closed_mesh_sum_to_zero():
    assert np.abs(sphere().face_vectors.sum(axis=0)).max() < 1e-5
    assert np.abs(box().face_vectors[1:].sum(axis=0)).max() == pytest.approx(0.5)


@pytest.mark.parametrize("closed", [box, sphere, lambda: mesh_of(*tetrahedron())])
def test_closed_meshes_are_watertight(closed):
    assert closed().is_watertight


def without_one_face(vertices, faces):
    return vertices, faces[1:]


def one_face_turned(vertices, faces):
    return vertices, np.concatenate([faces[:1, ::-1], faces[1:]])


def one_face_twice(vertices, faces):
    return vertices, np.concatenate([faces, faces[:1]])


def face_and_its_back_added(vertices, faces):
    return vertices, np.concatenate([faces, faces[:1], faces[:1, ::-1]])


def seam_not_merged(vertices, faces):
    loose = np.concatenate([vertices, vertices[faces[0]]])
    return loose, np.concatenate([len(vertices) + np.arange(3)[None], faces[1:]])


def two_solids_on_one_edge(vertices, faces):
    second = vertices.copy()
    second[2:] *= -1
    other = np.where(faces > 1, faces + 2, faces)
    return np.concatenate([vertices, second[2:]]), np.concatenate([faces, other])


def no_face(vertices, faces):
    return vertices, faces[:0]


@pytest.mark.parametrize(
    "damage",
    [
        without_one_face, one_face_turned, one_face_twice, face_and_its_back_added,
        seam_not_merged, two_solids_on_one_edge, no_face,
    ],
)  # fmt: skip
def test_open_or_inconsistent_meshes_are_not_watertight(damage):
    assert not mesh_of(*damage(*tetrahedron())).is_watertight


def test_a_vertex_of_no_face_opens_nothing_and_has_no_normal():
    vertices, faces = tetrahedron()
    mesh = mesh_of(np.concatenate([vertices, [[9, 9, 9]]]), faces)
    assert mesh.is_watertight
    assert (mesh.normals[4] == 0).all()


def test_normals_of_a_ball_point_away_from_its_centre():
    mesh = sphere(radius=3.0)
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1.0, abs=1e-6)
    outward = (mesh.normals * mesh.vertices).sum(axis=1) / 3.0
    assert outward.min() > 0.999


def test_normals_are_the_area_weighted_mean_of_the_faces_around():
    rng = np.random.default_rng(0)
    mesh = sphere(subdivisions=1)
    vertices = (mesh.vertices + rng.normal(0, 0.2, mesh.vertices.shape)).astype(np.float32)
    expected = np.zeros((len(vertices), 3))
    for a, b, c in mesh.faces.tolist():
        x = vertices.astype(float)
        expected[[a, b, c]] += np.cross(x[b] - x[a], x[c] - x[a])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(vertex_normals(vertices, mesh.faces) - expected).max() < 1e-6


def test_normals_turn_with_the_mesh_and_flip_with_its_winding():
    mesh, turn = sphere(), Rotation.random(random_state=0).as_matrix()
    turned = vertex_normals((mesh.vertices @ turn.T).astype(np.float32), mesh.faces)
    assert np.abs(turned - mesh.normals @ turn.T).max() < 1e-5
    assert np.abs(inside_out(mesh).normals + mesh.normals).max() < 1e-6


def test_mean_around_is_the_mean_over_the_faces_of_each_vertex():
    rng, faces = np.random.default_rng(1), sphere(subdivisions=1).faces
    values = rng.normal(size=(len(faces), 2))
    n = int(faces.max()) + 1
    expected = [values[(faces == k).any(axis=1)].mean(axis=0) for k in range(n)]
    got = mean_around(values, faces, n + 1)
    assert np.abs(got[:-1] - expected).max() < 1e-12
    assert (got[-1] == 0).all()
