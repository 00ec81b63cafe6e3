"""Prepared points lie on the surface, evenly, in units of Ω and the canonical pose."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_chain import chain, swelling

from moedsr_core.data.ensemble import Ensemble
from moedsr_core.data.frame_surface import SurfaceConfig, frame_surface, pose
from moedsr_core.errors import InputError
from moedsr_core.frame import canonical_frame
from moedsr_core.structure import from_arrays
from moedsr_core.surface.ses import SolventExcludedSurface

SCALE = 20.0


def ball(points: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """One carbon at the origin, 1.7 Å, in Å."""
    atom = from_arrays(np.zeros((1, 3)), elements=["C"])
    found, normals = frame_surface(atom, atom.coords, SCALE, 0, SurfaceConfig(points=points))
    return SCALE * found.astype(np.float64), normals


def octants(points: np.ndarray) -> np.ndarray:
    return np.bincount((points > 0) @ [1, 2, 4], minlength=8)


def test_points_of_a_ball_lie_on_it_and_normals_are_radial():
    points, normals = ball()
    assert np.allclose(np.linalg.norm(points, axis=1), 1.7, atol=1e-4)
    assert np.allclose(normals, points / 1.7, atol=1e-3)


def test_points_are_even_by_area_and_so_are_the_first_of_them():
    points, _ = ball(8000)
    assert np.abs(octants(points) - 1000).max() < 4 * np.sqrt(1000)
    assert np.abs(octants(points[:800]) - 100).max() < 4 * np.sqrt(100)


def test_points_of_a_protein_lie_on_its_surface_and_normals_point_to_where_distance_grows():
    posed = pose(swelling(2), SurfaceConfig())
    surface = SolventExcludedSurface(posed.coords[1], posed.structure.radii)
    points, normals = frame_surface(
        posed.structure, posed.coords[1], posed.scale, 1, SurfaceConfig(points=2000)
    )
    points = posed.scale * points.astype(np.float64)
    distance = np.abs(surface.signed_distance(points))
    assert np.quantile(distance, 0.99) < 0.005
    assert distance.mean() < 0.001
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    outside = surface.signed_distance(points + 0.1 * normals)
    assert np.abs(np.quantile(outside, [0.05, 0.5, 0.95]) - 0.1).max() < 0.01


def test_the_surface_that_pymol_draws_can_be_had_instead():
    pytest.importorskip("pymol2", reason="PyMOL is not installed")
    posed = pose(swelling(2), SurfaceConfig())
    config = SurfaceConfig(points=500, surface="pymol", spacing=0.3)
    points, normals = frame_surface(posed.structure, posed.coords[0], posed.scale, 0, config)
    assert points.shape == normals.shape == (500, 3)
    exact = SolventExcludedSurface(posed.coords[0], posed.structure.radii)
    distance = np.abs(exact.signed_distance(posed.scale * points))
    assert 0.02 < np.quantile(distance, 0.75) < 0.15


def test_seed_and_frame_fix_the_points():
    atom = chain(3)

    def points(k: int, seed: int) -> np.ndarray:
        config = SurfaceConfig(points=100, seed=seed)
        return frame_surface(atom, atom.coords, 60.0, k, config)[0]

    assert np.array_equal(points(0, 0), points(0, 0))
    assert not np.allclose(points(0, 0), points(1, 0), atol=1e-3)
    assert not np.allclose(points(0, 0), points(0, 1), atol=1e-3)


def test_the_pose_is_the_first_frames_and_does_not_depend_on_where_the_molecule_lay():
    ensemble = swelling(3)
    turn = Rotation.from_euler("xyz", [0.3, 1.0, -2.0])
    moved = np.stack([turn.apply(frame) + np.array([5, -7, 30]) for frame in ensemble.coords])
    other = Ensemble("moved", ensemble.structure.with_coords(moved[0]), moved, ensemble.lags_ps)
    here, there = pose(ensemble, SurfaceConfig()), pose(other, SurfaceConfig())
    assert np.allclose(here.coords, there.coords, atol=1e-8)
    assert here.scale == pytest.approx(there.scale)
    frame = canonical_frame(ensemble.coords[0])
    assert np.allclose(here.structure.coords, frame.to_canonical(ensemble.coords[0]))
    assert here.scale == frame.scale


def opening(reach: float) -> Ensemble:
    """A chain whose last residue moves away along the chain's axis."""
    first = chain(8)
    coords = np.stack([first.coords] * 3)
    coords[2, -6:, 2] += reach
    return Ensemble("opening", first, coords, np.arange(3.0))


def test_a_protein_that_leaves_omega_is_refused_with_the_margin_that_it_needs():
    ensemble = opening(12.0)
    with pytest.raises(InputError, match=r"opening leaves Ω: frame 2 reaches") as caught:
        pose(ensemble, SurfaceConfig())
    more = float(re.search(r"at least ([\d.]+) Å larger", str(caught.value))[1])
    fitting = pose(ensemble, SurfaceConfig(margin=6.0 + more + 0.1))
    config = SurfaceConfig(points=500, spacing=0.7)
    points, _ = frame_surface(fitting.structure, fitting.coords[2], fitting.scale, 2, config)
    assert 0.98 < np.abs(points).max() <= 1
    with pytest.raises(InputError, match="leaves Ω"):
        pose(ensemble, SurfaceConfig(margin=6.0 + more - 0.2))


def test_the_extent_of_all_frames_and_a_given_scale_hold_them():
    ensemble = opening(12.0)
    every = pose(ensemble, SurfaceConfig(extent="all"))
    assert every.scale == pytest.approx(np.abs(every.coords).max() + 6.0)
    assert pose(ensemble, SurfaceConfig(scale=50.0)).scale == 50.0
    with pytest.raises(InputError, match=r"Ω 15.0 Å"):
        pose(ensemble, SurfaceConfig(scale=15.0))


@pytest.mark.parametrize(
    "wrong",
    [{"points": 0}, {"surface": "vdw"}, {"spacing": 0.0}, {"extent": "last"}, {"margin": -1.0},
     {"scale": 0.0}, {"seed": -1}],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        SurfaceConfig(**wrong)
