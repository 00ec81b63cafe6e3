"""The installation of the core, by a stand-in for the installer of packages."""

from __future__ import annotations

import json
import os
import sys
import threading
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pymol import CmdException
from pymol_support import backend_double, call, is_alive, open_pymol, wait_until
from test_plugin_files import build_script

from moedsr_pymol.errors import UserError
from moedsr_pymol.install import Installation, installation_plan, places, plan
from moedsr_pymol.install.places import environments_folder, installed, python_in
from moedsr_pymol.settings import load_settings, save_settings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a Unix script")

UV = """#!{python}
import json, os, pathlib, sys, time
told = pathlib.Path({told!r})
with told.open("a") as file:
    file.write(json.dumps([sys.argv[1:], os.environ.get("UV_INDEX"), os.getpid()]) + "\\n")
if sys.argv[1] == "venv":
    place = pathlib.Path(sys.argv[-1]) / "bin"
    place.mkdir(parents=True)
    (place / "python").write_text({trial!r})
    (place / "python").chmod(0o755)
    sys.exit(0)
print("Resolved 55 packages", flush=True)
source = pathlib.Path(next(a for a in sys.argv if a.endswith("[server]"))[:-8])
assert (source / "setup.py").is_file() and (source / "moedsr_core" / "weights").is_dir()
pathlib.Path(os.environ["UV_CACHE_DIR"]).mkdir()
if {act!r} == "hang":
    time.sleep(60)
if {act!r} == "fail":
    print("error: Failed to fetch: `torch`", file=sys.stderr)
    print("  Caused by: no route to host", file=sys.stderr)
    sys.exit(2)
"""


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A home of its own, and a way to put an installer on the path."""
    monkeypatch.setenv("MOEDSR_ENV_DIR", str(tmp_path / "envs"))
    monkeypatch.setenv("MOEDSR_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.delenv("UV_TORCH_BACKEND", raising=False)
    monkeypatch.delenv("UV_INDEX", raising=False)
    monkeypatch.setattr(plan, "has_nvidia", lambda: False)

    def with_uv(act: str = "work", trial: str = "exit 0") -> Path:
        told = tmp_path / "told"
        uv = tmp_path / "bin" / "uv"
        uv.parent.mkdir(exist_ok=True)
        script = f"#!/bin/sh\n{trial}\n"
        uv.write_text(UV.format(python=sys.executable, told=str(told), act=act, trial=script))
        uv.chmod(0o755)
        monkeypatch.setenv("PATH", f"{uv.parent}{os.pathsep}{os.environ['PATH']}")
        return told

    return with_uv


def run(installation: Installation) -> Installation:
    while not installation.over:
        installation.step(0.1)
    return installation


def calls(told: Path) -> list[list]:
    return [json.loads(line) for line in told.read_text().splitlines()]


def test_an_environment_that_was_tried_is_used_from_then_on(computer, monkeypatch):
    told = computer()
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://mirror.lab.example/simple")
    done = run(Installation(installation_plan()))
    assert (done.state, done.error) == ("done", None)
    folder = installed()
    assert folder is not None and load_settings()["python"] == str(python_in(folder))
    assert [path.name for path in folder.iterdir()] == ["env"]
    (first, _, _), (second, mirror, _) = calls(told)
    assert first[:3] == ["venv", "--python", ">=3.10,<3.14"]
    assert second[-2:] == ["--torch-backend", "cpu"] and "--constraint" in second
    assert mirror == "https://mirror.lab.example/simple"
    assert "Resolved 55 packages" in done.log


def test_a_gpu_gets_its_own_build_unless_the_user_has_chosen_one(computer, monkeypatch):
    told = computer()
    monkeypatch.setattr(plan, "has_nvidia", lambda: True)
    assert installation_plan("no").torch_backend == "cpu"
    run(Installation(installation_plan()))
    assert calls(told)[-1][0][-2:] == ["--torch-backend", "auto"]
    monkeypatch.setenv("UV_TORCH_BACKEND", "")
    run(Installation(installation_plan()))
    assert "--torch-backend" not in calls(told)[-1][0]


@pytest.mark.parametrize(
    ("act", "trial", "sentence"),
    [
        ("fail", "exit 0", "downloading and installing failed: error: Failed to fetch: `torch`"),
        ("work", "echo ImportError: no libc10.so; exit 1", "trying it failed: ImportError: no lib"),
    ],
)
def test_what_fails_leaves_nothing_and_is_told_in_one_sentence(computer, act, trial, sentence):
    computer(act, trial)
    save_settings(python="/as/before")
    failed = run(Installation(installation_plan()))
    assert failed.state == "failed" and sentence in str(failed.error)
    assert str(failed.error).endswith("nothing was kept") and "\n" not in str(failed.error)
    assert list(environments_folder().iterdir()) == []
    assert load_settings()["python"] == "/as/before"


def test_a_file_in_the_place_of_the_folder_is_named(computer, tmp_path, monkeypatch):
    computer("work", "exit 0")
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    plan = installation_plan()
    monkeypatch.setenv("MOEDSR_ENV_DIR", str(tmp_path / "taken"))
    failed = run(Installation(plan))
    assert str(failed.error).endswith(f" in {tmp_path / 'taken'}; nothing was kept")


def test_a_cancelled_installation_ends_its_programs_and_leaves_nothing(computer):
    told = computer("hang")
    installation = Installation(installation_plan())
    threading.Timer(0.0, run, [installation]).start()
    assert wait_until(lambda: "Resolved 55 packages" in installation.log)
    installation.cancel()
    assert wait_until(lambda: installation.over)
    assert installation.state == "cancelled" and installation.error is None
    assert list(environments_folder().iterdir()) == [] and not load_settings()["python"]
    assert wait_until(lambda: not is_alive(calls(told)[-1][2]))


def test_a_new_environment_takes_the_place_of_the_old_one_and_of_left_overs(computer):
    computer()
    run(Installation(installation_plan()))
    first = installed()
    dead, living = (environments_folder() / name for name in ("dead", "living"))
    for folder, owner in ((dead, 2**22 + 1), (living, os.getppid())):
        folder.mkdir()
        (folder / places.OWNER).write_text(str(owner))
    run(Installation(installation_plan()))
    assert installed() != first
    assert set(environments_folder().iterdir()) == {installed(), living}


def test_without_space_pip_or_sources_nothing_begins(computer, monkeypatch, tmp_path):
    monkeypatch.setattr(plan.shutil, "which", lambda name: None)
    monkeypatch.setattr(plan, "own_interpreters", lambda: iter([str(tmp_path / "python")]))
    with pytest.raises(UserError, match="no Python with pip was found"):
        installation_plan()
    monkeypatch.undo()
    monkeypatch.setattr(plan, "free_mb", lambda folder: 1000.0)
    with pytest.raises(UserError, match=r"needs 1,600 MB in .*, where 1,000 MB are free; make"):
        installation_plan("no")
    monkeypatch.setattr(plan, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    with pytest.raises(UserError, match="built without moedsr's core"):
        installation_plan("no")


def test_the_command_tells_its_plan_installs_and_removes(computer, monkeypatch, capsys):
    computer()
    with backend_double(monkeypatch), open_pymol("") as cmd:
        call(cmd, "moedsr_install", "plan", quiet=0)
        assert not environments_folder().exists()
        text = capsys.readouterr().out
        assert "About 1 GB on the disk" in text and str(environments_folder()) in text
        call(cmd, "moedsr_install", quiet=0)
        assert "installed and tried" in capsys.readouterr().out and installed()
        call(cmd, "moedsr_install", "remove")
        assert list(environments_folder().iterdir()) == [] and not load_settings()["python"]
        for action, sentence in (
            ("remove", "there is no environment of moedsr_install"),
            ("cancel", "no installation to cancel"),
            ("fly", "action must be one of start, plan, cancel, remove, got 'fly'"),
        ):
            with pytest.raises(CmdException, match=sentence):
                call(cmd, "moedsr_install", action)
        computer("fail")
        with pytest.raises(CmdException, match="Failed to fetch"):
            call(cmd, "moedsr_install")


def test_the_zip_holds_all_that_the_core_is_built_of(tmp_path):
    root = Path(__file__).resolve().parents[1]
    with zipfile.ZipFile(build_script().build(tmp_path)) as plugin:
        packed = zipfile.ZipFile(BytesIO(plugin.read("moedsr_pymol/core.zip")))
    kept = {path for path in (root / "moedsr_core").rglob("*") if path.suffix == ".py"}
    kept |= {path for path in (root / "moedsr_core" / "weights").rglob("*") if path.is_file()}
    kept |= {root / "setup.py", root / "README.md", root / "constraints.txt"}
    assert kept <= {root / name for name in packed.namelist()}
    assert packed.read("setup.py") == (root / "setup.py").read_bytes()


def test_a_folder_that_cannot_be_written_is_named(computer, monkeypatch):
    computer()
    monkeypatch.setattr(plan.os, "access", lambda *_: False)
    with pytest.raises(UserError, match=r"cannot be made, for .* is closed to you"):
        installation_plan("no")
