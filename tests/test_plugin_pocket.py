"""Open space near atoms: cavities of known size, and lines that are and are not enclosed."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pymol import CmdException
from pymol_support import RADIUS, backend_double, ball, call, open_pymol

from moedsr_pymol.atoms import Molecule
from moedsr_pymol.coloring import Coloring
from moedsr_pymol.measure.occupancy import Grid, enclosed_lines, inside_mesh
from moedsr_pymol.measure.pocket import pocket_over_time, pocket_steps
from moedsr_pymol.steps import Report, Steps
from moedsr_pymol.surface import Frame, Surface
from moedsr_pymol.workspace import Workspace

SHELL = 9.0
CAVITIES = (0.5, 2.0, 4.0)
"""Radii of a cavity that opens [Å]."""


def shell(radius: float) -> Frame:
    """A ball with a spherical cavity at its centre."""
    unit, faces = ball(24, 36)
    vertices = np.vstack([SHELL * unit, radius * unit]).astype(np.float32)
    both = np.vstack([faces, faces[:, ::-1] + len(unit)])
    normals = np.vstack([unit, -unit]).astype(np.float32)
    return Frame(vertices, normals, both, np.zeros(len(vertices), np.float32), None)  # type: ignore[arg-type]


def opening() -> Surface:
    molecule = Molecule("", 1, np.array([], np.str_), np.eye(4))
    surface = Surface("opening", molecule, Coloring("plain", ((1.0, 1.0, 1.0),)), planned=3)
    surface.frames.extend(shell(radius) for radius in CAVITIES)
    return surface


@pytest.fixture(scope="module")
def cmd() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch, open_pymol() as cmd, backend_double(patch):
        call(cmd, "moedsr_predict", "prot", frames=2)
        yield cmd


def test_a_cavity_that_opens_has_its_volume_and_area():
    found = pocket_over_time(opening(), np.zeros((1, 3)), 6.0)
    radii = np.array(CAVITIES)
    volume, area = 4 / 3 * np.pi * radii**3, 4 * np.pi * radii**2
    np.testing.assert_allclose(found.volume[1:], volume[1:], rtol=0.08)
    assert found.volume[0] < 1.0
    np.testing.assert_allclose(found.area, area, rtol=0.02)


def test_only_what_is_near_the_atoms_counts():
    found = pocket_over_time(opening(), np.array([[4.0, 0, 0]]), 4.0)
    np.testing.assert_allclose(found.volume[2], 5 / 12 * np.pi * 4**3, rtol=0.05)  # a lens
    far = pocket_over_time(opening(), np.array([[30.0, 0, 0]]), 4.0)
    assert not far.volume.any() and not far.area.any()


def test_space_before_a_ball_is_not_enclosed():
    found = pocket_over_time(opening(), np.array([[SHELL + 1.0, 0, 0]]), 3.0)
    assert not found.volume.any() and (found.area > 5.0).all()


def test_lines_are_enclosed_at_the_floor_of_a_well_and_not_above_a_plain():
    block = np.zeros((21, 21, 21), bool)
    block[:, :, :12] = True
    plain = enclosed_lines(block)
    assert plain[10, 10, 14] == 0 and plain[10, 10, 12] == 0
    block[8:13, 8:13, 3:12] = False
    well = enclosed_lines(block)
    assert well[10, 10, 3] == 6  # all but the one straight up
    assert well[10, 10, 11] == 2  # at the rim: along x and y
    block[:, :, 16:] = True
    assert enclosed_lines(block)[10, 10, 3] == 7


def test_the_inside_is_the_same_whatever_stands_where_and_runs_through_itself():
    unit, faces = ball(12, 16)
    grid = Grid.around(np.full(3, -6.0), np.full(3, 6.0), 0.5)
    one = inside_mesh(5.0 * unit, faces, grid)
    assert one.sum() * 0.125 == pytest.approx(4 / 3 * np.pi * 125, rel=0.05)
    twice = inside_mesh(
        np.vstack([5.0 * unit, 4.0 * unit + [0.5, 0, 0]]),
        np.vstack([faces, faces + len(unit)]),
        grid,
    )
    np.testing.assert_array_equal(twice, one)
    rounded = np.round(5.0 * unit)
    np.testing.assert_array_equal(
        inside_mesh(rounded, faces, grid), inside_mesh(rounded - 1e-7, faces, grid)
    )


def test_the_command_finds_atoms_where_they_are_drawn(cmd, tmp_path):
    cmd.translate([70, 0, 0], object="prot_surf")
    cmd.translate([70, 0, 0], object="prot")
    file = tmp_path / "p.csv"
    found = call(cmd, "moedsr_pocket", "prot_surf", "resi 10", "20", file=str(file))
    np.testing.assert_allclose(found.area[0], 4 * np.pi * RADIUS**2, rtol=0.05)
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [float(row["area_A2"]) for row in rows] == pytest.approx(found.area, rel=1e-5)
    cmd.pseudoatom("far", pos=[0, 0, 0])
    assert not call(cmd, "moedsr_pocket", "prot_surf", "far", 10).area.any()
    cmd.delete("far")


def test_a_selection_or_radius_that_cannot_be_is_one_sentence(cmd):
    with pytest.raises(CmdException, match="holds no atoms"):
        call(cmd, "moedsr_pocket", "prot_surf", "resn XYZ")
    with pytest.raises(CmdException, match="radius must be a number from 1 to 30"):
        call(cmd, "moedsr_pocket", "prot_surf", "prot", "many")
    cmd.pseudoatom("wide", pos=[0, 0, 0])
    cmd.pseudoatom("wide", pos=[300, 300, 300])
    with pytest.raises(CmdException, match="spread over 300 Å, which is no pocket"):
        call(cmd, "moedsr_pocket", "prot_surf", "wide")
    cmd.delete("wide")


def test_frames_that_are_there_are_measured_while_others_arrive(cmd, capsys):
    surface = Workspace.of(cmd).surface("prot_surf")
    surface.planned = 9
    found = call(cmd, "moedsr_pocket", "prot_surf", "resi 10", quiet=0)
    surface.planned = 2
    assert len(found.volume) == 2 and "2 of 9 frames so far" in capsys.readouterr().out


def test_it_goes_in_steps_and_can_be_cancelled(capsys):
    report = Report("opening", False)
    task = Steps(pocket_steps(opening(), np.zeros((1, 3)), 6.0, "x", report), report)
    for _ in range(4):
        task.step(0.0)
    assert not task.over and (report.done, report.total) == (1, 3)
    task.cancel()
    task.step(0.0)
    assert task.over and task.cancelled and task.error is None
    assert "cancelled" in capsys.readouterr().out
