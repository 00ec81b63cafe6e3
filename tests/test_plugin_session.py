"""Predictions in PyMOL's sessions: compact in the file, whole when it is opened."""

from __future__ import annotations

import base64
import pickle
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plugin_sessions import (  # noqa: F401
    FRAMES,
    PLAIN,
    assert_same,
    backend,
    bare,
    cmd,
    fresh,
    picture,
    surface_of,
    without_plugin,
)
from pymol import CmdException
from pymol_support import backend_double, call
from test_plugin_names import states, timers, turn  # noqa: F401

from moedsr_pymol.labels import config_dir, load_labels
from moedsr_pymol.session.record import _digest
from moedsr_pymol.session.text import as_text, from_text, to_text
from moedsr_pymol.workspace import Workspace


@pytest.fixture
def dressed(cmd, backend, tmp_path) -> Path:
    """A session whose surface has been changed in every way."""
    call(cmd, "moedsr_predict", "prot", frames=FRAMES)
    call(cmd, "moedsr_color", "prot_surf", "motion", "green white magenta", -3, 2)
    call(cmd, "moedsr_smooth", "prot_surf", 3, 1)
    cmd.set("cgo_transparency", 0.25, "prot_surf")
    cmd.set_name("prot_surf", "mine")
    cmd.translate([3, 0, 1], object="mine")
    cmd.group("both", "prot mine")
    cmd.disable("mine")
    cmd.frame(3)
    cmd.save(str(tmp_path / "a.pse"))
    return tmp_path / "a.pse"


def test_a_session_brings_everything_back(cmd, fresh, dressed):
    fresh.load(str(dressed))
    assert_same(surface_of(cmd, "mine"), surface_of(fresh, "mine"))
    assert fresh.count_states("mine") == FRAMES == cmd.count_states("mine")
    for ask in (
        lambda cmd: cmd.get_names("all"),
        lambda cmd: cmd.get_names("all", enabled_only=1),
        lambda cmd: cmd.get_object_list("both"),
        lambda cmd: cmd.get_object_ttt("mine"),
        lambda cmd: cmd.get("cgo_transparency", "mine"),
        lambda cmd: cmd.get_extent("mine"),
        lambda cmd: (cmd.get_frame(), cmd.get_state(), cmd.count_frames(), cmd.get_view()),
    ):
        assert ask(fresh) == ask(cmd)


def test_every_state_looks_as_it_did(cmd, fresh, dressed, tmp_path):
    cmd.enable("mine")
    fresh.load(str(dressed))
    fresh.enable("mine")
    pictures = [picture(cmd, tmp_path / "p.png", k + 1) for k in range(FRAMES)]
    assert all(np.abs(a - b).max() > 50 for a, b in pairwise(pictures))
    for k, seen in enumerate(pictures):
        np.testing.assert_array_equal(picture(fresh, tmp_path / "p.png", k + 1), seen)


def test_without_the_plugin_the_first_surface_shows(cmd, bare, dressed, tmp_path):
    cmd.enable("mine")
    bare.load(str(dressed))
    bare.enable("mine")
    assert bare.count_states("mine") == 1
    seen = picture(bare, tmp_path / "b.png", bare.get_frame())
    np.testing.assert_array_equal(seen, picture(cmd, tmp_path / "a.png", 1))


def test_the_job_is_known_again_where_it_was_forgotten(cmd, fresh, backend, dressed):
    (config_dir() / "jobs.json").unlink()
    fresh.load(str(dressed))
    assert load_labels()["job0"] == replace(surface_of(cmd, "mine").label, surface="mine")
    assert call(fresh, "moedsr_jobs")[0]["object"] == "prot"
    call(fresh, "moedsr_fetch", "job0", name="again")
    assert fresh.count_states("again") == FRAMES


def test_what_a_session_holds_is_plain_and_the_scene_stays(cmd, backend):
    call(cmd, "moedsr_predict", "prot", frames=FRAMES)
    extent = cmd.get_extent("prot_surf")
    session = cmd.get_session()
    assert cmd.count_states("prot_surf") == FRAMES and cmd.get_extent("prot_surf") == extent

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            value = list(value.items())
        if isinstance(value, (list, tuple)):
            for part in value:
                walk(part)
        else:
            assert type(value) in PLAIN

    assert session["moedsr"]["format"] == 2
    walk(session["moedsr"])


