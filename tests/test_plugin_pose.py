"""The surface lies on the molecule, however the molecule was moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pymol_support import backend_double, call, open_pymol

from moedsr_pymol.atoms import polymer_atoms
from moedsr_pymol.placement import placement
from moedsr_pymol.workspace import Workspace

QUARTER_TURN = [0, -1, 0, 3, 1, 0, 0, 4, 0, 0, 1, 5, 0, 0, 0, 1]


@pytest.fixture
def cmd() -> Iterator[Any]:
    with open_pymol() as cmd:
        yield cmd


def drawn(cmd: Any) -> np.ndarray:
    """Where PyMOL draws the heavy atoms (its models carry every matrix)."""
    return np.array(cmd.get_model("prot and not hydro").get_coord_list())


def translate(cmd: Any) -> None:
    cmd.translate([30, -4, 2], object="prot")


def rotate_about_a_point(cmd: Any) -> None:
    cmd.rotate("y", 71, object="prot", origin=[9, 8, 7])


def transform(cmd: Any) -> None:
    cmd.transform_object("prot", QUARTER_TURN)


def align(cmd: Any) -> None:
    cmd.create("target", "prot")
    cmd.transform_selection("target", QUARTER_TURN)
    cmd.align("prot", "target")


def everything(cmd: Any) -> None:
    transform(cmd)
    translate(cmd)
    rotate_about_a_point(cmd)


MOVES = [translate, rotate_about_a_point, transform, align, everything]


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("late", [False, True], ids=["before", "meanwhile"])
@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
def test_atoms_as_sent_are_carried_to_where_they_are_drawn(
    cmd: Any, mode: int, late: bool, move: Callable[[Any], None]
) -> None:
    cmd.set("matrix_mode", mode)
    start = drawn(cmd)
    if not late:
        move(cmd)
    atoms = polymer_atoms("prot", -1, cmd)
    if late:
        move(cmd)
    matrix = placement(atoms, cmd)
    assert np.abs(drawn(cmd) - start).max() > 1
    placed = atoms.coords @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(placed, drawn(cmd), atol=1e-4)


def test_the_surface_object_is_placed_by_that_matrix(cmd, monkeypatch):
    everything(cmd)
    with backend_double(monkeypatch):
        call(cmd, "moedsr_predict", "prot", frames=2)
    surface = Workspace.of(cmd).surface("prot_surf")
    matrix = np.array(cmd.get_object_ttt("prot_surf")).reshape(4, 4)
    np.testing.assert_allclose(matrix, placement(surface.atoms, cmd), atol=1e-5)
    center = surface.frames[0].vertices.mean(axis=0) @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(center, drawn(cmd).mean(axis=0), atol=0.5)


def test_the_picture_shows_the_surface_around_the_moved_molecule(cmd, monkeypatch, tmp_path):
    image = pytest.importorskip("PIL.Image")
    with backend_double(monkeypatch):
        everything(cmd)
        cmd.zoom("prot", 25)
        call(cmd, "moedsr_predict", "prot", frames=1, color="red")
    cmd.set("ray_trace_mode", 0)
    cmd.bg_color("black")
    centers = []
    for shown in ("prot", "prot_surf"):
        cmd.disable("all")
        cmd.enable(shown)
        cmd.show_as("spheres", "prot")
        cmd.png(str(tmp_path / "a.png"), 120, 120, ray=1, quiet=1)
        with image.open(tmp_path / "a.png") as picture:
            pixels = np.asarray(picture.convert("L"))
        centers.append(np.argwhere(pixels > 20).mean(axis=0))
    np.testing.assert_allclose(centers[0], centers[1], atol=4)
    assert len(np.argwhere(pixels > 20)) > 300


def test_an_older_pymol_is_not_asked_for_what_ends_it(cmd, monkeypatch):
    """PyMOL 2.5 crashes in ``get_object_ttt``."""
    from moedsr_pymol import placement as places

    monkeypatch.setattr(places, "TELLS_TTT", 99.0)
    monkeypatch.setattr("pymol.cmd.get_object_ttt", lambda *_, **__: pytest.fail("asked"))
    with backend_double(monkeypatch):
        call(cmd, "moedsr_predict", "prot", frames=2)
    cmd.translate([30, -4, 2], object="prot")
    call(cmd, "moedsr_color", "prot_surf", "red")
    cmd.set_name("prot_surf", "other")
    np.testing.assert_allclose(places.object_matrix("other", cmd)[:3, 3], [30, -4, 2], atol=1e-3)
