"""How much of a state is done at once, between two events of PyMOL's window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pymol_support import backend_double, call, open_pymol

from moedsr_pymol import surface as surface_module
from moedsr_pymol.jobs import Job
from moedsr_pymol.repaint import Drawing, Repaint
from moedsr_pymol.surface import Surface
from moedsr_pymol.workspace import Workspace

FRAMES = 5


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Of each step of a task, which states were made and loaded in it."""
    found: list[list[str]] = [[]]
    make, load, paint, take = Surface.make, surface_module.load_state, Repaint.step, Job.step

    def made(surface: Surface, k: int, _self: Any) -> Any:
        found[-1].append(f"make {k}")
        return make(surface, k, _self)

    def loaded(floats: Any, name: str, state: int, _self: Any) -> None:
        found[-1].append(f"load {state - 1}")
        load(floats, name, state, _self)

    monkeypatch.setattr(Surface, "make", made)
    monkeypatch.setattr(surface_module, "load_state", loaded)
    monkeypatch.setattr(Job, "step", lambda *given: (found.append([]), take(*given)))
    monkeypatch.setattr(Repaint, "step", lambda *given: (found.append([]), paint(*given)))
    return found


@pytest.fixture
def cmd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with open_pymol() as cmd, backend_double(monkeypatch):
        yield cmd


def test_no_step_makes_a_state_and_loads_it_but_the_first(cmd, steps):
    call(cmd, "moedsr_predict", "prot", frames=FRAMES, color="orange")
    done = [step for step in steps if step]
    assert done[0] == ["make 0", "load 0"]
    apart = [[f"{what} {k}"] for k in range(1, FRAMES) for what in ("make", "load")]
    assert done[1:] == apart
    steps.clear()
    call(cmd, "moedsr_color", "prot_surf", "red")
    apart = [[f"{what} {k}"] for k in range(FRAMES) for what in ("make", "load")]
    assert [step for step in steps if step] == apart


def test_a_state_whose_colours_changed_before_it_was_loaded_is_made_anew(cmd, steps):
    call(cmd, "moedsr_predict", "prot", frames=FRAMES, color="orange")
    surface = Workspace.of(cmd).surface("prot_surf")
    steps[:] = [[]]
    drawing = Drawing(surface, cmd)
    drawing.step(2)
    surface.coloring = replace(surface.coloring, stops=((0.0, 0.0, 1.0),))
    drawing.load(2)
    assert steps == [["make 2", "make 2", "load 2"]]
    assert surface.outdated() == [0, 1, 3, 4]


def test_a_surface_that_is_deleted_between_the_two_steps_stays_deleted(cmd, monkeypatch):
    step = Drawing.step

    def delete(drawing: Drawing, k: int) -> None:
        step(drawing, k)
        cmd.delete("prot_surf")

    monkeypatch.setattr(Drawing, "step", delete)
    call(cmd, "moedsr_predict", "prot", frames=FRAMES)
    assert "prot_surf" not in cmd.get_names()