@pytest.mark.parametrize(
    ("file", "setting"),
    [("a.pse", ("pse_export_version", 1.8)), ("a.pse.gz", ("pse_binary_dump", 1)), ("a.psw", ())],
)
def test_every_way_of_writing_a_session_is_read(cmd, fresh, backend, tmp_path, file, setting):
    call(cmd, "moedsr_predict", "prot", frames=2)
    cmd.scene("psw", "store")  # which it needs
    if setting:
        cmd.set(*setting)
    path = str(tmp_path / file)
    cmd.save(path)
    fresh.load(path)
    assert_same(surface_of(cmd), surface_of(fresh))


def test_a_record_that_lost_the_name_of_its_object_is_found_by_its_mark(fresh, dressed, capsys):
    spoil(dressed, lambda kept: kept["surfaces"][0].pop("object"))
    fresh.load(str(dressed))
    assert fresh.count_states("mine") == FRAMES
    assert "could not be taken up" not in capsys.readouterr().out


def spoil(path: Path, change: Any) -> None:
    session = pickle.loads(path.read_bytes())
    change(session["moedsr"])
    path.write_bytes(pickle.dumps(session, 1))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda kept: kept.update(format=3), "was saved by a newer moedsr; update the plugin"),
        (lambda kept: kept.update(format="x"), "what the session keeps of predictions is damaged"),
        (lambda kept: kept.update(surfaces=3), "what the session keeps of predictions is damaged"),
        (lambda kept: kept["surfaces"][0]["frames"].pop(), "'mine' is damaged"),
        (lambda kept: kept["surfaces"][0].update(values="AAAA"), "'mine' is damaged"),
        (lambda kept: kept["surfaces"][0].pop("about"), "'mine' is damaged"),
    ],
)
def test_what_cannot_be_read_is_said_and_the_first_surface_stays(
    fresh, dressed, capsys, change, sentence
):
    spoil(dressed, change)
    fresh.load(str(dressed))
    assert capsys.readouterr().out.count(sentence) == 1
    assert fresh.count_states("mine") == 1 and not Workspace.of(fresh).surfaces
    with pytest.raises(CmdException, match="'mine' is the picture of an earlier surface without"):
        call(fresh, "moedsr_color", "mine", "red")


def test_a_frame_that_lies_ends_the_surface_there(cmd, fresh, backend, tmp_path, capsys):
    def lie(kept: Any) -> None:
        (record,) = kept["surfaces"]
        record["frames"][2] = record["frames"][2][:-8]
        record["digest"] = _digest(record)

    call(cmd, "moedsr_predict", "prot", frames=FRAMES)
    cmd.save(str(tmp_path / "a.pse"))
    spoil(tmp_path / "a.pse", lie)
    fresh.load(str(tmp_path / "a.pse"))
    assert "'prot_surf' ends at state 2" in capsys.readouterr().out
    assert states(fresh, "prot_surf") == 2 == len(surface_of(fresh).frames)


def shaken(frames: list[Any]) -> list[Any]:
    return [replace(frame, vertices=frame.vertices + np.float32(0.003)) for frame in frames]


@pytest.mark.parametrize("change", [shaken, lambda frames: frames[::2]])
def test_frames_that_were_changed_are_kept_as_they_are_now(cmd, fresh, backend, tmp_path, change):
    backend.behaviour["remesh"] = False  # each frame is read after the one before it
    call(cmd, "moedsr_predict", "prot", frames=5)
    surface = surface_of(cmd)
    surface.frames[:] = change(surface.frames)
    cmd.save(str(tmp_path / "a.pse"))
    fresh.load(str(tmp_path / "a.pse"))
    again = surface_of(fresh)
    for one, other in zip(surface.frames, again.frames, strict=True):
        assert np.linalg.norm(one.vertices - other.vertices, axis=1).max() < 0.0068


