"""Whose object is it: predictions under one name, renamed surfaces, and names that users take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymol import CmdException
from pymol_support import backend_double, call, open_pymol

from moedsr_pymol.placement import object_matrix
from moedsr_pymol.workspace import Workspace


@pytest.fixture
def cmd() -> Iterator[Any]:
    with open_pymol() as cmd:
        yield cmd


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with backend_double(monkeypatch) as fake:
        yield fake


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a window's timers would step, one list entry each; commands return as in a window."""
    from moedsr_pymol import window

    tasks: list[Any] = []
    monkeypatch.setattr(window, "in_window", lambda: True)
    monkeypatch.setattr(window, "run_between_events", tasks.append)
    return tasks


def turn(tasks: list[Any], until: Callable[[], bool] = lambda: False) -> None:
    """Step all tasks in turn, as timers do, until something is so or all are over."""
    while not until():
        busy = [task for task in tasks if not task.over]
        if not busy:
            return
        for task in busy:
            task.step(0.005)


def states(cmd: Any, name: str) -> int:
    return cmd.count_states(name) if name in cmd.get_names("objects") else 0


def molecule(cmd: Any, name: str) -> None:
    cmd.fab("AAAA", name)


def shape(cmd: Any, name: str) -> None:
    cmd.load_cgo([7.0, 0.0, 0.0, 0.0, 1.0], name, zoom=0)


