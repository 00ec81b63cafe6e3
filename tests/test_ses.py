"""The solvent-excluded surface against shapes whose answer is known, and against PyMOL."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.integrate import quad
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from moedsr_core.errors import InputError
from moedsr_core.structure import Structure, polymer_heavy_atoms
from moedsr_core.structure_io import read_structure
from moedsr_core.surface.external import pymol_surface
from moedsr_core.surface.mesh import Mesh
from moedsr_core.surface.probe import Balls, ProbeBoundary
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


def outermost(mesh: Mesh) -> Mesh:
    """The mesh without its closed cavities."""
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]]])
    graph = coo_array((np.ones(len(edges)), edges.T), shape=2 * [len(mesh.vertices)])
    piece = connected_components(graph, directed=False)[1][mesh.faces[:, 0]]
    pieces = [replace(mesh, faces=mesh.faces[piece == k]) for k in np.unique(piece)]
    return max(pieces, key=lambda part: part.volume)


def rolled_where_pymol_rolls(atoms: Structure) -> SolventExcludedSurface:
    """Our surface, of a probe that stands only at 642 places around each atom, as PyMOL's does."""
    surface = SolventExcludedSurface(atoms.coords, atoms.radii)
    reach = atoms.radii + PROBE_RADIUS
    directions = trimesh.creation.icosphere(subdivisions=3).vertices
    places = (atoms.coords[:, None] + reach[:, None, None] * directions).reshape(-1, 3)
    places = places[Balls(atoms.coords, reach).gap(places) > -1e-6]
    none, nothing = np.zeros(len(places)), np.zeros_like(places)
    surface._boundary = ProbeBoundary(places, none, places, nothing, none)
    surface._tree = cKDTree(places)
    return surface


# Where ours and PyMOL's differ, and why: our mesh at 0.5 Å over PyMOL 3.1's (surface_quality 1),
# less 1, in percent. Closed cavities are left out on both sides, since PyMOL drops small ones.
# "Same places" is our mesh of a probe that stands only at 642 places around each atom, which is
# all that PyMOL's does: it visits neither the arcs between two atoms nor the corners between
# three, and so fills crevices.
#
#                     atoms    area  exact  same places    volume  exact  same places
#     2wqg              327          +3.7       +1.6               -1.7      +0.5
#     EHEE_rd3_0053     327          +2.6       +0.6               -2.2      +0.3
#     2ysb              346          +3.6       +1.9               -2.3      +0.2
#     HHH_rd1_0335      348          +2.7       +0.8               -1.8      +0.2
#     1gjs              350          +2.7       +1.0               -2.1      +0.3
#     5aht              352          +3.0       +1.1               -1.9      +0.3
#     2m8i              355          +4.8       +3.1 *             -2.5      -0.4
#     omtky3            380          +2.6       +1.0               -1.7      +0.3
#     GG_run1_1390_0006 387         +10.2       +3.6 *             -4.4      -0.4
#     1ssu_A            399          +2.5       +0.9               -2.1      +0.4
#     1enh              414          +2.7       +0.9               -1.7      +0.3
#     2uuy_B            415          +2.6       +1.1               -1.6      +0.3
#     1EM7_L7A          440          +5.6       +3.3 *             -3.0      -0.5
#     2l7f              452          +3.5       +1.1               -1.8      +0.2
#     1fas_A            468          +3.0       +1.3               -1.8      +0.1
#     1azp_A            532          +2.6       +0.9               -1.6      +0.3
#     1ay7_A            746          +4.3       +0.9               -1.9      +0.2
#
# What is left at the same places is PyMOL's averaging of vertices closer than 0.25 Å: half of it
# goes at surface_quality 2 (2uuy_B +2.0 in all, 1fas_A +2.5, 1azp_A +2.1, 1enh +2.1, 2ysb +3.0,
# 1ay7_A +3.7). * PyMOL closes the way into a pocket of 30 to 40 Å³, which then counts as a cavity
# or, by its cavity_cull, is dropped.
#
# So volumes agree within 3 % but for two loosely built models, and areas within 3 % where a
# protein has few crevices. Ours is the exact one: on a piece of 2uuy_B (124 atoms), 642, 2,562,
# 10,242 and 40,962 places leave 1.3, 0.9, 0.6 and 0.3 % of our area missing and 2.1, 0.9, 0.4 and
# 0.2 % too much volume, and the volume of the shell |distance| < 0.1 or 0.2 Å gives our area to
# 0.1 %.
COMPACT = [
    "EHEE_rd3_0053",
    *(pytest.param(name, marks=pytest.mark.soak) for name in ("1gjs", "omtky3")),
]


@pytest.fixture(scope="module", params=COMPACT)
def beside_pymol(request, data_dir) -> tuple[Structure, SolventExcludedSurface, Mesh]:
    """A compact protein, its surface, and PyMOL's mesh of it without closed cavities."""
    path = data_dir / "structures" / f"{request.param}.pdb"
    atoms = polymer_heavy_atoms(read_structure(path))
    surface = SolventExcludedSurface(atoms.coords, atoms.radii)
    return atoms, surface, outermost(pymol_surface(atoms, quality=1))


@pytest.mark.data
def test_area_and_volume_agree_with_pymol(beside_pymol):
    _, surface, theirs = beside_pymol
    whole = surface.mesh(0.5)
    ours = outermost(whole)
    assert whole.is_watertight
    assert ours.area == pytest.approx(theirs.area, rel=0.03)
    assert ours.volume == pytest.approx(theirs.volume, rel=0.03)


@pytest.mark.data
def test_pymol_differs_only_where_its_probe_does_not_stand(beside_pymol):
    atoms, _, theirs = beside_pymol
    ours = outermost(rolled_where_pymol_rolls(atoms).mesh(0.5))
    assert ours.area == pytest.approx(theirs.area, rel=0.0125)
    assert ours.volume == pytest.approx(theirs.volume, rel=0.005)


@pytest.mark.data
def test_no_vertex_of_pymol_lies_inside_the_exact_surface(beside_pymol):
    _, surface, theirs = beside_pymol
    distance = surface.signed_distance(theirs.vertices)
    assert distance.min() > -0.05
    assert 0 < np.median(distance) < 0.05
    assert 0.2 < distance.max() < 1.4
