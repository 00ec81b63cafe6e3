"""A surface goes where its molecule goes, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pymol_support import backend_double, call, open_pymol
from test_plugin_pose import QUARTER_TURN

from moedsr_pymol.anchors import Anchors, carried, rigid_move
from moedsr_pymol.placement import object_matrix
from moedsr_pymol.workspace import MOVING_S, STILL_S, Workspace

FAR = [1, 0, 0, 40, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


@pytest.fixture
def cmd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A PyMOL with a molecule and its surface, and a copy of the molecule elsewhere."""
    with open_pymol() as cmd, backend_double(monkeypatch):
        cmd.create("target", "prot")
        cmd.transform_selection("target", QUARTER_TURN)
        call(cmd, "moedsr_predict", "prot", frames=2)
        yield cmd


def look(cmd: Any) -> Any:
    """As any of the commands and the window's timer do."""
    return Workspace.of(cmd)


def drawn(cmd: Any, name: str = "prot", state: int = 1) -> np.ndarray:
    return np.array(cmd.get_model(f"{name} and not hydro", state).get_coord_list())


def lies(cmd: Any, molecule: str = "prot", surface: str = "prot_surf", state: int = 1) -> bool:
    """Whether the atoms, as they were sent, are carried by the surface to where they are drawn."""
    return lies_already(cmd, look(cmd).surface(surface), molecule, state)


def lies_already(cmd: Any, surface: Any, molecule: str = "prot", state: int = 1) -> bool:
    """The same, without another look."""
    placed = carried(object_matrix(surface.name, cmd), surface.atoms.coords)
    return bool(np.abs(placed - drawn(cmd, molecule, state)).max() < 1e-3)


def align(cmd: Any) -> None:
    cmd.align("prot", "target")


def super_(cmd: Any) -> None:
    cmd.super("prot", "target")


def cealign(cmd: Any) -> None:
    cmd.cealign("target", "prot")


def fit(cmd: Any) -> None:
    cmd.fit("prot", "target")


def matrix_copy(cmd: Any) -> None:
    cmd.set_object_ttt("target", FAR)
    cmd.matrix_copy("target", "prot")


def translate_object(cmd: Any) -> None:
    cmd.translate([30, -4, 2], object="prot")


def rotate_object(cmd: Any) -> None:
    cmd.rotate("y", 71, object="prot", origin=[9, 8, 7])


def set_ttt(cmd: Any) -> None:
    cmd.set_object_ttt("prot", FAR)


def transform_selection(cmd: Any) -> None:
    cmd.transform_selection("prot", QUARTER_TURN)


def translate_selection(cmd: Any) -> None:
    cmd.translate([0.05, -4, 2], "prot", camera=0)


def rotate_selection(cmd: Any) -> None:
    cmd.rotate("x", 13, "prot", camera=0)


def alter_state(cmd: Any) -> None:
    cmd.alter_state(1, "prot", "(x, y, z) = (z + 2, x, y)")


def everything(cmd: Any) -> None:
    for move in (translate_selection, align, rotate_object, rotate_selection):
        move(cmd)


MOVES = [
    align, super_, cealign, fit, matrix_copy, translate_object, rotate_object, set_ttt,
    transform_selection, translate_selection, rotate_selection, alter_state, everything,
]  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "move"),
    [*((0, move) for move in MOVES), *((1, move) for move in (align, matrix_copy, everything))],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_surface_follows(cmd: Any, mode: int, move: Callable[[Any], None]) -> None:
    cmd.set("matrix_mode", mode)
    before = drawn(cmd)
    for _ in range(2):
        move(cmd)
        assert lies(cmd)
    assert np.abs(drawn(cmd) - before).max() > 0.5


def test_a_molecule_that_was_bent_leaves_the_surface_and_takes_it_along_again(cmd):
    before = cmd.get_object_ttt("prot_surf")
    for _ in range(3):  # as somebody turns a part of it slowly
        cmd.rotate("z", 0.5, "prot and resi 1-9", camera=0)
        look(cmd)
    cmd.translate([2, 0, 0], "prot and resi 4", camera=0)
    look(cmd)
    assert cmd.get_object_ttt("prot_surf") == before
    cmd.translate([0, 7, 0], "prot", camera=0)
    cmd.translate([0, 0, 3], object="prot")
    look(cmd)
    np.testing.assert_allclose(object_matrix("prot_surf", cmd)[:3, 3], [0, 7, 3], atol=1e-3)


