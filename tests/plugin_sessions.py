"""Two PyMOLs and a backend for tests of sessions, and what they compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymol_support import backend_double, open_pymol
from test_plugin_names import states, timers, turn  # noqa: F401

from moedsr_pymol.session.hooks import moedsr_restore_surfaces, moedsr_save_surfaces
from moedsr_pymol.workspace import Workspace

FRAMES = 4
PLAIN = (str, bytes, int, float, bool, type(None))


@pytest.fixture
def cmd() -> Iterator[Any]:
    with open_pymol() as cmd:
        yield cmd


@pytest.fixture
def fresh() -> Iterator[Any]:
    """A PyMOL that knows nothing of the other."""
    with open_pymol("") as cmd:
        yield cmd


@pytest.fixture
def bare() -> Iterator[Any]:
    """A PyMOL without the plugin."""
    import pymol2

    with pymol2.PyMOL() as instance:
        yield instance.cmd


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with backend_double(monkeypatch, remesh=True) as fake:
        yield fake


def surface_of(cmd: Any, name: str = "prot_surf") -> Any:
    return Workspace.of(cmd).surface(name)


def without_plugin(cmd: Any) -> None:
    """Save and load as a PyMOL does that has no such plugin, or an old one."""
    cmd._pymol._session_save_tasks.remove(moedsr_save_surfaces)
    cmd._pymol._session_restore_tasks.remove(moedsr_restore_surfaces)


def assert_same(one: Any, other: Any) -> None:
    """Two surfaces know the same, to the bit."""
    assert len(one.frames) == len(other.frames)
    for a, b in zip(one.frames, other.frames, strict=True):
        for name in ("vertices", "normals", "faces", "displacement"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert set(one.attributes) == set(other.attributes)
    for name, values in one.attributes.items():
        np.testing.assert_array_equal(values, other.attributes[name])
    for name in vars(one.atoms):
        np.testing.assert_array_equal(getattr(one.atoms, name), getattr(other.atoms, name))
    for name in ("coloring", "smoothing", "summary", "planned", "job"):
        assert getattr(one, name) == getattr(other, name)
    if one.job:
        assert replace(one.label, surface=one.name) == other.label


def picture(cmd: Any, path: Path, state: int = 1) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    cmd.frame(state)
    cmd.png(str(path), 40, 30, ray=1, quiet=1)
    with image.open(path) as file:
        return np.asarray(file.convert("RGB")).astype(int)
