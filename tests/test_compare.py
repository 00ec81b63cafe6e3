"""A prediction against states, in the core: what is the truth itself, and what stands still."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from moving_protein import helix

from moedsr_core.compare import CONTENDERS, compare
from moedsr_core.errors import InputError
from moedsr_core.mesh_trajectory import Frame, MeshTrajectory
from moedsr_core.structure import Structure
from moedsr_core.surface.ses import SolventExcludedSurface

STRETCH = (1.0, 1.08, 1.16)


def turned(coords: np.ndarray) -> np.ndarray:
    """The same shape elsewhere."""
    c, s = np.cos(0.9), np.sin(0.9)
    return coords @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T + [30.0, -7.0, 4.0]


@pytest.fixture(scope="module")
def start() -> Structure:
    return helix(6)


@pytest.fixture(scope="module")
def states(start: Structure) -> np.ndarray:
    """A helix that is drawn out, by its superposed states."""
    middle = start.coords.mean(axis=0)
    return np.stack([(start.coords - middle) * [1, 1, by] + middle for by in STRETCH])


@pytest.fixture(scope="module")
def truth_itself(start: Structure, states: np.ndarray) -> MeshTrajectory:
    surfaces = [SolventExcludedSurface(coords, start.radii) for coords in states]
    meshes = [surface.mesh(0.7) for surface in surfaces]
    at = meshes[0].vertices.astype(float)
    distances = np.stack([surface.signed_distance(at) for surface in surfaces[1:]])
    n = len(at)
    return MeshTrajectory(
        frames=tuple(
            Frame(m.vertices, m.faces, m.normals, np.zeros(len(m.vertices), np.float32))
            for m in meshes
        ),
        times=np.linspace(-1, 1, 3),
        lags_ps=None,
        fluctuation=distances.std(axis=0).astype(np.float32),
        mean_displacement=-distances.mean(axis=0).astype(np.float32),
        atom=np.zeros(n, np.int32),
        expert=np.zeros((n, 1), np.float32),
    )


@pytest.fixture(scope="module")
def outcome(start, states, truth_itself):
    told = []
    found = compare(
        truth_itself, start, start, turned(states), np.array([1, 2]), spacing=1.0,
        tell=lambda *news: told.append(news),
    )  # fmt: skip
    assert told[-1] == ("comparing surfaces", 4, 4)
    return found


def test_the_truth_as_prediction_agrees_wherever_the_states_lie(outcome):
    predicted = outcome.scores["predicted"]
    assert predicted["iou"].min() > 0.94
    assert predicted["chamfer_A"].max() < 0.1
    assert predicted["nc_signed"].min() > 0.97


def test_a_surface_that_stands_still_falls_behind(outcome):
    assert tuple(outcome.scores) == CONTENDERS
    static, mean = outcome.scores["static"], outcome.scores["mean_shape"]
    assert static["iou"][1] < static["iou"][0] < 0.95
    assert static["iou"].mean() < mean["iou"].mean() < outcome.scores["predicted"]["iou"].mean()
    assert outcome.motion["gap_closed"] > 1.0


def test_the_fluctuation_agrees_by_point_and_by_residue(outcome):
    assert outcome.motion["surface_rmsf_r"] > 0.85
    assert outcome.motion["surface_rmsf_r_residue"] > 0.95
    assert outcome.motion["mean_displacement_r"] > 0.9
    np.testing.assert_array_equal(outcome.residue, np.arange(6))
    ends = outcome.true_rmsf[[0, -1]].mean()
    assert ends > 2 * outcome.true_rmsf[2:4].mean()


def test_frames_are_compared_with_the_states_that_they_are_paired_with(start, states, truth_itself):
    swapped = compare(truth_itself, start, start, states, np.array([2, 1]), spacing=1.3)
    assert swapped.scores["predicted"]["iou"].max() < 0.95


def test_an_incomplete_prediction_has_no_correlation(start, states, truth_itself):
    unknown = np.full(len(truth_itself.fluctuation), np.nan, np.float32)
    cut = replace(truth_itself, fluctuation=unknown)
    found = compare(cut, start, start, states[:2], np.array([1]), spacing=1.3)
    assert np.isnan(found.motion["surface_rmsf_r"])
    assert found.scores["predicted"]["iou"][0] > 0.9


def test_another_molecule_is_refused(start, states, truth_itself):
    other = helix(7)
    with pytest.raises(InputError, match="has 7 residues in place of 6"):
        compare(truth_itself, start, other, np.stack([other.coords] * 2), np.array([1]))
    shorter = start.select(np.arange(len(start)) != len(start) - 1)
    with pytest.raises(InputError, match="has ALA 6 with 4 heavy atoms in place of ALA 6 with 5"):
        compare(truth_itself, start, shorter, states[:, :-1], np.array([1]))
    with pytest.raises(InputError, match="at least two states, got 1"):
        compare(truth_itself, start, start, states[:1], np.array([], int))
