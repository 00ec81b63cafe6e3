"""A server elsewhere, seen from PyMOL: made known, used, and jobs found again."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymol import CmdException
from pymol_support import TESTS, FakeBackend, call, open_pymol

from moedsr_pymol import receiver
from moedsr_pymol.labels import load_labels
from moedsr_pymol.placement import placement
from moedsr_pymol.remote import Patience
from moedsr_pymol.servers import Server, known_servers
from moedsr_pymol.settings import load_settings, save_settings
from moedsr_pymol.tokens import IN_KEYRING
from moedsr_pymol.workspace import Workspace

TOKEN = "one-token-of-many-0123456789"


@pytest.fixture(autouse=True)
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The plugin's configuration folder, with no keyring beside it."""
    monkeypatch.setenv("MOEDSR_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setitem(sys.modules, "keyring", None)
    return tmp_path / "config"


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return str(file)


@pytest.fixture
def server() -> Iterator[FakeBackend]:
    with FakeBackend(token=TOKEN) as fake:
        yield fake


@pytest.fixture
def cmd() -> Iterator[Any]:
    with open_pymol() as cmd:
        yield cmd


def everything_in(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def test_a_server_is_asked_and_then_known_and_used(cmd, server, token_file, config):
    state = call(cmd, "moedsr_backend", server.url, token_file=token_file, name="lab")
    assert state["backend"] == server.url and state["version"] == "0.1.0"
    assert state["latency_ms"] > 0 and state["name"] == "lab"
    assert load_settings()["backend"] == server.url
    assert known_servers() == [Server(server.url, "", "lab")]
    assert call(cmd, "moedsr_backend")["backend"] == server.url
    call(cmd, "moedsr_predict", "prot", frames=3)
    assert cmd.count_states("prot_surf") == 3
    sent = server.jobs["job0"]["arrays"]
    assert set(sent) == {
        "coords", "elements", "atom_names", "residue_names", "residue_ids", "chain_ids",
        "residue_index",
    }  # fmt: skip
    assert b"prot" not in b"".join(a.tobytes() for a in sent.values())
    assert "prot" not in json.dumps(server.jobs["job0"]["options"])


def test_the_token_lies_in_a_file_of_its_own_that_nobody_else_can_read(
    cmd, server, token_file, config
):
    call(cmd, "moedsr_backend", server.url, token_file=token_file)
    os.unlink(token_file)
    call(cmd, "moedsr_predict", "prot", frames=1)
    holders = [p for p in config.rglob("*") if p.is_file() and TOKEN in p.read_text()]
    assert len(holders) == 1 and holders[0].parent.name == "tokens"
    if os.name == "posix":
        assert stat.S_IMODE(holders[0].stat().st_mode) == 0o600
        holders[0].chmod(0o644)
        with pytest.raises(CmdException, match=f"other users can read .*chmod 600 {holders[0]}"):
            call(cmd, "moedsr_models")


def _locked(*where: str) -> None:
    raise RuntimeError("locked")


def test_a_keyring_is_preferred_where_there_is_one(cmd, server, token_file, config, monkeypatch):
    kept: dict[Any, str] = {}
    ring = types.SimpleNamespace(
        get_keyring=lambda: types.SimpleNamespace(priority=5),
        set_password=lambda *where: kept.__setitem__(where[:2], where[2]),
        get_password=lambda *where: kept.get(where),
        delete_password=lambda *where: kept.pop(where),
    )
    monkeypatch.setitem(sys.modules, "keyring", ring)
    state = call(cmd, "moedsr_backend", server.url, token_file=token_file, name="lab")
    assert state["token"] == IN_KEYRING and kept == {("moedsr", server.url): TOKEN}
    assert TOKEN not in everything_in(config)
    assert call(cmd, "moedsr_models")[0]["name"] == "fake"
    monkeypatch.setattr(ring, "delete_password", _locked)
    with pytest.raises(CmdException, match=r"may still hold the token for .*locked.*; unlock it"):
        call(cmd, "moedsr_backend", "forget", name="lab")
    assert [known.name for known in known_servers()] == ["lab"]  # so that it can be tried again
    monkeypatch.setattr(ring, "delete_password", lambda *where: kept.pop(where))
    call(cmd, "moedsr_backend", "forget", name="lab")
    assert kept == {} and known_servers() == [] and load_settings()["backend"] == ""


def test_the_token_is_in_no_session_log_or_setting(cmd, server, token_file, config, tmp_path):
    cmd.log_open(str(tmp_path / "log.pml"))
    cmd.do(f"moedsr_backend {server.url}, token_file={token_file}")
    cmd.do("moedsr_predict prot, frames=2")
    cmd.log_close()
    cmd.save(str(tmp_path / "session.pse"))
    assert cmd.count_states("prot_surf") == 2
    assert TOKEN.encode() not in (tmp_path / "session.pse").read_bytes()
    assert TOKEN not in repr(cmd.get_session())
    assert TOKEN not in (tmp_path / "log.pml").read_text()
    assert server.url in (config / "settings.json").read_text()
    for name in ("settings.json", "jobs.json"):
        assert TOKEN not in (config / name).read_text()


@pytest.mark.parametrize(
    ("behaviour", "more", "sentence"),
    [
        (
            {"token": "another"},
            {},
            r"does not accept this token, .* moedsr_backend http.*token_file=",
        ),
        ({"health": {"name": "nginx"}}, {}, "is not a moedsr server"),
        ({"health": {"protocol": 9}}, {}, "speaks protocol 9, .*update this plugin"),
        ({}, {"name": "local"}, "'local' means something else already"),
        ({}, {"name": "a b"}, "name must be letters"),
        ({}, {"ca_file": "/no/such.pem"}, "there is no file of certificates"),
        ({}, {"token_file": "/no/such"}, "the token cannot be read"),
    ],
)
def test_a_server_that_cannot_be_used_is_not_remembered(
    cmd, token_file, config, behaviour, more, sentence
):
    with FakeBackend(**{"token": TOKEN, **behaviour}) as fake:
        with pytest.raises(CmdException, match=sentence):
            call(cmd, "moedsr_backend", fake.url, **{"token_file": token_file, **more})
    assert known_servers() == [] and not (config / "tokens").exists()


def test_a_server_without_tokens_needs_none_and_others_say_so(cmd, server):
    with pytest.raises(CmdException, match=r"wants a token and has got none; ask its keeper"):
        call(cmd, "moedsr_backend", server.url)
    assert known_servers() == []


def test_backends_are_chosen_by_word_name_or_address(cmd, server, token_file, monkeypatch):
    call(cmd, "moedsr_backend", server.url, token_file=token_file, name="lab")
    for k, backend in enumerate(("remote", "lab", server.url, "")):
        call(cmd, "moedsr_predict", "prot", frames=1, backend=backend)
        assert len(server.jobs) == k + 1
    words = cmd.auto_arg[0]["moedsr_backend"][0]().keywords
    assert {"status", "stop", "forget", "local", "remote", "lab", server.url} <= set(words)
    with pytest.raises(CmdException, match=r"backend must be one of local, remote, lab, http"):
        call(cmd, "moedsr_predict", "prot", frames=1, backend="other")


def test_a_server_that_is_not_known_any_more_is_said_with_a_way_out(cmd, server, token_file):
    call(cmd, "moedsr_backend", server.url, token_file=token_file)
    call(cmd, "moedsr_predict", "prot", frames=1)
    save_settings(servers=[])
    with pytest.raises(CmdException, match=r"http.* is not known any more; 'moedsr_backend local'"):
        call(cmd, "moedsr_predict", "prot", frames=1)
    with pytest.raises(CmdException, match=r"job0 was sent to http.*make it known again with"):
        call(cmd, "moedsr_fetch", "job0")


def test_all_jobs_are_deleted_but_those_that_are_arriving(cmd, server, token_file, monkeypatch):
    call(cmd, "moedsr_backend", server.url, token_file=token_file)
    for name in ("a", "b"):
        call(cmd, "moedsr_predict", "prot", frames=1, name=name)
    monkeypatch.setattr("moedsr_pymol.commands.job_list.arriving", lambda _self: {"job1": "b"})
    call(cmd, "moedsr_delete", "all")
    assert set(server.jobs) == {"job1"}


@pytest.mark.parametrize("kept", ["molecule.pdb", "session.pse"])
def test_a_job_of_an_earlier_session_is_found_and_lies_on_its_molecule(
    server, token_file, tmp_path, kept
):
    with open_pymol() as first:
        first.save(str(tmp_path / "molecule.pdb"), "prot")
        first.transform_object("prot", [0, -1, 0, 3, 1, 0, 0, 4, 0, 0, 1, 5, 0, 0, 0, 1])
        first.save(str(tmp_path / "session.pse"))
        call(first, "moedsr_backend", server.url, token_file=token_file)
        call(first, "moedsr_predict", "prot", frames=3, name="moving")
        before = Workspace.of(first).surface("moving")
    with open_pymol("") as later:
        later.load(str(tmp_path / kept), *(["prot"] if kept == "molecule.pdb" else []))
        later.translate([7, 0, 0], object="prot")
        (row,) = call(later, "moedsr_jobs")
        assert (row["id"], row["state"], row["object"]) == ("job0", "done", "prot")
        assert (row["frames_done"], row["surface"], row["age_s"]) == (3, "moving", 1.0)
        assert call(later, "moedsr_fetch", row["id"], color="chain") == "moving"
        after = Workspace.of(later).surface("moving")
        for old, new in zip(before.frames, after.frames, strict=True):
            assert old.vertices.tobytes() == new.vertices.tobytes()
        matrix = np.array(later.get_object_ttt("moving")).reshape(4, 4)
        np.testing.assert_allclose(matrix, placement(after.atoms, later), atol=1e-5)
        center = np.array(later.get_model("prot").get_coord_list()).mean(axis=0)
        vertices = after.frames[0].vertices.astype(float)
        placed = vertices.mean(axis=0) @ matrix[:3, :3].T + matrix[:3, 3]
        np.testing.assert_allclose(placed, center, atol=0.5)


def test_a_fetched_job_takes_another_name_and_molecule(cmd, server, token_file):
    call(cmd, "moedsr_backend", server.url, token_file=token_file)
    call(cmd, "moedsr_predict", "prot", frames=2)
    cmd.set_name("prot", "renamed")
    cmd.translate([30, 0, 0], object="renamed")
    call(cmd, "moedsr_fetch", "job0", name="again", object="renamed")
    assert cmd.get_object_ttt("again")[3] == pytest.approx(30)
    assert cmd.count_states("again") == 2


def test_a_job_that_this_computer_knows_nothing_of_is_fetched_all_the_same(
    cmd, server, token_file, config
):
    call(cmd, "moedsr_backend", server.url, token_file=token_file)
    call(cmd, "moedsr_predict", "prot", frames=2)
    (config / "jobs.json").unlink()
    assert call(cmd, "moedsr_fetch", "job0", color="chain") == "job0_surf"
    assert cmd.count_states("job0_surf") == 2


def test_a_failed_or_unknown_job_is_one_sentence(cmd, server, token_file):
    call(cmd, "moedsr_backend", server.url, token_file=token_file)
    server.behaviour["fails"] = "it ran out of memory; use a wider spacing"
    with pytest.raises(CmdException, match="ran out of memory"):
        call(cmd, "moedsr_predict", "prot", frames=2)
    with pytest.raises(CmdException, match="ran out of memory"):
        call(cmd, "moedsr_fetch", "job0", name="again")
    assert call(cmd, "moedsr_jobs")[0]["state"] == "failed"
    with pytest.raises(CmdException, match="there is no such job"):
        call(cmd, "moedsr_fetch", "0123456789abcdef")
    with pytest.raises(CmdException, match="there is no such job"):
        call(cmd, "moedsr_cancel", "0123456789abcdef")


def test_a_job_of_an_earlier_session_can_be_cancelled(cmd, server, token_file, capsys):
    call(cmd, "moedsr_backend", server.url, token_file=token_file)
    call(cmd, "moedsr_predict", "prot", frames=2)
    server.jobs["job0"]["status"]["state"] = "running"
    call(cmd, "moedsr_cancel", "job0", quiet=0)
    assert "POST /v1/jobs/job0/cancel" in server.requests
    assert "job job0 is cancelled" in capsys.readouterr().out
    assert call(cmd, "moedsr_jobs")[0]["state"] == "cancelled"


def test_the_table_shows_what_there_is_and_who_is_away(cmd, server, token_file, capsys):
    call(cmd, "moedsr_backend", server.url, token_file=token_file, name="lab")
    call(cmd, "moedsr_predict", "prot and resi 2-9+11-20", frames=2)
    with FakeBackend(token=TOKEN) as gone:
        call(cmd, "moedsr_backend", gone.url, token_file=token_file, name="gone")
    assert [row["id"] for row in call(cmd, "moedsr_jobs", quiet=0)] == ["job0"]
    said = capsys.readouterr().out
    assert "prot (prot and resi…" in said and "2/2" in said and "done" in said
    assert server.url not in said and max(map(len, said.splitlines()[-3:-1])) < 79
    assert f"nobody listens at {gone.url}" in said
    with pytest.raises(CmdException, match="nobody listens"):
        call(cmd, "moedsr_jobs", "gone")


def test_labels_of_jobs_that_are_gone_are_forgotten_but_fresh_ones_are_kept(
    cmd, server, token_file, config
):
    call(cmd, "moedsr_backend", server.url, token_file=token_file)
    call(cmd, "moedsr_predict", "prot", frames=1)
    call(cmd, "moedsr_predict", "prot", frames=1)
    stored = json.loads((config / "jobs.json").read_text())
    stored["jobs"]["job0"]["created"] -= 10**6
    (config / "jobs.json").write_text(json.dumps(stored))
    server.jobs.clear()
    assert call(cmd, "moedsr_jobs") == []
    assert list(load_labels()) == ["job1"]


def test_a_server_that_goes_away_in_mid_job_is_waited_for_and_said_so(
    cmd, server, token_file, monkeypatch, capsys
):
    monkeypatch.setattr(receiver, "PATIENCE", Patience(first_wait_s=0.01, longest_wait_s=0.01))
    call(cmd, "moedsr_backend", server.url, token_file=token_file)
    server.behaviour["cuts"] = [5_000, 2_000, 0]
    call(cmd, "moedsr_predict", "prot", frames=6, quiet=0)
    assert cmd.count_states("prot_surf") == 6
    said = capsys.readouterr().out
    assert "waiting for the server (the answer of" in said and f"job job0 at {server.url}" in said


def test_a_server_that_stays_away_leaves_the_job_alone(cmd, server, token_file, monkeypatch):
    patience = Patience(first_wait_s=0.01, longest_wait_s=0.01, barren=3)
    monkeypatch.setattr(receiver, "PATIENCE", patience)
    call(cmd, "moedsr_backend", server.url, token_file=token_file)
    server.behaviour["cuts"] = [5_000, *[0] * 9]
    with pytest.raises(CmdException, match=r"may still be fetched later; kept \d+ finished frames"):
        call(cmd, "moedsr_predict", "prot", frames=9)
    assert not [line for line in server.requests if "cancel" in line or "DELETE" in line]
    server.behaviour["cuts"] = []
    call(cmd, "moedsr_fetch", "job0")
    assert cmd.count_states("prot_surf") == 9


def test_a_pymol_that_ends_in_mid_job_leaves_the_job_running(server, token_file, config):
    server.behaviour["pause"] = 0.05
    program = (
        "from pymol_support import *\n"
        "with open_pymol() as cmd:\n"
        f"    call(cmd, 'moedsr_backend', {server.url!r}, token_file={token_file!r})\n"
        "    call(cmd, 'moedsr_predict', 'prot', frames=400)\n"
    )
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    child = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}
    )
    deadline = time.monotonic() + 60
    while not (server.jobs and server.jobs["job0"]["status"]["frames_done"] > 2):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.05)
    child.kill()
    child.wait()
    assert not [line for line in server.requests if "cancel" in line or "DELETE" in line]
    server.behaviour["pause"] = 0.0
    with open_pymol() as cmd:
        call(cmd, "moedsr_fetch", next(iter(load_labels())))
        assert cmd.count_states("prot_surf") == 400


def test_a_job_that_is_arriving_is_not_fetched_a_second_time(cmd, server, token_file):
    call(cmd, "moedsr_backend", server.url, token_file=token_file)
    call(cmd, "moedsr_predict", "prot", frames=1)
    Workspace.of(cmd).jobs["x"] = types.SimpleNamespace(  # type: ignore[assignment]
        id="job0", surface=types.SimpleNamespace(name="x")
    )
    with pytest.raises(CmdException, match="job job0 is arriving in 'x' already"):
        call(cmd, "moedsr_fetch", "job0")


def test_damaged_files_of_the_configuration_hold_nothing(config):
    config.mkdir()
    (config / "jobs.json").write_text('{"jobs": {"a": {"backend": 1}, "b": 3}}')
    (config / "settings.json").write_text('{"servers": [3, {"url": 1}, {"url": "https://a"}]}')
    assert load_labels() == {}
    assert known_servers() == [Server("https://a")]
