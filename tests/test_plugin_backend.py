"""The backend's process: found, started, kept, restarted, and gone with its parent."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest
from pymol_support import call, child_environment, is_alive, open_pymol, wait_until

from moedsr_pymol import local_backend as backend_module
from moedsr_pymol import receiver
from moedsr_pymol.errors import BackendError
from moedsr_pymol.local_backend import LocalBackend, find_python
from moedsr_pymol.settings import load_settings, save_settings

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOEDSR_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.delenv("MOEDSR_PYTHON", raising=False)


def fake_child(monkeypatch: pytest.MonkeyPatch, **behaviour: Any) -> LocalBackend:
    for key, value in child_environment(**behaviour).items():
        monkeypatch.setenv(key, value)
    return LocalBackend(sys.executable, "pymol_support")


def test_the_server_is_kept_between_jobs_and_ended_on_request(monkeypatch):
    backend = fake_child(monkeypatch)
    try:
        first = backend.client().health()["pid"]
        assert backend.client().health()["pid"] == first == backend.pid
    finally:
        backend.stop()
    assert not backend.running and backend.pid is None
    assert wait_until(lambda: not is_alive(first))


def test_a_dead_server_is_replaced(monkeypatch):
    backend = fake_child(monkeypatch)
    try:
        first = backend.client().health()["pid"]
        os.kill(first, signal.SIGTERM)
        assert wait_until(lambda: not backend.running)
        assert backend.client().health()["pid"] != first
    finally:
        backend.stop()


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        ({"refuses_to_start": "no module named uvicorn"}, "did not start: no module named uvicorn"),
        ({"mute": True}, "said nothing"),
        ({"health": {"protocol": 3}}, "speaks protocol 3, this plugin 2; update this plugin"),
        ({"health": {"version": "0.3.1"}}, "is moedsr 0.3.1, this plugin needs 0.1.0 or later"),
        ({"health": {"version": "0.0.9"}}, "is moedsr 0.0.9"),
        ({"health": {"name": "nginx"}}, "not a moedsr server"),
    ],
)
def test_a_server_that_does_not_fit_is_refused_and_not_left_behind(
    monkeypatch, behaviour, sentence
):
    monkeypatch.setattr(backend_module, "START_S", 2.0 if "mute" in behaviour else 60.0)
    backend = fake_child(monkeypatch, **behaviour)
    with pytest.raises(BackendError, match=sentence):
        backend.client()
    assert not backend.running


def test_the_server_dies_with_a_parent_that_was_killed(monkeypatch, tmp_path):
    program = (
        "import sys, time\n"
        "from moedsr_pymol.local_backend import LocalBackend\n"
        "backend = LocalBackend(sys.executable, 'pymol_support')\n"
        "backend.client()\n"
        "print(backend.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, **child_environment()}
    environment["PYTHONPATH"] += os.pathsep + str(REPOSITORY)
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment
    )
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not is_alive(child))


def test_the_token_stays_off_the_command_line_and_out_of_the_settings(monkeypatch):
    backend = fake_child(monkeypatch)
    try:
        token = backend.client().address.token
        shown = subprocess.run(
            ["ps", "-ww", "-o", "args=", "-p", str(backend.pid)], capture_output=True, text=True
        ).stdout
    finally:
        backend.stop()
    assert "--parent-pipe" in shown and token not in shown and len(token) >= 32
    assert token not in json.dumps(load_settings())


def test_the_interpreter_is_the_setting_then_the_variable_then_pymols_own(monkeypatch, tmp_path):
    held = {sys.executable, str(tmp_path / "a"), str(tmp_path / "b")}
    monkeypatch.setattr(backend_module, "missing_from", lambda path: "" if path in held else "all")
    for name in ("a", "b"):
        (tmp_path / name).touch()
    assert find_python() == sys.executable
    monkeypatch.setenv("MOEDSR_PYTHON", str(tmp_path / "a"))
    assert find_python() == str(tmp_path / "a")
    save_settings(python=str(tmp_path / "b"))
    assert find_python() == str(tmp_path / "b")


def test_a_launcher_is_not_taken_for_python(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(sys, "executable", str(tmp_path / "PyMOL"))
    (tmp_path / "PyMOL").touch()
    monkeypatch.setattr(backend_module, "missing_from", lambda path: asked.append(path) or "all")
    with pytest.raises(BackendError, match=r"no Python that holds moedsr .* type .moedsr_install"):
        find_python()
    assert asked and str(tmp_path / "PyMOL") not in asked


@pytest.mark.parametrize("lacking", ["moedsr_core", "fastapi", "uvicorn"])
def test_a_python_without_the_core_or_its_server_is_refused_by_name(monkeypatch, lacking):
    modules = {**dict.fromkeys(backend_module.NEEDED, "json"), lacking: "no_such_module"}
    monkeypatch.setattr(backend_module, "NEEDED", tuple(modules.values()))
    with pytest.raises(BackendError, match=r"does not hold no_such_module; type .moedsr_install"):
        backend_module.check_python(sys.executable)


def test_a_program_that_is_no_python_is_refused(monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    with pytest.raises(BackendError, match="does not hold moedsr_core"):
        backend_module.check_python(str(program))


def test_the_core_and_its_server_are_found_in_this_python():
    assert backend_module.NEEDED == ("moedsr_core", "fastapi", "uvicorn")
    assert backend_module.missing_from(sys.executable) == ""


class SlowBackend:
    """A backend whose start lasts until it is let go."""

    name, running, stopped = "local", False, False

    def __init__(self) -> None:
        self.go, self.asked, self.begun = threading.Event(), threading.Event(), threading.Event()

    def client(self, patience: Any = None) -> Any:
        self.asked.set()
        self.go.wait(30)
        return types.SimpleNamespace(close=self.begun.set)

    def last_words(self) -> str:
        return ""


def test_a_start_that_lasts_is_told_and_can_be_cancelled(monkeypatch):
    monkeypatch.setattr(receiver, "SAY_S", 0.02)
    backend, asked = SlowBackend(), []
    stream = receiver.Receiver(backend, lambda client: asked.append(client) or "job")
    stream.start()
    told = [stream.events.get(timeout=30) for _ in range(3)]
    assert [kind for kind, _ in told] == ["progress"] * 3
    assert [fields["stage"] for _, fields in told[:2]] == [
        "starting the backend", "starting the backend, 0 s"
    ]  # fmt: skip
    stream.stop()
    backend.go.set()
    assert backend.begun.wait(30)  # the connection is closed unused
    assert not asked


def test_a_child_that_lives_is_waited_for(monkeypatch):
    monkeypatch.setattr(backend_module, "LOOK_S", 0.01)
    answers: queue.Queue[bytes] = queue.Queue()
    threading.Timer(0.1, answers.put, [b"late"]).start()
    assert backend_module._first(answers) == b"late"
    monkeypatch.setattr(backend_module, "START_S", 0.05)
    with pytest.raises(queue.Empty):
        backend_module._first(answers)


def test_a_module_in_the_users_folder_does_not_shadow_the_servers(monkeypatch, tmp_path):
    (tmp_path / "socketserver.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    backend = fake_child(monkeypatch)
    try:
        assert backend.client().health()["protocol"] == 2
    finally:
        backend.stop()


def test_settings_are_kept_and_a_damaged_file_gives_the_defaults(tmp_path):
    save_settings(python="/opt/python")
    assert load_settings() == {"python": "/opt/python", "backend": "", "servers": []}
    (tmp_path / "config" / "settings.json").write_text("{")
    assert load_settings() == {"python": "", "backend": "", "servers": []}
    assert [path.name for path in (tmp_path / "config").iterdir()] == ["settings.json"]


def test_the_backend_command_starts_reports_and_stops(monkeypatch):
    from moedsr_pymol import backends

    backend = fake_child(monkeypatch)
    monkeypatch.setitem(backends.BACKENDS, "local", backend)
    with open_pymol("") as cmd:
        assert call(cmd, "moedsr_backend")["running"] == "no"
        started = call(cmd, "moedsr_backend", "local")
        assert started["running"] == "yes" and started["pid"] == backend.pid
        assert [model["name"] for model in call(cmd, "moedsr_models")] == ["fake"]
        assert call(cmd, "moedsr_backend", "stop")["running"] == "no"
    assert not backend.running