def test_predicting_again_stops_the_job_that_runs_and_the_new_one_can_be_cancelled(
    cmd, timers, monkeypatch
):
    with backend_double(monkeypatch, pause=0.002) as fake:
        call(cmd, "moedsr_predict", "prot", frames=500)
        turn(timers, lambda: states(cmd, "prot_surf") >= 5)
        call(cmd, "moedsr_predict", "prot", frames=500, seed=1)
        turn(timers, lambda: timers[0].over and len(timers[1].surface.frames) >= 5)
        assert timers[0].over and not timers[1].over
        assert list(Workspace.of(cmd).jobs.values()) == [timers[1]]
        assert Workspace.of(cmd).surface("prot_surf") is timers[1].surface
        call(cmd, "moedsr_cancel")
        turn(timers)
        deadline = time.monotonic() + 30
        while not all(job["cancelled"] for job in fake.jobs.values()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert list(fake.jobs) == ["job0", "job1"]
    assert 5 <= states(cmd, "prot_surf") == len(timers[1].surface.frames) < 500
    assert not Workspace.of(cmd).jobs


def test_a_third_prediction_stops_the_second(cmd, timers, monkeypatch):
    with backend_double(monkeypatch, pause=0.002):
        for seed in range(3):
            call(cmd, "moedsr_predict", "prot", frames=500 if seed < 2 else 4, seed=seed)
            turn(timers, lambda: len(timers[-1].surface.frames) >= 2)
        turn(timers)
    assert [job.state for job in timers] == ["replaced", "replaced", "done"]
    assert states(cmd, "prot_surf") == 4


def test_while_a_new_prediction_waits_the_old_surface_can_be_coloured(cmd, timers, backend):
    call(cmd, "moedsr_predict", "prot", frames=3)
    turn(timers)
    old = Workspace.of(cmd).surface("prot_surf")
    backend.behaviour["silent_at"] = 0
    call(cmd, "moedsr_predict", "prot", frames=3, seed=1)
    call(cmd, "moedsr_color", "prot_surf", "red")
    turn(timers[2:])
    assert not timers[2].error and not old.outdated()
    assert old.coloring.mode == "plain"
    call(cmd, "moedsr_cancel", "all")
    turn(timers)
    assert states(cmd, "prot_surf") == 3


@pytest.mark.parametrize("take", [molecule, shape])
@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("moedsr_predict", ("prot",), "there is a 'prot_surf' already that is not a surface of"),
        ("moedsr_color", ("prot_surf", "red"), "'prot_surf' is not a surface of this plugin"),
        ("moedsr_save", ("prot_surf", "x.npz"), "'prot_surf' is not a surface of this plugin"),
    ],
)
def test_an_object_of_the_user_under_a_surfaces_old_name_stays(
    cmd, backend, monkeypatch, tmp_path, take, command, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    call(cmd, "moedsr_predict", "prot", frames=1)
    cmd.delete("prot_surf")
    take(cmd, "prot_surf")
    before = cmd.get_type("prot_surf"), cmd.get_extent("prot_surf")
    with pytest.raises(CmdException, match=sentence):
        call(cmd, command, *arguments)
    assert (cmd.get_type("prot_surf"), cmd.get_extent("prot_surf")) == before
    assert len(backend.jobs) == 1


@pytest.mark.parametrize("take", [molecule, shape])
def test_a_name_that_the_user_takes_in_mid_job_stays_the_users(cmd, timers, monkeypatch, take):
    with backend_double(monkeypatch, pause=0.002):
        call(cmd, "moedsr_predict", "prot", frames=500)
        turn(timers, lambda: states(cmd, "prot_surf") >= 2)
        cmd.delete("prot_surf")
        take(cmd, "prot_surf")
        before = cmd.get_extent("prot_surf")
        call(cmd, "moedsr_predict", "prot", frames=2)
        turn(timers)
    assert cmd.get_extent("prot_surf") == before and states(cmd, "prot_surf") == 1
    assert "there is a 'prot_surf' already" in str(timers[1].error)
    assert not Workspace.of(cmd).jobs and not Workspace.of(cmd).surfaces


def test_a_session_takes_the_place_of_what_was_known(cmd, backend, tmp_path):
    call(cmd, "moedsr_predict", "prot", frames=2)
    old = Workspace.of(cmd).surface("prot_surf")
    cmd.save(str(tmp_path / "two.pse"))
    call(cmd, "moedsr_predict", "prot", frames=3)
    cmd.reinitialize()
    cmd.load(str(tmp_path / "two.pse"))
    assert len(Workspace.of(cmd).surface("prot_surf").frames) == 2 == states(cmd, "prot_surf")
    assert Workspace.of(cmd).surface("prot_surf").mark != old.mark


def test_a_surface_that_comes_back_with_a_session_is_known_again(cmd, backend, tmp_path):
    call(cmd, "moedsr_predict", "prot", frames=2)
    cmd.save(str(tmp_path / "two.pse"))
    cmd.load(str(tmp_path / "two.pse"))
    call(cmd, "moedsr_color", "prot_surf", "marine")
    assert states(cmd, "prot_surf") == 2


def test_a_renamed_surface_goes_on_filling_and_keeps_its_commands(cmd, timers, monkeypatch, capsys):
    with backend_double(monkeypatch, pause=0.002):
        call(cmd, "moedsr_predict", "prot", frames=40, quiet=0)
        turn(timers, lambda: states(cmd, "prot_surf") >= 2)
        cmd.set_name("prot_surf", "other")
        call(cmd, "moedsr_color", "other", "orange")
        assert list(Workspace.of(cmd).jobs) == ["other"]
        turn(timers)
    assert states(cmd, "other") == 40 and "prot_surf" not in cmd.get_names("objects")
    assert timers[0].error is None and " moedsr: other: 40 frames in" in capsys.readouterr().out
    cmd.set_name("other", "third")
    call(cmd, "moedsr_color", "third", "marine")
    assert list(Workspace.of(cmd).surfaces) == ["third"]


def test_a_molecule_that_is_gone_before_the_first_frame_is_said(cmd, timers, monkeypatch, capsys):
    with backend_double(monkeypatch, silent_at=0):
        call(cmd, "moedsr_predict", "prot", quiet=0)
        cmd.delete("prot")
        turn(timers)
    assert "'prot' is not there any more, so the prediction was can" in capsys.readouterr().out


def test_a_molecule_that_is_renamed_before_the_first_frame_gets_its_surface(cmd, timers, backend):
    call(cmd, "moedsr_predict", "prot", frames=2)
    cmd.set_name("prot", "other")
    cmd.translate([25, 0, 0], "other", camera=0)
    turn(timers)
    surface = Workspace.of(cmd).surface("prot_surf")
    assert states(cmd, "prot_surf") == 2 and surface.atoms.object_name == "other"
    assert object_matrix("prot_surf", cmd)[0, 3] == pytest.approx(25, abs=1e-3)


@pytest.mark.parametrize("name", ["蛋白", "*", "%", "é"])
@pytest.mark.parametrize("command", ["moedsr_predict", "moedsr_surface"])
def test_a_name_without_any_legal_character_is_refused_before_computing(
    cmd, backend, command, name
):
    before = cmd.get_names("all")
    with pytest.raises(CmdException, match="name must hold letters from a to z or digits, got"):
        call(cmd, command, "prot", name=name)
    assert not backend.jobs and cmd.get_names("all") == before


@pytest.mark.parametrize(("name", "legal"), [("my surf", "my_surf"), ("q", "q_"), ("'ok'", "ok")])
def test_what_pymol_makes_of_a_name_is_said(cmd, backend, capsys, name, legal):
    assert call(cmd, "moedsr_predict", "prot", frames=1, name=name, quiet=0) == legal
    said = f"PyMOL allows no object the name '{name}', so this one is called '{legal}'"
    assert (said in capsys.readouterr().out) == (legal != "ok")
    call(cmd, "moedsr_fetch", "job0", name=name, quiet=0)
    assert (said in capsys.readouterr().out) == (legal != "ok")


def test_of_what_the_model_has_not_learnt_a_prediction_is_said_to_be_a_guess(cmd, backend, capsys):
    guess = "the model knows proteins only"
    call(cmd, "moedsr_predict", "prot", frames=1, quiet=0)
    call(cmd, "moedsr_surface", "prot and resi 2-8", quiet=0)
    assert guess not in capsys.readouterr().out
    call(cmd, "moedsr_predict", "prot and resi 2-8", frames=1, quiet=0)
    assert f"{guess}, of 20 residues and more; this motion of 7 residues" in capsys.readouterr().out
    cmd.alter("prot and resi 3 and name CB", 'name = "C1\'"')  # as of a nucleotide's sugar
    call(cmd, "moedsr_predict", "prot", frames=1, quiet=0)
    assert f"{guess}; how nucleic acid moves here is a guess" in capsys.readouterr().out
