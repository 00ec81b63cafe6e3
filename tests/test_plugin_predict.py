"""Predictions in a PyMOL without a window, against a stand-in for the backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pymol_support import (
    AMPLITUDE,
    RADIUS,
    SEQUENCE,
    backend_double,
    ball,
    call,
    displacement,
    open_pymol,
    wait_until,
)

from moedsr_pymol.workspace import Workspace


@pytest.fixture
def cmd() -> Iterator[Any]:
    with open_pymol() as cmd:
        yield cmd


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with backend_double(monkeypatch) as fake:
        yield fake


def surface_of(cmd: Any, name: str = "prot_surf") -> Any:
    return Workspace.of(cmd).surface(name)


def loaded_colors(monkeypatch: pytest.MonkeyPatch) -> dict[int, np.ndarray]:
    """Fills with the colours that each state was last loaded with, per vertex."""
    from moedsr_pymol import surface

    seen: dict[int, np.ndarray] = {}
    original = surface.Layout.floats

    def floats(layout: Any, vertices: Any, normals: Any, colors: Any) -> Any:
        seen["last"] = np.array(colors)  # type: ignore[index]
        return original(layout, vertices, normals, colors)

    def load_state(floats: Any, name: str, state: int, _self: Any) -> None:
        seen[state] = seen["last"]  # type: ignore[index]
        _self.load_cgo(floats, name, state, zoom=0)

    monkeypatch.setattr(surface.Layout, "floats", floats)
    monkeypatch.setattr(surface, "load_state", load_state)
    return seen


def test_each_frame_becomes_a_state_around_the_molecule(cmd, backend):
    assert call(cmd, "moedsr_predict", "prot", frames="5") == "prot_surf"
    assert cmd.count_states("prot_surf") == 5
    assert cmd.get_type("prot_surf") == "object:cgo"
    low, high = np.array(cmd.get_extent("prot_surf"))
    np.testing.assert_allclose(high - low, 2 * (RADIUS + AMPLITUDE), atol=0.6)
    center = np.array(cmd.get_model("prot and not hydro").get_coord_list()).mean(axis=0)
    np.testing.assert_allclose((high + low) / 2, center, atol=0.3)


def test_states_play_without_a_movie_of_their_own(cmd, backend):
    call(cmd, "moedsr_predict", "prot", frames=7)
    assert cmd.count_frames() == 7


def test_view_settings_and_other_objects_are_left_alone(cmd, backend):
    cmd.turn("x", 33)
    view, names = cmd.get_view(), cmd.get_names("all")
    settings = {name: cmd.get(name) for name in ("two_sided_lighting", "auto_zoom", "cgo_lighting")}
    call(cmd, "moedsr_predict", "prot", frames=3)
    assert cmd.get_view() == view
    assert {name: cmd.get(name) for name in settings} == settings
    assert cmd.get_names("all") == [*names, "prot_surf"]


def test_the_backend_is_sent_the_stored_atoms_of_the_polymer(cmd, backend):
    cmd.pseudoatom("prot", pos=[99, 0, 0], resn="LIG", hetatm=1)
    cmd.translate([50, 0, 0], object="prot")
    call(cmd, "moedsr_predict", "prot", frames=2)
    sent = backend.jobs["job0"]["arrays"]
    stored: list[Any] = []
    heavy = "polymer and not hydro"
    cmd.iterate_state(1, heavy, "rows.append((x, y, z))", space={"rows": stored})
    np.testing.assert_array_equal(sent["coords"], stored)
    assert sent["coords"].max() < 90
    assert set(sent["chain_ids"]) == {"A"}
    assert sent["residue_index"].max() == len(SEQUENCE) - 1
    assert list(sent["residue_ids"][:1]) == ["1"]
    assert set(sent["elements"]) == {"N", "C", "O", "S"}


def test_of_alternate_locations_the_best_occupied_is_sent(cmd, backend):
    side_chain = "resi 3 and sidechain"
    cmd.create("twin", f"prot and {side_chain}")
    cmd.alter(f"prot and {side_chain}", "alt, q = 'B', 0.7")
    cmd.alter("twin", "alt, q = 'A', 0.3")
    cmd.alter_state(1, "twin", "x += 0.5")
    cmd.create("both", "prot or twin")
    call(cmd, "moedsr_predict", "both", frames=1)
    assert cmd.count_atoms("both") == cmd.count_atoms("prot") + cmd.count_atoms("twin")
    sent = backend.jobs["job0"]["arrays"]["coords"]
    kept: list[Any] = []
    heavy = "prot and not hydro"
    cmd.iterate_state(1, heavy, "kept.append((x, y, z))", space={"kept": kept})
    np.testing.assert_allclose(np.sort(sent, axis=0), np.sort(kept, axis=0), atol=1e-5)


def test_options_that_were_not_given_are_left_to_the_backend(cmd, backend):
    call(cmd, "moedsr_predict", "prot", frames=2)
    call(
        cmd, "moedsr_predict", "prot", 3, spacing="0.8", mesh="marching_cubes", seed="4", model="m",
        duration="0.5 ns", level="1.4",
    )  # fmt: skip
    assert backend.jobs["job0"]["options"] == {"kind": "predict", "frames": 2}
    assert backend.jobs["job1"]["options"] == {
        "kind": "predict", "frames": 3, "spacing": 0.8, "mesh": "marching_cubes", "seed": 4,
        "model": "m", "duration_ps": 500.0, "level": 1.4,
    }  # fmt: skip


def test_a_prediction_replaces_an_earlier_one_of_the_same_name(cmd, backend):
    call(cmd, "moedsr_predict", "prot", frames=9)
    call(cmd, "moedsr_predict", "prot", frames=2)
    assert cmd.count_states("prot_surf") == 2
    assert len(surface_of(cmd).frames) == 2


def test_the_state_that_is_asked_for_is_predicted(cmd, backend):
    cmd.create("prot", "prot", 1, 2)
    cmd.alter_state(2, "prot", "x += 25")
    call(cmd, "moedsr_predict", "prot", frames=1, state=2)
    cmd.frame(2)
    call(cmd, "moedsr_predict", "prot", frames=1)
    call(cmd, "moedsr_predict", "prot", frames=1, state="1")
    second, shown, first = (backend.jobs[f"job{k}"]["arrays"]["coords"] for k in range(3))
    np.testing.assert_allclose(second - first, [[25, 0, 0]] * len(first), atol=1e-4)
    np.testing.assert_array_equal(second, shown)


def test_motion_colours_agree_between_frames_and_cover_the_final_range(cmd, backend, monkeypatch):
    colors = loaded_colors(monkeypatch)
    call(cmd, "moedsr_predict", "prot", frames=5)
    coloring = surface_of(cmd).coloring
    assert coloring.maximum == -coloring.minimum == pytest.approx(displacement(4, 5), rel=0.05)
    red = np.array([0.80, 0.10, 0.12])
    np.testing.assert_allclose(colors[5][0], red, atol=1e-6)
    np.testing.assert_allclose(colors[1][0], [0.97] * 3, atol=1e-6)
    half = (np.array([0.97] * 3) + red) / 2
    np.testing.assert_allclose(colors[3][0], half, atol=1e-6)


def test_fluctuation_is_grey_until_it_is_known_and_then_drawn(cmd, backend, monkeypatch):
    colors = loaded_colors(monkeypatch)
    call(cmd, "moedsr_predict", "prot", frames=2, color="fluctuation")
    height = ball()[0][:, 2]
    assert colors[2][height.argmax()] @ [1, 1, 0] > 1.8  # yellow end of viridis
    np.testing.assert_allclose(colors[2][height.argmin()], [0.267, 0.005, 0.329], atol=1e-6)


def test_values_follow_the_nearest_first_point_when_the_mesh_is_new(cmd, monkeypatch):
    colors = loaded_colors(monkeypatch)
    with backend_double(monkeypatch, remesh=True):
        call(cmd, "moedsr_predict", "prot", frames=4, color="expert")
    unit = ball(rings=12)[0]
    upper, lower = colors[4][unit[:, 2] > 0.2], colors[4][unit[:, 2] < -0.2]
    assert (upper == upper[0]).all() and (lower == lower[0]).all()
    assert not np.allclose(upper[0], lower[0])


def test_chain_colours_are_those_pymol_gives_to_the_nearest_atoms_chain(cmd, backend, monkeypatch):
    from pymol import util

    cmd.alter("resi 11-20", "chain = 'B'")
    cmd.sort()
    colors = loaded_colors(monkeypatch)
    call(cmd, "moedsr_predict", "prot", frames=1, color="chain")
    util.cbc("prot", _self=cmd)
    found: list[Any] = []
    cmd.iterate("prot and not hydro", "found.append(color)", space={"found": found})
    wanted = np.array([cmd.get_color_tuple(index) for index in found])
    atom = surface_of(cmd).attributes["atom"]
    assert len(np.unique(wanted[atom], axis=0)) == 2
    np.testing.assert_array_equal(colors[1], wanted[atom])


def test_normals_colour_by_direction(cmd, backend, monkeypatch):
    colors = loaded_colors(monkeypatch)
    call(cmd, "moedsr_predict", "prot", frames=1, color="normal")
    np.testing.assert_allclose(colors[1], 0.5 + 0.5 * ball()[0], atol=0.02)  # 2 degrees


def test_recolouring_loads_only_what_changes_and_keeps_the_placement(cmd, backend, monkeypatch):
    call(cmd, "moedsr_predict", "prot", frames=3)
    cmd.translate([5, 0, 0], object="prot_surf")
    before = cmd.get_object_ttt("prot_surf")
    colors = loaded_colors(monkeypatch)
    call(cmd, "moedsr_color", "prot_surf", "marine")
    assert set(colors) == {1, 2, 3, "last"}
    np.testing.assert_allclose(colors[2][0], cmd.get_color_tuple("marine"))
    colors.clear()
    call(cmd, "moedsr_color", "prot_surf", "marine")
    assert not colors
    assert cmd.get_object_ttt("prot_surf") == before
    assert cmd.count_states("prot_surf") == 3


def test_a_scale_takes_its_palette_and_ends_from_the_user(cmd, backend, monkeypatch):
    call(cmd, "moedsr_predict", "prot", frames=3)
    colors = loaded_colors(monkeypatch)
    call(cmd, "moedsr_color", "prot_surf", "motion", "green yellow", "0", str(AMPLITUDE))
    np.testing.assert_allclose(colors[1][0], cmd.get_color_tuple("green"))
    np.testing.assert_allclose(colors[3][0], cmd.get_color_tuple("yellow"))


def test_a_surface_job_gives_one_state(cmd, backend):
    call(cmd, "moedsr_surface", "prot", name="s", spacing=1.0, surface="ses")
    assert cmd.count_states("s") == 1
    options = backend.jobs["job0"]["options"]
    assert options == {"kind": "surface", "surface": "ses", "spacing": 1.0}


def test_a_broken_stream_is_taken_up_where_it_broke(cmd, monkeypatch):
    with backend_double(monkeypatch, drop_after=1) as fake:
        call(cmd, "moedsr_predict", "prot", frames=5)
    starts = [int(line.split("=")[1]) for line in fake.requests if "stream" in line]
    assert starts == [0, 2, 4]
    assert cmd.count_states("prot_surf") == 5


def test_a_finished_job_stays_at_the_backend(cmd, backend):
    call(cmd, "moedsr_predict", "prot", frames=2)
    assert not [line for line in backend.requests if "DELETE" in line or "cancel" in line]


def test_progress_is_said_unless_quiet(cmd, backend, capsys):
    call(cmd, "moedsr_predict", "prot", frames=2, quiet=0)
    told = capsys.readouterr().out
    call(cmd, "moedsr_predict", "prot", frames=2, quiet=1)
    assert "waiting" in told and "2 frames in" in told
    assert "moedsr" not in capsys.readouterr().out


def test_cancelling_keeps_the_finished_frames_and_says_so(cmd, monkeypatch, capsys):
    from moedsr_pymol.jobs import Job

    original = Job._on_frame

    def on_frame(job: Any, frame: Any) -> None:
        original(job, frame)
        if len(job.surface.frames) == 3:
            call(cmd, "moedsr_cancel", "prot_surf")

    monkeypatch.setitem(_events(), "frame", on_frame)
    with backend_double(monkeypatch, pause=0.05) as fake:
        call(cmd, "moedsr_predict", "prot", frames=200, quiet=0)
        asked = "POST /v1/jobs/job0/cancel"
        assert wait_until(lambda: asked in fake.requests)
    kept = cmd.count_states("prot_surf")
    assert 1 <= kept < 200
    assert f"cancelled; kept {kept} finished frame" in capsys.readouterr().out
    assert not Workspace.of(cmd).jobs


def test_ctrl_c_cancels_and_pymol_goes_on(cmd, monkeypatch):
    from moedsr_pymol.jobs import Job

    original, steps = Job.step, []

    def step(job: Any, patience: float) -> None:
        steps.append(1)
        if len(steps) == 6:
            raise KeyboardInterrupt
        original(job, patience)

    monkeypatch.setattr(Job, "step", step)
    with backend_double(monkeypatch, pause=0.02):
        call(cmd, "moedsr_predict", "prot", frames=100)
        assert 1 <= cmd.count_states("prot_surf") < 10
        monkeypatch.setattr(Job, "step", original)
        call(cmd, "moedsr_predict", "prot", frames=3)
    assert cmd.count_states("prot_surf") == 3


@pytest.mark.parametrize("act", ["delete", "reinitialize"])
def test_deleting_the_surface_in_mid_job_ends_the_job_quietly(cmd, monkeypatch, act):
    from moedsr_pymol.jobs import Job

    original = Job._on_frame

    def on_frame(job: Any, frame: Any) -> None:
        original(job, frame)
        if len(job.surface.frames) == 2:
            cmd.delete("prot_surf") if act == "delete" else cmd.reinitialize()

    monkeypatch.setitem(_events(), "frame", on_frame)
    with backend_double(monkeypatch, pause=0.01):
        call(cmd, "moedsr_predict", "prot", frames=100)
    assert "prot_surf" not in cmd.get_names("all")
    assert not Workspace.of(cmd).jobs and not Workspace.of(cmd).surfaces


def _events() -> Any:
    from moedsr_pymol import jobs

    return jobs._EVENTS


def test_commands_survive_reinitialize(cmd, backend):
    cmd.reinitialize()
    cmd.fab("GAGAG", "again")
    assert call(cmd, "moedsr_predict", "again", frames=2) == "again_surf"


def test_typed_commands_reach_their_own_pymol(backend):
    with open_pymol() as one, open_pymol() as two:
        one.do("moedsr_predict prot, frames=3")
        assert one.count_states("prot_surf") == 3
        assert "prot_surf" not in two.get_names("all")
        one.do("moedsr_color prot_surf, fluctuation, minimum=0, maximum=2")
        assert surface_of(one).coloring.maximum == 2.0


def test_data_of_deleted_surfaces_is_dropped(cmd, backend):
    call(cmd, "moedsr_predict", "prot", frames=2)
    cmd.delete("prot_surf")
    assert Workspace.of(cmd).surfaces == {}
