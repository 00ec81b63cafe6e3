"""Surfaces smoothed where they are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pymol import CmdException
from pymol_support import backend_double, ball, call, open_pymol

from moedsr_pymol.cgo import Layout
from moedsr_pymol.smoothing import Smoothing, vertex_normals
from moedsr_pymol.surface import Frame
from moedsr_pymol.workspace import Workspace

UNIT, FACES = ball(16, 24)
LAYOUT = Layout.of(FACES)


def frame(radius: float, faces: np.ndarray = FACES, noise: float = 0.0) -> Frame:
    shift = noise * np.random.default_rng(0).normal(size=UNIT.shape)
    vertices = (radius * UNIT + shift).astype(np.float32)
    return Frame(vertices, vertex_normals(vertices, faces), faces, np.zeros(len(UNIT)), LAYOUT)


def radius(of: Frame) -> float:
    return float(np.linalg.norm(of.vertices, axis=1).mean())


def volume(of: Frame) -> float:
    a, b, c = (of.vertices[of.faces[:, k]] for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def test_frames_around_are_averaged_as_many_before_as_after():
    frames = [frame(r) for r in (3.0, 4.0, 3.0, 4.0, 3.0)]
    drawn = [radius(Smoothing(window=3).smooth(frames, k)) for k in range(5)]
    assert drawn == pytest.approx([3.0, 10 / 3, 11 / 3, 10 / 3, 3.0], abs=1e-4)


def test_a_new_mesh_is_not_averaged_with_the_one_before():
    frames = [frame(3.0), frame(5.0), frame(9.0, FACES.copy()), frame(9.0)]
    assert [radius(Smoothing(window=5).smooth(frames, k)) for k in (1, 2)] == pytest.approx(
        [5.0, 9.0], abs=1e-4
    )


def test_passes_take_bumps_away_and_keep_the_volume():
    bumpy, round_ = frame(5.0, noise=0.25), frame(5.0)
    smooth = Smoothing(passes=10).smooth([bumpy], 0)
    distance = [np.linalg.norm(f.vertices, axis=1).std() for f in (bumpy, smooth)]
    assert distance[1] < 0.4 * distance[0]
    assert volume(smooth) == pytest.approx(volume(round_), rel=0.03)
    np.testing.assert_allclose(np.linalg.norm(smooth.normals, axis=1), 1.0, atol=1e-5)
    assert (smooth.normals * UNIT).sum(axis=1).min() > 0.8


def test_nothing_is_done_where_nothing_is_asked_for():
    frames = [frame(3.0), frame(4.0)]
    assert Smoothing().smooth(frames, 1) is frames[1]


@pytest.fixture
def cmd() -> Iterator[Any]:
    with open_pymol() as cmd:
        yield cmd


def shown(cmd: Any, monkeypatch: pytest.MonkeyPatch) -> dict[int, np.ndarray]:
    """Fills with the numbers that each state is drawn with from now on."""
    from moedsr_pymol import surface

    states: dict[int, np.ndarray] = {}

    def load_state(floats: list[float], name: str, state: int, _self: Any) -> None:
        states[state] = np.array(floats)
        _self.load_cgo(floats, name, state, zoom=0)

    monkeypatch.setattr(surface, "load_state", load_state)
    return states


def test_a_surface_is_drawn_smooth_and_its_prediction_stays(cmd, monkeypatch):
    states = shown(cmd, monkeypatch)
    with backend_double(monkeypatch):
        call(cmd, "moedsr_predict", "prot", frames=5)
    before = dict(states)
    predicted = [f.vertices for f in Workspace.of(cmd).surface("prot_surf").frames]
    states.clear()
    call(cmd, "moedsr_smooth", "prot_surf", window=3)
    assert sorted(states) == [2, 3, 4] and cmd.count_states("prot_surf") == 5
    middle = np.mean([before[k] for k in (1, 2, 3)], axis=0)
    assert not np.allclose(before[2], middle, atol=1e-3)
    corners = Workspace.of(cmd).surface("prot_surf").frames[0].layout.slots[:, None] + [9, 10, 11]
    np.testing.assert_allclose(states[2][corners], middle[corners], atol=1e-4)

    states.clear()
    call(cmd, "moedsr_smooth", "prot_surf", window=1)
    assert sorted(states) == [2, 3, 4]
    np.testing.assert_array_equal(states[2], before[2])
    for frame, vertices in zip(
        Workspace.of(cmd).surface("prot_surf").frames, predicted, strict=True
    ):
        assert frame.vertices is vertices


def test_a_surface_that_is_still_arriving_is_smoothed_as_it_comes(cmd, monkeypatch):
    with backend_double(monkeypatch):
        call(cmd, "moedsr_predict", "prot", frames=3)
    surface = Workspace.of(cmd).surface("prot_surf")
    surface.smoothing = Smoothing(window=3)
    assert surface.outdated() == [1]
    surface.frames.append(replace(surface.frames[-1]))
    assert surface.outdated() == [1, 2, 3]


def test_a_state_that_cannot_be_drawn_ends_the_drawing_with_a_sentence(cmd, monkeypatch):
    with backend_double(monkeypatch):
        call(cmd, "moedsr_predict", "prot", frames=2)

    def refuse(*_: Any) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr(Layout, "floats", refuse)
    with pytest.raises(CmdException, match="PyMOL could not show it: no memory"):
        call(cmd, "moedsr_smooth", "prot_surf", 1, 1)


def test_windows_and_passes_are_checked(cmd, monkeypatch):
    with backend_double(monkeypatch):
        call(cmd, "moedsr_predict", "prot", frames=2)
    for arguments, sentence in (
        (("prot_surf", "4"), "window must be an odd number of frames, got 4"),
        (("prot_surf", "0"), "window must be a whole number from 1 to 99"),
        (("prot_surf", "3", "-1"), "passes must be a whole number from 0 to 100"),
        (("prot",), "'prot' is not a surface of this plugin"),
    ):
        with pytest.raises(CmdException, match=sentence):
            call(cmd, "moedsr_smooth", *arguments)
