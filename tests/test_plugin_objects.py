"""What PyMOL can do to objects leaves surfaces, and whatever lies beside them, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymol import CmdException
from pymol_support import backend_double, call, open_pymol
from test_plugin_follow import lies
from test_plugin_names import states, timers, turn  # noqa: F401

from moedsr_pymol.workspace import Workspace


@pytest.fixture
def cmd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with open_pymol() as cmd, backend_double(monkeypatch):
        yield cmd


def names(cmd: Any) -> list[str]:
    return sorted(Workspace.of(cmd).surfaces)


def group_of(cmd: Any, name: str) -> str:
    (entry,) = cmd.get_session(name, partial=1)["names"][-1:]
    return entry[6]


def test_several_molecules_and_predictions_keep_apart(cmd):
    cmd.fab("GAGAGAG", "other")
    for molecule, name in (("prot", ""), ("prot", "second"), ("other", "")):
        call(cmd, "moedsr_predict", molecule, frames=2, name=name)
    assert names(cmd) == ["other_surf", "prot_surf", "second"]
    cmd.translate([5, 0, 0], object="prot")
    cmd.translate([0, 6, 0], "other", camera=0)
    assert lies(cmd, "prot", "prot_surf") and lies(cmd, "prot", "second")
    assert lies(cmd, "other", "other_surf")
    cmd.set_name("prot", "moved1")
    cmd.set_name("second", "prot")  # a surface under the old name of its molecule
    assert names(cmd) == ["other_surf", "prot", "prot_surf"]
    cmd.translate([5, 0, 0], object="moved1")
    assert lies(cmd, "moved1", "prot_surf") and lies(cmd, "moved1", "prot")


def test_a_molecule_in_a_group_gets_a_surface_in_the_group(cmd):
    cmd.set_name("prot", "team.prot")
    cmd.group("team", "team.prot")
    assert call(cmd, "moedsr_predict", "team", frames=2) == "team.prot_surf"
    assert group_of(cmd, "team.prot_surf") == "team"
    call(cmd, "moedsr_color", "team.prot_surf", "red")
    cmd.translate([3, 0, 0], object="team")
    assert lies(cmd, "team.prot", "team.prot_surf")
    cmd.ungroup("team.prot_surf")
    cmd.translate([3, 0, 0], object="team")
    assert lies(cmd, "team.prot", "team.prot_surf")


@pytest.mark.parametrize("scope", ["", "prot_surf"])
def test_all_states_draw_all_frames_and_nothing_else_changes(cmd, tmp_path, scope):
    call(cmd, "moedsr_predict", "prot", frames=3)
    cmd.set("all_states", 1, scope)
    cmd.png(str(tmp_path / "all.png"), 30, 30, ray=1, quiet=1)
    call(cmd, "moedsr_color", "prot_surf", "red")
    call(cmd, "moedsr_predict", "prot", frames=4)
    assert states(cmd, "prot_surf") == 4
    cmd.save(str(tmp_path / "a.pse"))
    cmd.load(str(tmp_path / "a.pse"))
    assert states(cmd, "prot_surf") == 4 and names(cmd) == ["prot_surf"]


@pytest.mark.parametrize("act", ["split_states", "create", "extract"])
def test_what_is_for_molecules_alone_leaves_a_surface_as_it_is(cmd, act):
    call(cmd, "moedsr_predict", "prot", frames=3)
    arguments = ("prot_surf",) if act == "split_states" else ("new", "prot_surf")
    with pytest.raises(CmdException):
        getattr(cmd, act)(*arguments)
    assert names(cmd) == ["prot_surf"] and states(cmd, "prot_surf") == 3


def test_a_frame_can_be_pinned_hidden_and_stored_in_scenes(cmd):
    call(cmd, "moedsr_predict", "prot", frames=3)
    cmd.set("state", 2, "prot_surf")
    cmd.scene("seen", "store")
    cmd.disable("prot_surf")
    call(cmd, "moedsr_color", "prot_surf", "red")
    assert "prot_surf" not in cmd.get_names("objects", enabled_only=1)
    cmd.scene("seen", "recall")
    assert "prot_surf" in cmd.get_names("objects", enabled_only=1)
    assert cmd.get_object_state("prot_surf") == 2 and names(cmd) == ["prot_surf"]


def test_states_go_where_they_belong_although_pymol_renames_duplicates(cmd):
    cmd.set("auto_rename_duplicate_objects", 1)
    call(cmd, "moedsr_predict", "prot", frames=3)
    assert cmd.get_names("objects") == ["prot", "prot_surf"] and states(cmd, "prot_surf") == 3
    assert cmd.get_setting_boolean("auto_rename_duplicate_objects")


def test_starting_anew_ends_what_is_coming_back(cmd, tmp_path, request):
    call(cmd, "moedsr_predict", "prot", frames=6)
    cmd.save(str(tmp_path / "a.pse"))
    tasks = request.getfixturevalue("timers")
    cmd.load(str(tmp_path / "a.pse"))
    turn(tasks, lambda: states(cmd, "prot_surf") == 2)
    cmd.reinitialize()
    turn(tasks)
    assert tasks[0].error is None and names(cmd) == [] == cmd.get_names("all")


def test_a_prediction_takes_the_place_of_a_surface_that_is_coming_back(cmd, tmp_path, request):
    call(cmd, "moedsr_predict", "prot", frames=6)
    cmd.save(str(tmp_path / "a.pse"))
    tasks = request.getfixturevalue("timers")
    cmd.load(str(tmp_path / "a.pse"))
    turn(tasks, lambda: states(cmd, "prot_surf") == 2)
    call(cmd, "moedsr_predict", "prot", frames=3)
    turn(tasks)
    assert [task.error for task in tasks] == [None, None] and states(cmd, "prot_surf") == 3


def test_in_mid_job_an_object_that_took_the_surfaces_name_is_not_moved(cmd, monkeypatch, request):
    tasks = request.getfixturevalue("timers")
    with backend_double(monkeypatch, pause=0.002):
        call(cmd, "moedsr_predict", "prot", frames=500)
        turn(tasks, lambda: states(cmd, "prot_surf") >= 2)
        cmd.delete("prot_surf")
        cmd.translate([5, 0, 0], object="prot")
        assert Workspace.of(cmd).jobs  # which has not looked yet
        cmd.fab("GG", "prot_surf")
        cmd.translate([5, 0, 0], object="prot")
        Workspace.of(cmd)
        assert cmd.get_object_ttt("prot_surf") is None
        turn(tasks)
    assert not Workspace.of(cmd).jobs
