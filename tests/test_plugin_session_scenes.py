"""Sessions among other things: scenes, copies, windows, and jobs under way."""

from __future__ import annotations

import runpy
import threading
from pathlib import Path

import numpy as np
import pytest
from plugin_sessions import (  # noqa: F401
    FRAMES,
    assert_same,
    backend,
    bare,
    cmd,
    fresh,
    surface_of,
)
from pymol_support import backend_double, call, open_pymol
from test_plugin_names import states, timers, turn  # noqa: F401

from moedsr_pymol.labels import config_dir
from moedsr_pymol.placement import object_matrix
from moedsr_pymol.workspace import Workspace


@pytest.mark.parametrize("rename", [0, 1])
def test_a_session_is_appended_also_to_a_scene_with_its_names(cmd, backend, tmp_path, rename):
    call(cmd, "moedsr_predict", "prot", frames=2)
    before = surface_of(cmd)
    cmd.save(str(tmp_path / "a.pse"))
    cmd.set("auto_rename_duplicate_objects", rename)
    cmd.load(str(tmp_path / "a.pse"), partial=1)
    names = ["prot_surf", "prot_surf_2"] if rename else ["prot_surf"]
    assert sorted(Workspace.of(cmd).surfaces) == names
    assert (surface_of(cmd) is before) == bool(rename)
    for name in names:
        assert states(cmd, name) == 2
        call(cmd, "moedsr_color", name, "red")
    cmd.translate([0, 0, 7], object="prot_2" if rename else "prot")
    Workspace.of(cmd)
    assert [object_matrix(name, cmd)[2, 3] for name in names] == ([0, 7] if rename else [7])


def test_a_session_is_a_small_part_of_pymols_own(tmp_path):
    benchmark = runpy.run_path(
        str(Path(__file__).resolve().parents[1] / "benchmarks" / "session.py")
    )
    frames = benchmark["frames_of"](benchmark["made_up"](12, 12))
    theirs, ours = (benchmark["save_and_load"](frames, tmp_path, way) for way in (False, True))
    assert ours[0] < 0.25 * theirs[0]  # measured: 0.04 for 100 frames of 14,000 triangles


def test_a_session_of_the_surface_alone_lies_on_the_molecule_it_meets(
    cmd, fresh, backend, tmp_path
):
    call(cmd, "moedsr_predict", "prot", frames=2)
    cmd.save(str(tmp_path / "a.pse"), "prot_surf")
    cmd.save(str(tmp_path / "prot.pdb"), "prot")
    fresh.load(str(tmp_path / "prot.pdb"))
    fresh.alter("all", "segi=''")
    fresh.translate([0, 9, 0], object="prot")
    fresh.load(str(tmp_path / "a.pse"), partial=1)
    assert fresh.get_names("objects") == ["prot", "prot_surf"] and states(fresh, "prot_surf") == 2
    assert surface_of(fresh).states == 2


def test_movies_scenes_and_the_frame_shown_stay(cmd, fresh, bare, backend, tmp_path):
    call(cmd, "moedsr_predict", "prot", frames=FRAMES)
    cmd.mset(f"1 -{FRAMES} -2")
    cmd.scene("seen", "store")
    cmd.frame(3)
    cmd.set("state", 2, "prot_surf")
    cmd.save(str(tmp_path / "a.pse"))
    for other in (fresh, bare):
        other.load(str(tmp_path / "a.pse"))
        assert other.get_movie_length() == cmd.get_movie_length()
        assert other.get_frame() == 3 and other.get_scene_list() == ["seen"]
        other.scene("seen", "recall")
    assert fresh.get_object_state("prot_surf") == 2


def test_copies_are_surfaces_of_their_own_in_the_scene_and_in_a_session(
    cmd, fresh, backend, tmp_path
):
    call(cmd, "moedsr_predict", "prot", frames=2)
    cmd.copy("twin", "prot_surf")
    call(cmd, "moedsr_color", "twin", "red")
    cmd.copy("third", "twin")
    cmd.delete("prot_surf")
    cmd.save(str(tmp_path / "a.pse"))
    fresh.load(str(tmp_path / "a.pse"))
    assert sorted(Workspace.of(fresh).surfaces) == ["third", "twin"]
    assert states(fresh, "third") == 2 == states(fresh, "twin")
    call(fresh, "moedsr_color", "third", "blue")
    assert surface_of(fresh, "twin").coloring != surface_of(fresh, "third").coloring


