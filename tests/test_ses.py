"""The solvent-excluded surface against shapes whose answer is known, and against PyMOL."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.spatial.transform import Rotation

from moedsr_core.errors import InputError
from moedsr_core.structure import polymer_heavy_atoms
from moedsr_core.structure_io import read_structure
from moedsr_core.surface.external import pymol_surface
from moedsr_core.surface.ses import PROBE_RADIUS, SolventExcludedSurface

CARBON = 1.7


def ball(radius: float = CARBON) -> SolventExcludedSurface:
    return SolventExcludedSurface(np.array([[0.13, 0.27, 0.41]]), np.array([radius]))


def two_balls(distance: float) -> SolventExcludedSurface:
    axis = np.array([1.0, 2.0, 2.0]) / 3.0
    centers = np.array([-0.5, 0.5])[:, None] * distance * axis + 0.1
    return SolventExcludedSurface(centers, np.full(2, CARBON))


def two_balls_exactly(distance: float) -> tuple[float, float]:
    """Area and volume of two carbon balls and the torus a probe leaves between them."""
    r, p, half = CARBON, PROBE_RADIUS, distance / 2
    ring = np.sqrt((r + p) ** 2 - half**2)
    contact = p * half / (r + p)

    def height(x):
        return ring - np.sqrt(p**2 - x**2)

    def slope(x):
        return x / np.sqrt(p**2 - x**2)

    torus_area = quad(lambda x: 2 * np.pi * height(x) * np.sqrt(1 + slope(x) ** 2), 0, contact)[0]
    torus_volume = quad(lambda x: np.pi * height(x) ** 2, 0, contact)[0]
    ball_volume = quad(lambda x: np.pi * (r**2 - (x - half) ** 2), contact, half + r)[0]
    ball_area = 2 * np.pi * r * (half + r - contact)
    return 2 * (torus_area + ball_area), 2 * (torus_volume + ball_volume)


def test_distance_to_one_ball_is_exact_everywhere():
    points = np.random.default_rng(0).normal(size=(500, 3)) * 3
    truth = np.linalg.norm(points - [0.13, 0.27, 0.41], axis=1) - CARBON
    assert np.abs(ball().signed_distance(points) - truth).max() < 1e-9


def test_distance_between_two_balls_is_that_of_the_torus():
    distance, surface = 4.0, two_balls(4.0)
    ring = np.sqrt((CARBON + PROBE_RADIUS) ** 2 - (distance / 2) ** 2)
    axis = np.array([1.0, 2.0, 2.0]) / 3.0
    across = np.cross(axis, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across)
    heights = np.linspace(ring - PROBE_RADIUS - 0.6, ring - 0.2, 9)
    points = 0.1 + heights[:, None] * across
    assert surface.signed_distance(points) == pytest.approx(
        heights - (ring - PROBE_RADIUS), abs=0.02
    )


def test_area_and_volume_of_one_ball_at_half_an_angstrom():
    mesh = ball().mesh(0.5)
    assert mesh.area == pytest.approx(4 * np.pi * CARBON**2, rel=0.005)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * CARBON**3, rel=0.01)


@pytest.mark.parametrize("distance", [2.5, 3.5, 4.5])
def test_area_and_volume_of_two_balls_with_their_reentrant_torus(distance):
    area, volume = two_balls_exactly(distance)
    mesh = two_balls(distance).mesh(0.5)
    assert mesh.is_watertight
    assert mesh.area == pytest.approx(area, rel=0.005)
    assert mesh.volume == pytest.approx(volume, rel=0.01)


@pytest.mark.parametrize("quantity", ["area", "volume"])
def test_mesh_converges_with_the_square_of_the_spacing(quantity):
    truth = {"area": 4 * np.pi * 9.0, "volume": 4 / 3 * np.pi * 27.0}[quantity]
    spacings = np.array([1.0, 0.5, 0.25, 0.125])
    errors = [abs(getattr(ball(3.0).mesh(h), quantity) / truth - 1) for h in spacings]
    order = np.polyfit(np.log(spacings[1:]), np.log(errors[1:]), 1)[0]
    assert order == pytest.approx(2.0, abs=0.3)


def test_probe_cannot_enter_between_balls_that_it_bridges():
    surface = two_balls(4.0)
    assert surface.signed_distance(np.full((1, 3), 0.1))[0] < 0
    assert two_balls(6.3).signed_distance(np.full((1, 3), 0.1))[0] > 0


def test_distance_turns_with_the_atoms_and_ignores_their_order():
    rng = np.random.default_rng(1)
    centers, radii = rng.normal(size=(60, 3)) * 4, rng.choice([1.52, 1.55, 1.7, 1.8], 60)
    points = rng.normal(size=(400, 3)) * 6
    truth = SolventExcludedSurface(centers, radii).signed_distance(points)
    turn, order = Rotation.random(random_state=2), rng.permutation(60)
    moved = SolventExcludedSurface(turn.apply(centers)[order] + 5.0, radii[order])
    near = np.abs(truth) < 0.6
    error = np.abs(moved.signed_distance(turn.apply(points) + 5.0) - truth)
    assert near.sum() > 30
    assert error[near].max() < 0.06


def test_distance_is_one_lipschitz_near_the_surface():
    rng = np.random.default_rng(3)
    centers = rng.normal(size=(80, 3)) * 4
    surface = SolventExcludedSurface(centers, np.full(80, CARBON))
    points = surface.mesh(1.0).vertices.astype(float)
    step = rng.normal(size=points.shape) * 0.1
    change = surface.signed_distance(points + step) - surface.signed_distance(points)
    assert (np.abs(change) - np.linalg.norm(step, axis=1)).max() < 0.06


def test_coincident_atoms_count_once():
    once = ball().mesh(0.5)
    twice = SolventExcludedSurface(np.full((2, 3), 0.13), np.full(2, CARBON)).mesh(0.5)
    assert twice.volume == pytest.approx(once.volume, rel=0.01)


@pytest.mark.parametrize(
    ("centers", "radii", "probe"),
    [
        (np.zeros((0, 3)), np.zeros(0), 1.4),
        (np.zeros((1, 3)), np.zeros(1), 1.4),
        (np.zeros((1, 3)), np.ones(1), 0.0),
        (np.full((1, 3), np.nan), np.ones(1), 1.4),
    ],
)
def test_impossible_atoms_are_refused(centers, radii, probe):
    with pytest.raises(InputError):
        SolventExcludedSurface(centers, radii, probe)


def test_impossible_spacing_is_refused():
    with pytest.raises(InputError, match="spacing"):
        ball().mesh(0.0)


@pytest.mark.data
@pytest.mark.parametrize("name", ["1fas_A", "2uuy_B", "1azp_A"])
def test_area_and_volume_agree_with_pymol(data_dir, name):
    atoms = polymer_heavy_atoms(read_structure(data_dir / "structures" / f"{name}.pdb"))
    ours = SolventExcludedSurface(atoms.coords, atoms.radii).mesh(0.5)
    theirs = pymol_surface(atoms, quality=1)
    assert ours.is_watertight
    assert ours.area == pytest.approx(theirs.area, rel=0.03)
    assert ours.volume == pytest.approx(theirs.volume, rel=0.03)