@pytest.mark.parametrize("name", ["prot", "prot_surf"])
def test_a_surface_moved_by_hand_stays_there_and_keeps_the_distance(cmd, name):
    cmd.translate([20, 0, 0], object="prot_surf")
    look(cmd)
    assert object_matrix("prot_surf", cmd)[0, 3] == pytest.approx(20)
    cmd.rotate("z", 90, object="prot", origin=[0, 0, 0])
    look(cmd)
    cmd.translate([0, 5, 0], object=name)
    look(cmd)
    end = object_matrix("prot_surf", cmd)
    np.testing.assert_allclose(carried(end, np.zeros((1, 3)))[0], [0, 25, 0], atol=1e-4)


def test_what_moves_both_moves_the_surface_once(cmd):
    cmd.translate([1, 0, 0], object="prot_surf")
    look(cmd)
    cmd.group("both", "prot prot_surf")
    cmd.translate([4, 0, 0], object="both")
    look(cmd)
    assert object_matrix("prot_surf", cmd)[0, 3] == pytest.approx(5)
    cmd.ungroup("prot")
    cmd.translate([4, 0, 0], object="prot")
    look(cmd)
    assert object_matrix("prot_surf", cmd)[0, 3] == pytest.approx(9)


def test_a_molecule_is_followed_under_a_new_name_and_gone_not_at_all(cmd):
    cmd.set_name("prot", "renamed")
    look(cmd)
    cmd.translate([3, 0, 0], object="renamed")
    assert lies(cmd, "renamed")
    cmd.delete("renamed")
    before = cmd.get_object_ttt("prot_surf")
    look(cmd)
    cmd.fab("GG", "renamed")  # another molecule of that name
    cmd.translate([9, 0, 0], object="renamed")
    look(cmd)
    assert cmd.get_object_ttt("prot_surf") == before


@pytest.mark.parametrize("move", [translate_selection, rotate_object, align, everything])
def test_a_molecule_that_was_renamed_and_moved_before_the_next_look_is_followed(cmd, move):
    call(cmd, "moedsr_predict", "prot", frames=1, name="second")
    move(cmd)
    cmd.set_name("prot", "renamed")
    assert lies(cmd, "renamed") and lies(cmd, "renamed", "second")
    assert look(cmd).surface("prot_surf").atoms.object_name == "renamed"
    cmd.set_name("renamed", "prot")
    move(cmd)
    assert lies(cmd) and lies(cmd, surface="second")


def test_of_two_molecules_of_one_shape_the_one_in_its_place_is_known_and_the_other_by_that(cmd):
    call(cmd, "moedsr_predict", "target", frames=1)
    cmd.set_name("prot", "one")
    cmd.set_name("target", "two")
    cmd.translate([7, 0, 0], "one", camera=0)
    assert lies(cmd, "one") and lies(cmd, "two", "target_surf")
    before = cmd.get_object_ttt("prot_surf")
    for name in ("one", "two"):
        cmd.translate([9, 0, 0], name, camera=0)
        cmd.set_name(name, f"{name}2")
    look(cmd)  # either may be either
    assert cmd.get_object_ttt("prot_surf") == before


def test_a_molecule_that_was_renamed_and_bent_is_not_known(cmd):
    before = cmd.get_object_ttt("prot_surf")
    cmd.translate([25, 0, 0], "prot", camera=0)
    cmd.rotate("z", 5, "prot and resi 1-9", camera=0)
    cmd.set_name("prot", "renamed")
    assert look(cmd).surface("prot_surf").atoms.object_name == "prot"
    assert cmd.get_object_ttt("prot_surf") == before


def test_atoms_that_are_removed_do_not_matter(cmd):
    cmd.remove("prot and resi 1-8")
    cmd.translate([0, 0, 3], object="prot")
    cmd.translate([0, 0, 3], "prot", camera=0)
    look(cmd)
    assert object_matrix("prot_surf", cmd)[2, 3] == pytest.approx(6, abs=1e-3)


