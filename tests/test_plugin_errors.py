"""Bad input: one sentence each, nothing half-made, PyMOL goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pymol import CmdException
from pymol_support import BackendDouble, backend_double, call, child_environment, open_pymol

from moedsr_pymol import backends, receiver
from moedsr_pymol.local_backend import LocalBackend
from moedsr_pymol.remote import Patience
from moedsr_pymol.workspace import Workspace

QUICK = Patience(silence_s=0.2, first_wait_s=0.01, longest_wait_s=0.01, barren=3)
BAD_ARGUMENTS = [
    ({"selection": "nothere"}, "neither an object nor a selection"),
    ({"selection": "(prot and"}, "neither an object nor a selection"),
    ({"selection": "prot and resi 999"}, "holds no atoms"),
    ({"selection": "water"}, "holds no protein or nucleic acid"),
    ({"selection": "prot or water"}, "spans 2 objects"),
    ({"frames": "0"}, "frames must be a whole number from 1 to 2000, got '0'"),
    ({"frames": "-3"}, "frames must be"),
    ({"frames": "2.5"}, "frames must be"),
    ({"frames": "many"}, "frames must be"),
    ({"frames": "20000"}, "frames must be"),
    ({"spacing": "0"}, "spacing must be a number from 0.3 to 3, got '0'"),
    ({"spacing": "nan"}, "spacing must be"),
    ({"spacing": "fine"}, "spacing must be"),
    ({"state": "7"}, "state must be -1"),
    ({"state": "0"}, "state must be -1"),
    ({"state": "one"}, "state must be"),
    ({"seed": "-1"}, "seed must be"),
    ({"wait": "2"}, "wait must be"),
    ({"duration": "long"}, "duration must be a time such as 500 ps, 1 ns or 2.5 us, got 'long'"),
    ({"duration": "0 ns"}, "duration must be a time"),
    ({"duration": "1 s"}, "duration must be a time"),
    ({"level": "4"}, "level must be a number from -1 to 3, got '4'"),
    ({"mesh": "cubes"}, "mesh must be one of tracked, marching_cubes, got 'cubes'"),
    ({"color": "nocolour"}, "color must be one of motion"),
    ({"color": "expert0"}, "experts are numbered from 1, got 'expert0'"),
    ({"color": "expert3"}, "color must be expert1 to expert2 for model 'fake', got 'expert3'"),
    ({"color": "expert99", "model": "fake"}, "color must be expert1 to expert2"),
    ({"backend": "cloud"}, "backend must be one of local, got 'cloud'"),
    ({"backend": "https://unknown"}, "host:port, token_file=FILE' makes another server known"),
    ({"name": "water"}, "there is a 'water' already"),
    ({"quiet": "x"}, "quiet must be a whole number from -1 to 1, got 'x'"),
]


@pytest.fixture(scope="module")
def cmd() -> Iterator[Any]:
    with open_pymol() as cmd:
        cmd.pseudoatom("water", resn="HOH", hetatm=1)
        yield cmd


def one_sentence(error: pytest.ExceptionInfo[CmdException]) -> str:
    text = str(error.value)
    assert "\n" not in text and "Traceback" not in text and len(text) < 300
    return text


def names(cmd: Any) -> list[str]:
    return list(cmd.get_names("all"))


@pytest.mark.parametrize(("arguments", "sentence"), BAD_ARGUMENTS)
def test_a_bad_argument_is_refused_in_one_sentence(cmd, monkeypatch, arguments, sentence):
    before = names(cmd)
    with backend_double(monkeypatch) as fake, pytest.raises(CmdException) as error:
        call(cmd, "moedsr_predict", **{"selection": "prot", **arguments})
    assert sentence in one_sentence(error)
    assert not fake.jobs and names(cmd) == before and not Workspace.of(cmd).jobs


@pytest.mark.parametrize("selection", ["q", "(q and polymer)"])
def test_an_object_that_pymol_renamed_is_refused_with_its_new_name(cmd, monkeypatch, selection):
    cmd.create("q", "prot")
    with backend_double(monkeypatch) as fake, pytest.raises(CmdException) as error:
        call(cmd, "moedsr_predict", selection)
    cmd.delete("q_")
    assert one_sentence(error).endswith("PyMOL has called your object 'q_'; type that")
    assert not fake.requests


def test_too_many_atoms_are_refused_before_anything_is_sent(cmd, monkeypatch):
    from moedsr_pymol import atoms

    monkeypatch.setattr(atoms, "MAX_ATOMS", cmd.count_atoms("prot and not hydro") - 1)
    with backend_double(monkeypatch) as fake, pytest.raises(CmdException) as error:
        call(cmd, "moedsr_predict", "prot")
    assert "select fewer chains" in one_sentence(error)
    assert not fake.requests


def test_the_plugin_asks_for_nothing_that_the_core_refuses():
    from moedsr_core.choices import LEVELS, SPACINGS
    from moedsr_core.predict_options import MAX_FRAMES
    from moedsr_pymol import arguments

    assert arguments.FRAMES_RANGE == (1, MAX_FRAMES)
    assert arguments.SPACING_RANGE == SPACINGS
    assert arguments.LEVEL_RANGE == LEVELS


def test_sixty_thousand_atoms_are_above_the_limit():
    from moedsr_pymol.atoms import MAX_ATOMS

    assert MAX_ATOMS < 60_000


def test_coordinates_that_are_no_numbers_are_refused(cmd, monkeypatch):
    cmd.create("broken", "prot")
    cmd.alter_state(1, "first broken", "x = float('nan')")
    with backend_double(monkeypatch), pytest.raises(CmdException) as error:
        call(cmd, "moedsr_predict", "broken")
    cmd.delete("broken")
    assert "coordinates that are no numbers" in one_sentence(error)


_DELETED = (
    '{"type": "end", "state": "cancelled", "error": "somebody deleted it", "summary": {}, '
    '"bytes": 0}\n'
)


@pytest.mark.parametrize(
    ("behaviour", "sentence", "kept"),
    [
        ({"refuse": "the model is unknown; choose fake"}, "the model is unknown; choose fake", 0),
        ({"fails": "it ran out of memory; use a wider spacing"}, "it ran out of memory", 3),
        ({"say": "<html>\n"}, "something that is no record", 0),
        ({"say": '{"type": "frame", "index": 0, "bytes": 4}\nabcd'}, "cannot be read", 0),
        ({"say": '{"type": "frame", "index": 5, "bytes": 0}\n'}, "out of order", 0),
        ({"say": '{"type": "progress", "bytes": -1}\n'}, "impossible size", 0),
        ({"say": _DELETED}, "the job was cancelled: somebody deleted it", 0),
        ({"bare_at": 2}, "no mesh", 2),
        ({"drop_after": -1}, "broke off", 0),
    ],
)
def test_a_backend_that_fails_is_one_sentence_and_keeps_what_was_shown(
    cmd, monkeypatch, behaviour, sentence, kept
):
    monkeypatch.setattr(receiver, "PATIENCE", QUICK)
    if behaviour.get("drop_after") == -1:
        behaviour = {"say": '{"type": "frame", "index": 0, "bytes": 4000000}\n', "drop_after": 0}
    with backend_double(monkeypatch, **behaviour), pytest.raises(CmdException) as error:
        call(cmd, "moedsr_predict", "prot", frames=3, name="result")
    assert sentence in one_sentence(error)
    assert (cmd.count_states("result") if "result" in names(cmd) else 0) == kept
    said = f"; kept {kept} finished frames in 'result'"
    assert str(error.value).endswith(said) == (kept > 0)
    cmd.delete("result")
    with backend_double(monkeypatch):
        call(cmd, "moedsr_predict", "prot", frames=2, name="after")
    assert cmd.count_states("after") == 2
    cmd.delete("after")


def test_a_silent_backend_is_given_up(cmd, monkeypatch):
    monkeypatch.setattr(receiver, "PATIENCE", QUICK)
    with backend_double(monkeypatch, silent_at=1), pytest.raises(CmdException) as error:
        call(cmd, "moedsr_predict", "prot", frames=3, name="silent")
    cmd.delete("silent")
    assert "has stopped answering" in one_sentence(error)


def test_a_killed_backend_is_reported_and_the_next_prediction_starts_another(cmd, monkeypatch):
    for key, value in child_environment(die_at=2).items():
        monkeypatch.setenv(key, value)
    backend = LocalBackend(sys.executable, "pymol_support")
    monkeypatch.setitem(backends.BACKENDS, "local", backend)
    try:
        with pytest.raises(CmdException) as error:
            call(cmd, "moedsr_predict", "prot", frames=5, name="half")
        assert "the backend ended in mid-job (out of memory)" in one_sentence(error)
        assert cmd.count_states("half") == 2
        monkeypatch.setenv("FAKE_BACKEND", "{}")
        backend.stop()  # the one that was started again would die as well
        call(cmd, "moedsr_predict", "prot", frames=5, name="half")
        assert cmd.count_states("half") == 5
    finally:
        backend.stop()
        cmd.delete("half")


def test_a_missing_backend_is_refused_in_one_sentence(cmd, monkeypatch, tmp_path):
    monkeypatch.setenv("MOEDSR_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("MOEDSR_PYTHON", str(tmp_path / "python"))
    monkeypatch.setitem(backends.BACKENDS, "local", LocalBackend())
    with pytest.raises(CmdException) as error:
        call(cmd, "moedsr_predict", "prot")
    assert "there is no Python at" in one_sentence(error)


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("moedsr_color", ("prot",), "'prot' is not a surface of this plugin; there are: ours"),
        ("moedsr_color", ("ours", "nocolour"), "color must be one of"),
        ("moedsr_color", ("ours", "expert9"), "has experts 1 to 2"),
        ("moedsr_color", ("ours", "motion", "plaid"), "palette must be one of"),
        ("moedsr_color", ("ours", "motion", "", "3", "1"), "minimum must be below maximum"),
        ("moedsr_color", ("ours", "motion", "", "low"), "minimum must be a number"),
        (
            "moedsr_color",
            ("ours", "motion", "viridis", "5"),
            "minimum must be below maximum, got 5",
        ),
        ("moedsr_color", ("ours", "motion", "", "", "-5"), "below maximum, got -4 and -5"),
        ("moedsr_color", ("ours", "fluctuation", "", "7"), "minimum must be below maximum, got 7"),
        ("moedsr_color", ("ours", "fluctuation", "", "", "0"), "below maximum, got 0 and 0"),
        ("moedsr_color", ("ours", "expert1", "", "1"), "below maximum, got 1 and 1"),
        ("moedsr_color", ("ours", "expert0"), "experts are numbered from 1"),
        ("moedsr_save", ("prot", "x.npz"), "'prot' is not a surface"),
        ("moedsr_save", ("ours", "x.stl"), "must end in .npz, .ply, .obj"),
        ("moedsr_save", ("ours", "/no/x.npz"), "there is no folder '"),
        ("moedsr_save", ("ours", "~nobody-here/x.npz"), "the home folder in '~nobody-here/x.npz'"),
        ("moedsr_save", ("ours", "a\0b.npz"), "with a zero byte in it"),
        ("moedsr_save", ("ours", f"{'n' * 300}.npz"), "cannot be written ("),
        ("moedsr_shape", ("ours", "/no/x.csv"), "there is no folder '"),
        ("moedsr_cancel", ("ours",), "running here: none"),
        ("moedsr_fetch", ("../up",), "job must be an id"),
        ("moedsr_fetch", ("feedbeef",), "there is no such job"),
        ("moedsr_backend", ("fly",), "action must be one of"),
        ("moedsr_backend", ("status", "/no/such/python"), "there is no Python at"),
    ],
)
def test_other_commands_refuse_in_one_sentence(cmd, monkeypatch, command, arguments, sentence):
    with backend_double(monkeypatch):
        call(cmd, "moedsr_predict", "prot", frames=2, name="ours")
        with pytest.raises(CmdException) as error:
            call(cmd, command, *arguments)
    assert sentence in one_sentence(error)
    assert cmd.count_states("ours") == 2
    cmd.delete("ours")


def test_an_object_that_shows_nothing_at_the_present_frame_says_so(cmd, monkeypatch):
    with backend_double(monkeypatch) as fake:
        call(cmd, "moedsr_predict", "prot", frames=2, name="ours")
        cmd.set("state", 7)
        cmd.set("static_singletons", 0)
        said = "has %s and shows none at the present frame; go to one, as with 'frame 1'"
        for command, arguments, count in (
            ("moedsr_predict", ("prot",), "1 state"),
            ("moedsr_profile", ("ours", "motion"), "2 states"),
            ("moedsr_pocket", ("ours", "prot and resi 3"), "1 state"),
        ):
            with pytest.raises(CmdException) as error:
                call(cmd, command, *arguments)
            assert said % count in one_sentence(error)
        cmd.set("state", 1)
        cmd.set("static_singletons", 1)
    assert len(fake.jobs) == 1
    cmd.delete("ours")


@pytest.mark.parametrize("color", ["motion", "fluctuation", "expert", "expert1"])
def test_a_still_surface_takes_no_colour_of_motion(cmd, monkeypatch, color):
    with backend_double(monkeypatch) as fake, pytest.raises(CmdException) as error:
        call(cmd, "moedsr_surface", "prot", color=color)
    assert f"color must be normal, chain or a PyMOL colour, got '{color}'" in one_sentence(error)
    assert not fake.jobs


def test_values_that_never_came_cannot_be_shown(cmd, monkeypatch):
    with backend_double(monkeypatch, fails="out of memory"), pytest.raises(CmdException):
        call(cmd, "moedsr_predict", "prot", frames=2, name="half")
    with pytest.raises(CmdException, match="no values for colour 'fluctuation'"):
        call(cmd, "moedsr_color", "half", "fluctuation")
    cmd.delete("half")


def test_a_taken_name_is_found_out_even_when_taken_in_mid_job(cmd, monkeypatch):
    double = BackendDouble
    original = double.client

    def client_and_intruder(self: Any, *patience: Any) -> Any:
        cmd.pseudoatom("late")
        return original(self, *patience)

    monkeypatch.setattr(double, "client", client_and_intruder)
    with (
        backend_double(monkeypatch),
        pytest.raises(CmdException, match="there is a 'late' already"),
    ):
        call(cmd, "moedsr_predict", "prot", frames=2, name="late")
    assert cmd.get_type("late") == "object:molecule"
    cmd.delete("late")


def test_typed_errors_print_one_line_without_a_traceback(cmd, capfd):
    cmd.do("moedsr_predict nothere")
    out = "".join(capfd.readouterr())
    assert "neither an object nor a selection" in out
    assert "Traceback" not in out


def test_non_finite_vertices_are_refused():
    from moedsr_pymol.errors import BackendError
    from moedsr_pymol.surface import Frame

    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, np.nan, 0]], np.float32)
    arrays = {"vertices": vertices, "normals": np.ones((3, 3), np.float32)}
    arrays |= {"displacement": np.zeros(3), "faces": np.array([[0, 1, 2]], np.int32)}
    with pytest.raises(BackendError, match="numbers missing"):
        Frame.read(arrays, None)
