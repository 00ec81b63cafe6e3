"""Level sets and resolutions of a ball, whose size at every level is known."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import SCALE, ball, trained, walking

from moedsr_core.errors import InputError
from moedsr_core.reports import pictures
from moedsr_core.reports.dsr_tables import TableOptions
from moedsr_core.reports.pictures import levelsets, resolutions
from moedsr_core.reports.shading import draw_mesh

pytest.importorskip("matplotlib")
proj3d = pytest.importorskip("mpl_toolkits.mplot3d.proj3d")
QUICK = TableOptions(grid=40, spacing=1.0, samples=2000)


def test_level_sets_of_a_ball_are_balls_larger_by_their_level():
    report = levelsets(trained(walking(4), ball), 1, (-0.1, 0.0, 0.1), 65)
    for row in report.tables["levelsets"]:
        radius = (0.5 + row["level"]) * SCALE
        assert row["volume_A3"] == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.01)
        assert row["area_A2"] == pytest.approx(4 * np.pi * radius**2, rel=0.01)
        assert row["level_A"] == pytest.approx(row["level"] * SCALE)
    assert report.pictures["levelsets"].startswith(b"\x89PNG")
    assert len(report.markdown.splitlines()) == 2 + 2 + 3


def test_a_level_that_is_nowhere_is_shown_as_no_surface():
    (row,) = levelsets(trained(walking(4), ball), 0, (-0.6,), 33).tables["levelsets"]
    assert (row["vertices"], row["volume_A3"]) == (0, 0.0)


def test_a_surface_that_fills_omega_is_shown_whole(monkeypatch):
    shown = []

    def noted(axes, mesh, *rest):
        draw_mesh(axes, mesh, *rest)
        x, y, _ = proj3d.proj_transform(*mesh.vertices.T, axes.get_proj())
        shown.append(axes.transAxes.inverted().transform(axes.transData.transform(np.c_[x, y])))

    monkeypatch.setattr(pictures, "draw_mesh", noted)
    full = trained(walking(4), lambda x, t: np.full(len(x), -1.0))
    pictures.levelsets(full, 0, (0.0,), 9)
    (places,) = shown
    assert 0 < places.min() and places.max() < 1
    assert np.ptp(places, axis=0).min() > 0.6


def test_a_level_far_outside_is_cut_at_the_faces_of_omega():
    (row,) = levelsets(trained(walking(4), ball), 0, (0.9,), 33).tables["levelsets"]
    assert row["volume_A3"] == pytest.approx((2 * SCALE) ** 3, rel=0.15)
    assert row["volume_A3"] < (2 * SCALE) ** 3


def test_finer_grids_come_nearer_to_the_ball_and_all_are_measured_alike():
    rows = resolutions(trained(walking(4), ball), 0, (12, 24, 48), QUICK).tables["resolutions"]
    exact = 4 / 3 * np.pi * (0.5 * SCALE) ** 3
    errors = [abs(row["volume_A3"] - exact) / exact for row in rows]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert [row["spacing_A"] for row in rows] == pytest.approx(
        [2 * SCALE / 11, 2 * SCALE / 23, 2 * SCALE / 47]
    )
    assert all(0 < row["iou_paper"] < 1 and 0 < row["iou_dsr_code"] < 1 for row in rows)


def test_progress_is_told_of_every_panel_and_may_stop():
    told = []
    path = trained(walking(4), ball)
    levelsets(path, 0, (0.0, 0.1), 17, lambda *step: told.append(step))
    assert told == [("level 0", 0, 2), ("level 0.1", 1, 2)]

    def stop(*step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resolutions(path, 0, (17,), QUICK, stop)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((4, (0.0,), 32), "frame must be a whole number from 0 to 3, got 4"),
        ((0, (2.0,), 32), "a level must be a number from -1.0 to 1.0, got 2.0"),
        ((0, (), 32), "takes 1 to 16 levels, got 0"),
        ((0, (0.0,), 4), "grid must be a whole number from 8 to 512, got 4"),
    ],
)
def test_pictures_of_nothing_are_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        levelsets(trained(walking(4), ball), *arguments)