def test_in_a_window_states_come_step_by_step_and_all_commands_work_meanwhile(
    cmd,
    fresh,
    backend,
    monkeypatch,
    tmp_path,
    request,
):
    call(cmd, "moedsr_predict", "prot", frames=6)
    cmd.save(str(tmp_path / "a.pse"))
    tasks = request.getfixturevalue("timers")
    fresh.load(str(tmp_path / "a.pse"))
    assert states(fresh, "prot_surf") == 1 and len(tasks) == 1
    turn(tasks, lambda: states(fresh, "prot_surf") == 2)
    fresh.save(str(tmp_path / "b.pse"))  # keeps what is still to be read
    call(fresh, "moedsr_save", "prot_surf", str(tmp_path / "all.npz"))
    turn(tasks[1:])  # only the writing
    with np.load(tmp_path / "all.npz") as archive:
        assert len(archive["vertex_counts"]) == 6
    fresh.set_name("prot_surf", "other")
    call(fresh, "moedsr_color", "other", "red")
    turn(tasks)
    assert states(fresh, "other") == 6 and not surface_of(fresh, "other").outdated()
    fresh.load(str(tmp_path / "b.pse"))
    turn(tasks)
    assert_same(surface_of(cmd), surface_of(fresh))


def test_a_surface_deleted_while_it_comes_back_ends_that_quietly(
    cmd, fresh, backend, tmp_path, request
):
    call(cmd, "moedsr_predict", "prot", frames=6)
    cmd.save(str(tmp_path / "a.pse"))
    tasks = request.getfixturevalue("timers")
    fresh.load(str(tmp_path / "a.pse"))
    turn(tasks, lambda: states(fresh, "prot_surf") == 3)
    fresh.delete("prot_surf")
    turn(tasks)
    assert tasks[0].error is None and not Workspace.of(fresh).surfaces
    assert "prot_surf" not in fresh.get_names("all")


def test_a_surface_in_a_fetched_job_without_a_label_is_kept_too(cmd, fresh, backend, tmp_path):
    call(cmd, "moedsr_predict", "prot", frames=2)
    (config_dir() / "jobs.json").unlink()
    cmd.reinitialize()
    call(cmd, "moedsr_fetch", "job0")
    cmd.save(str(tmp_path / "a.pse"))
    fresh.load(str(tmp_path / "a.pse"))
    assert_same(surface_of(cmd, "job0_surf"), surface_of(fresh, "job0_surf"))


@pytest.mark.parametrize(
    ("frames", "what", "cancelled"),
    [
        (2, "same.pse", False),
        (2, "other.pse", False),
        (0, "other.pse", False),
        (2, "reinitialize", False),
        (2, "delete", True),
    ],
)
def test_a_prediction_whose_scene_is_gone_goes_on_at_the_backend(
    cmd, monkeypatch, tmp_path, request, capsys, frames, what, cancelled
):
    tasks = request.getfixturevalue("timers")
    cmd.save(str(tmp_path / "same.pse"))
    if what == "other.pse":
        with open_pymol("GG") as other:
            other.set_name("prot", "other")
            other.save(str(tmp_path / what))
    with backend_double(monkeypatch, silent_at=3) as fake:
        call(cmd, "moedsr_predict", "prot", frames=5, quiet=0)
        turn(tasks, lambda: tasks[0].id and len(tasks[0].surface.frames) >= frames)
        if what == "delete":
            cmd.delete("prot_surf")
        elif what == "reinitialize":
            cmd.reinitialize()
        else:
            cmd.load(str(tmp_path / what))
        turn(tasks)
        for thread in threading.enumerate():
            if thread.name in ("moedsr-stream", "moedsr-cancel"):
                thread.join(30)
        assert fake.jobs["job0"]["cancelled"] == cancelled and not Workspace.of(cmd).jobs
        assert ("'moedsr_fetch job0' loads it" in capsys.readouterr().out) != cancelled
        if not cancelled:
            del fake.behaviour["silent_at"]
            call(cmd, "moedsr_fetch", "job0", name="again")
            turn(tasks)
            assert states(cmd, "again") == 5
