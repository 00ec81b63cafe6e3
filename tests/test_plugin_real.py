"""The plugin and the real backend together."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymol_support import call, open_pymol

from moedsr_pymol import backends
from moedsr_pymol.local_backend import LocalBackend
from moedsr_pymol.workspace import Workspace

pytest.importorskip("moedsr_core.backend.server")


@pytest.fixture(scope="module")
def cmd() -> Iterator[Any]:
    repository = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (repository, os.environ.get("PYTHONPATH"))))
    with pytest.MonkeyPatch.context() as patch, open_pymol("ACDEFGHIKL") as cmd:
        patch.setenv("PYTHONPATH", path)
        backend = LocalBackend(sys.executable)
        patch.setitem(backends.BACKENDS, "local", backend)
        cmd.translate([40, 0, 0], object="prot")
        yield cmd
        backend.stop()


def test_a_real_surface_encloses_the_molecule_where_it_is_drawn(cmd):
    call(cmd, "moedsr_surface", "prot", name="real", spacing=1.0)
    surface = Workspace.of(cmd).surface("real")
    vertices, faces = surface.frames[0].vertices.astype(float), surface.frames[0].faces
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    volume = (np.cross(a, b) * c).sum() / 6
    assert 600 < volume < 3000  # a decapeptide is about 1,200 Å³
    normals = surface.frames[0].normals
    assert ((np.cross(b - a, c - a) * normals[faces[:, 0]]).sum(axis=1) > 0).mean() > 0.98
    assert cmd.get_object_ttt("real")[3] == pytest.approx(40)
    nearest = surface.atoms.coords[surface.attributes["atom"]]
    distance = np.linalg.norm(nearest - surface.frames[0].vertices, axis=1)
    assert 1.0 < distance.min() and distance.max() < 3.6


def test_a_real_prediction_plays_from_the_molecules_own_surface(cmd):
    models = call(cmd, "moedsr_models")
    if not models:
        pytest.skip("no trained model is installed")
    call(cmd, "moedsr_predict", "prot", frames=3, name="moving", spacing=1.2)
    surface = Workspace.of(cmd).surface("moving")
    assert cmd.count_states("moving") == 3
    assert np.abs(surface.frames[0].displacement).max() < 0.5
    assert np.abs(surface.frames[2].displacement).max() > 0.0
    assert set(surface.attributes) == {"atom", "expert", "fluctuation", "mean_displacement"}


def test_a_refusal_of_the_real_backend_is_shown_as_it_is(cmd):
    from pymol import CmdException

    with pytest.raises(CmdException, match="nosuchmodel"):
        call(cmd, "moedsr_predict", "prot", frames=3, model="nosuchmodel")
