"""What is remembered of a surface is what would be sampled anew."""

from __future__ import annotations

import numpy as np
import pytest
from moving_protein import helix
from surface_memory import MANY, SMALL, remembering

from moedsr_core.surface import ses
from moedsr_core.surface.probe import probe_boundary

CENTERS, RADII = helix(2).coords, helix(2).radii + 1.4


def test_a_remembered_surface_is_the_one_that_is_sampled_anew():
    assert ses.probe_boundary.__wrapped__ is probe_boundary
    for centers in (CENTERS, CENTERS + 1e-9, CENTERS):
        expected = vars(probe_boundary(centers, RADII))
        for name, values in vars(ses.probe_boundary(centers, RADII)).items():
            np.testing.assert_array_equal(values, expected[name])


def test_a_remembered_surface_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        ses.probe_boundary(CENTERS, RADII).points[0] = 0.0


def test_each_small_molecule_is_sampled_once_while_it_is_among_the_latest():
    calls = []
    call = remembering(lambda c, r: calls.append(c) or probe_boundary(CENTERS[:1], RADII[:1]))
    for k in (*range(MANY), 0, MANY, 0, 1):
        call(CENTERS + k, RADII)
    assert [c[0, 0] - CENTERS[0, 0] for c in calls[MANY:]] == pytest.approx([MANY, 1])
    large = np.zeros((SMALL + 1, 3))
    call(large, RADII), call(large, RADII)
    assert len(calls) == MANY + 4
