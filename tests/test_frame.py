"""The canonical pose turns with the molecule, and the time axis can be read both ways."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from moedsr_core.errors import InputError
from moedsr_core.frame import OMEGA_MARGIN, CanonicalFrame, TimeMap, canonical_frame

SEEDS = range(6)


def chain(n: int = 120, seed: int = 0) -> np.ndarray:
    """A random walk with protein-like steps [Å]."""
    return np.cumsum(np.random.default_rng(seed).normal(0, 1.5, (n, 3)), axis=0)


def about_z(angle_deg: float) -> np.ndarray:
    return Rotation.from_euler("z", angle_deg, degrees=True).as_matrix()


def cyclic(order: int) -> np.ndarray:
    """Copies of one chain about z, in chain order: an exact C_n homo-oligomer."""
    one = chain(50) * 0.5 + [12.0, 3.0, 1.0]
    return np.concatenate([one @ about_z(360 * k / order).T for k in range(order)])


def dihedral() -> np.ndarray:
    """An exact D2 homo-tetramer: every third moment vanishes along every axis."""
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    one = chain(50) * 0.5 + [5.0, 9.0, 14.0]
    return np.concatenate([one * s for s in signs])


def with_variances(x: np.ndarray, variances: list[float]) -> np.ndarray:
    """The same cloud with the given variances along its axes."""
    x = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    return x @ vectors / np.sqrt(values) * np.sqrt(variances)


SETS = {
    "asymmetric": chain(),
    "a thousand atoms": chain(1000, seed=3),
    "nearly oblate": with_variances(chain(), [40.0, 100.02, 100.0]),
    "nearly prolate": with_variances(chain(), [100.0, 40.02, 40.0]),
    "nearly spherical": with_variances(chain(), [100.02, 100.01, 100.0]),
    "exactly spherical": with_variances(chain(), [100.0, 100.0, 100.0]),
    "just not degenerate": with_variances(chain(), [100.0, 99.0, 98.0]),
    "C2": cyclic(2),
    "C3": cyclic(3),
    "C4": cyclic(4),
    "D2": dihedral(),
    "planar": chain() * [1.0, 1.0, 0.0],
    "tetrahedron": np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 5,
    "cube": np.array([[x, y, z] for x in (-4.0, 4) for y in (-4.0, 4) for z in (-4.0, 4)]),
    "two atoms": np.array([[1.0, 2, 3], [4, 5, 7]]),
    "collinear": np.outer([0.0, 1.0, 2.5, 7.0], [1.0, 2.0, -1.0]),
    "evenly spaced on a line": np.outer([-1.0, 0.0, 1.0], [1.0, 2.0, -1.0]),
    "one atom": np.array([[3.0, -4.0, 5.0]]),
}


def moved(x: np.ndarray, seed: int) -> np.ndarray:
    shift = np.random.default_rng(seed).normal(0, 50, 3)
    return x @ Rotation.random(random_state=seed).as_matrix().T + shift


def assert_pose_turns_with(x: np.ndarray, seed: int, pose=canonical_frame) -> None:
    y = moved(x, seed)
    before, after = pose(x), pose(y)
    np.testing.assert_allclose(after.to_canonical(y), before.to_canonical(x), atol=1e-6)
    assert after.scale == pytest.approx(before.scale, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SETS)
def test_the_canonical_coordinates_do_not_depend_on_the_pose(name, seed):
    assert_pose_turns_with(SETS[name], seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["asymmetric", "C2", "C3", "C4", "D2", "exactly spherical"])
def test_rounding_to_a_pdb_files_digits_hardly_moves_the_pose(name, seed):
    x = SETS[name]
    y = np.round(moved(x, seed), 3)
    a, b = canonical_frame(x).to_canonical(x), canonical_frame(y).to_canonical(y)
    assert np.abs(a - b).max() < 0.05


def test_the_pose_check_can_fail():
    def centred_only(x: np.ndarray) -> CanonicalFrame:
        return CanonicalFrame(rotation=np.eye(3), center=x.mean(axis=0), scale=50.0)

    with pytest.raises(AssertionError):
        assert_pose_turns_with(SETS["asymmetric"], 0, pose=centred_only)


@pytest.mark.parametrize("name", SETS)
def test_rotation_is_proper_and_orthonormal(name):
    rotation = canonical_frame(SETS[name]).rotation
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ["C2", "C4"])
def test_where_third_moments_vanish_the_atoms_order_points_along_the_axis(name):
    x = canonical_frame(SETS[name]).to_canonical(SETS[name])
    order = np.linspace(-1, 1, len(x)) @ x
    vanishing = np.abs((x**3).sum(axis=0)) < 1e-6 * (np.abs(x) ** 3).sum(axis=0)
    assert vanishing[:2].any()
    assert (order[:2][vanishing[:2]] > -1e-6).all()


def test_a_mirror_image_is_another_molecule():
    x = SETS["asymmetric"]
    y = x * [1, 1, -1]
    a, b = canonical_frame(x).to_canonical(x), canonical_frame(y).to_canonical(y)
    assert np.abs(a - b).max() > 1


def test_the_largest_extent_lies_along_x():
    x = SETS["asymmetric"]
    spread = canonical_frame(x).to_canonical(x).std(axis=0)
    assert spread[0] > spread[1] > spread[2]


@pytest.mark.parametrize("name", SETS)
def test_points_and_directions_come_back(name):
    frame = canonical_frame(SETS[name])
    points = np.random.default_rng(2).normal(0, 30, (40, 3))
    np.testing.assert_allclose(frame.to_input(frame.to_canonical(points)), points, atol=1e-10)
    np.testing.assert_allclose(frame.to_canonical(frame.to_input(points)), points, atol=1e-10)
    step = np.array([1.0, 2.0, 3.0])
    tips = frame.to_input(points + step) - frame.to_input(points)
    np.testing.assert_allclose(frame.vectors_to_input(np.tile(step, (40, 1))), tips, atol=1e-10)


@pytest.mark.parametrize("name", SETS)
def test_every_atom_lies_inside_omega_with_its_margin(name):
    x = SETS[name]
    frame = canonical_frame(x)
    farthest = np.abs(frame.to_canonical(x)).max()
    assert frame.scale == pytest.approx(farthest + OMEGA_MARGIN)


def test_a_given_scale_is_kept():
    assert canonical_frame(SETS["asymmetric"], scale=80.0).scale == 80.0


@pytest.mark.parametrize("scale", [5.0, 0.0, -1.0, np.nan, np.inf])
def test_a_protein_beyond_the_given_scale_is_refused(scale):
    with pytest.raises(InputError, match="beyond"):
        canonical_frame(SETS["asymmetric"], scale=scale)


@pytest.mark.parametrize(
    ("coords", "words"),
    [
        (np.zeros((0, 3)), "at least one atom"),
        (np.array([[0.0, np.nan, 1.0]]), "finite"),
        (np.array([[0.0, np.inf, 1.0]]), "finite"),
    ],
)
def test_coordinates_that_have_no_pose_are_refused(coords, words):
    with pytest.raises(InputError, match=words):
        canonical_frame(coords)


TIMES = [TimeMap(), TimeMap(span_ps=5.0, origin_ps=100.0), TimeMap(span_ps=1e6, origin_ps=0.01)]


@pytest.mark.parametrize("times", TIMES)
def test_the_input_structure_is_lag_zero_and_the_end_is_the_span(times):
    np.testing.assert_allclose(times.to_ps(np.array([-1.0, 1.0])), [0, times.span_ps], rtol=1e-12)
    np.testing.assert_allclose(times.to_t(np.array([0.0, times.span_ps])), [-1, 1], atol=1e-12)


@pytest.mark.parametrize("times", TIMES)
def test_times_come_back(times):
    t = np.linspace(-1, 1.5, 51)
    np.testing.assert_allclose(times.to_t(times.to_ps(t)), t, atol=1e-9)


@pytest.mark.parametrize("times", TIMES)
def test_later_is_later_on_both_axes(times):
    assert (np.diff(times.to_ps(np.linspace(-1, 2, 200))) > 0).all()
    assert (np.diff(times.to_t(np.geomspace(1e-3, 1e6, 200))) > 0).all()


def test_the_axis_is_logarithmic_beyond_its_origin():
    t = TimeMap(span_ps=1e5, origin_ps=1.0).to_t(np.array([1e2, 1e3, 1e4]))
    np.testing.assert_allclose(np.diff(t), 2 * np.log(10) / np.log(1e5), rtol=0.01)


def test_an_axis_without_unit_says_so():
    times = TimeMap(span_ps=0.0)
    assert times.to_ps(np.array([0.0])) is None
    with pytest.raises(InputError, match="no physical unit"):
        times.to_t(1.0)


@pytest.mark.parametrize("lag", [-1.0, np.nan])
def test_a_lag_before_the_input_structure_is_refused(lag):
    with pytest.raises(InputError, match="0 ps or more"):
        TimeMap().to_t(lag)


@pytest.mark.parametrize(
    "axis",
    [
        {"span_ps": -1.0},
        {"span_ps": np.nan},
        {"span_ps": np.inf},
        {"origin_ps": 0.0},
        {"origin_ps": np.nan},
    ],
)
def test_time_axes_that_cannot_be_inverted_are_refused(axis):
    with pytest.raises(InputError, match="time axis"):
        TimeMap(**axis)