@pytest.mark.parametrize("discrete", [0, 1])
def test_the_state_that_was_sent_is_followed(cmd, discrete):
    for k in (1, 2):
        cmd.create("many", "target", 1, k, discrete=discrete)
    cmd.translate([5, 0, 0], "many", state=2, camera=0)
    call(cmd, "moedsr_predict", "many", frames=2, state=2)
    before = cmd.get_object_ttt("many_surf")
    cmd.translate([0, 0, 8], "many", state=1, camera=0)
    look(cmd)
    assert cmd.get_object_ttt("many_surf") == before
    cmd.translate([0, 0, 4], "many", state=2, camera=0)
    assert lies(cmd, "many", "many_surf", 2)


def test_the_part_that_was_sent_is_followed(cmd):
    cmd.alter("prot and resi 11-20", "chain = 'B'")
    cmd.sort("prot")
    call(cmd, "moedsr_predict", "prot and chain B", frames=1, name="part")
    before = cmd.get_object_ttt("part")
    cmd.translate([0, 0, 8], "prot and chain A", camera=0)
    look(cmd)
    assert cmd.get_object_ttt("part") == before
    cmd.translate([0, 3, 0], "prot and chain B", camera=0)
    look(cmd)
    assert object_matrix("part", cmd)[1, 3] == pytest.approx(3, abs=1e-3)


def test_a_molecule_moved_before_its_first_frame_is_met_there(cmd, monkeypatch):
    from moedsr_pymol.jobs import Job

    original = Job._on_job

    def on_job(job: Any, id: str) -> None:
        original(job, id)
        everything(cmd)

    from moedsr_pymol import jobs

    monkeypatch.setitem(jobs._EVENTS, "job", on_job)
    call(cmd, "moedsr_predict", "prot", frames=1, name="late")
    assert lies_already(cmd, Workspace.as_it_was(cmd).surfaces["late"])


def test_what_is_saved_lies_on_the_molecule(cmd, tmp_path):
    translate_object(cmd)
    translate_selection(cmd)
    cmd.save(str(tmp_path / "a.pse"))
    with open_pymol("") as fresh:
        fresh.load(str(tmp_path / "a.pse"))
        placed = fresh.get_object_ttt("prot_surf")
        assert lies(fresh)
        assert fresh.get_object_ttt("prot_surf") == placed
        rotate_selection(fresh)
        assert lies(fresh)


def test_a_molecule_that_was_renamed_and_moved_is_followed_out_of_a_session_too(cmd, tmp_path):
    cmd.set_name("prot", "renamed")
    cmd.translate([25, 0, 0], "renamed", camera=0)
    cmd.save(str(tmp_path / "a.pse"))
    with open_pymol("") as fresh:
        fresh.load(str(tmp_path / "a.pse"))
        fresh.set_name("renamed", "again")
        fresh.translate([0, 25, 0], "again", camera=0)
        assert lies(fresh, "again")


def test_the_windows_looks_come_quickly_while_something_moves_and_end_with_the_last_surface(
    cmd, monkeypatch
):
    workspace = look(cmd)
    assert workspace._let_follow(cmd) == STILL_S
    hold = workspace.surface("prot_surf").hold
    hold.due = np.inf
    with monkeypatch.context() as patch:
        patch.delattr(Anchors, "places")  # no atom is read while the molecule stays
        assert workspace._let_follow(cmd) == STILL_S
    translate_object(cmd)
    assert workspace._let_follow(cmd) == MOVING_S
    assert workspace._let_follow(cmd) == STILL_S
    assert lies(cmd)
    cmd.delete("prot_surf")
    assert workspace._let_follow(cmd) == STILL_S
    assert workspace._let_follow(cmd) is None


def test_rigid_moves_are_told_from_others() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 10, (24, 3))
    turn = np.array(QUARTER_TURN, float).reshape(4, 4)
    found = rigid_move(points, carried(turn, points))
    np.testing.assert_allclose(found, turn, atol=1e-9)
    np.testing.assert_array_equal(rigid_move(points, points + 1e-4), np.eye(4))
    mirrored = points * [1, 1, -1]
    assert rigid_move(points, mirrored) is None
    bent = points + np.where(points[:, :1] > 0, 0.01, 0.0)
    assert rigid_move(points, bent) is None