def test_frames_as_they_came_are_kept_byte_by_byte(cmd, backend):
    call(cmd, "moedsr_predict", "prot", frames=3)
    (kept,) = cmd.get_session()["moedsr"]["surfaces"]
    assert [from_text(text) for text in kept["frames"]] == [
        frame.record for frame in surface_of(cmd).frames
    ]


@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 1000])
def test_bytes_as_text_take_a_seventh_more(size):
    data = np.random.default_rng(size).bytes(size)
    text = to_text(data)
    assert from_text(text) == data and text.isascii() and len(text) == 1 + -(-8 * size // 7)
    assert from_text(base64.b64encode(data).decode("ascii")) == data


@pytest.mark.parametrize("kept", ["~é", "é", "a", None, "~é".encode()])
def test_what_is_no_such_text_is_refused(kept):
    with pytest.raises(ValueError):
        from_text(as_text(kept))


def test_a_session_of_format_1_is_opened_and_saved_anew(cmd, fresh, backend, tmp_path):
    def as_before(kept: Any) -> None:
        kept["format"], record = 1, kept["surfaces"][0]
        for name in ("values", "frames"):
            texts = record[name] if name == "frames" else [record[name]]
            old = [base64.b64encode(from_text(text)).decode("ascii") for text in texts]
            record[name] = old if name == "frames" else old[0]
        record["digest"] = _digest(record)

    call(cmd, "moedsr_predict", "prot", frames=FRAMES)
    cmd.save(str(tmp_path / "a.pse"))
    spoil(tmp_path / "a.pse", as_before)
    fresh.load(str(tmp_path / "a.pse"))
    assert states(fresh, "prot_surf") == FRAMES
    assert_same(surface_of(cmd), surface_of(fresh))
    assert fresh.get_session()["moedsr"]["surfaces"][0]["frames"][0].startswith("~")


def test_what_takes_long_to_find_is_not_searched_again(cmd, fresh, backend, monkeypatch, tmp_path):
    from moedsr_pymol import cgo, surface

    call(cmd, "moedsr_predict", "prot", frames=3, color="fluctuation")
    cmd.save(str(tmp_path / "a.pse"))
    monkeypatch.delattr(cgo, "triangle_strips")
    monkeypatch.delattr(surface, "nearest")
    fresh.load(str(tmp_path / "a.pse"))
    pictures = [picture(one, tmp_path / "p.png", 3) for one in (cmd, fresh)]
    np.testing.assert_array_equal(*pictures)


def test_a_session_saved_in_mid_job_keeps_the_frames_that_are_there(
    cmd,
    fresh,
    timers,
    monkeypatch,
    tmp_path,
    capsys,
):
    with backend_double(monkeypatch, pause=0.002):
        call(cmd, "moedsr_predict", "prot", frames=300)
        turn(timers, lambda: states(cmd, "prot_surf") >= 3)
        there = states(cmd, "prot_surf")
        cmd.save(str(tmp_path / "a.pse"))
        fresh.load(str(tmp_path / "a.pse"))
        turn(timers[1:])
        call(cmd, "moedsr_cancel", "all")
        turn(timers)
    assert states(fresh, "prot_surf") == there < 300
    assert surface_of(fresh).planned == 300 and surface_of(fresh).job == "job0"
    said = f"'prot_surf' was saved with {there} of 300 frames; 'moedsr_fetch job0' loads those"
    assert said in capsys.readouterr().out


def test_a_session_of_an_older_plugin_plays_as_it_is(cmd, fresh, backend, tmp_path):
    without_plugin(cmd)
    call(cmd, "moedsr_predict", "prot", frames=FRAMES)
    cmd.save(str(tmp_path / "old.pse"))
    fresh.load(str(tmp_path / "old.pse"))
    assert states(fresh, "prot_surf") == FRAMES
    for command, arguments in (
        ("moedsr_color", ("prot_surf", "red")),
        ("moedsr_predict", ("prot",)),
    ):
        with pytest.raises(CmdException, match="picture of an earlier surface without its values"):
            call(fresh, command, *arguments)
    fresh.save(str(tmp_path / "new.pse"))
    fresh.load(str(tmp_path / "new.pse"))
    assert states(fresh, "prot_surf") == FRAMES
