"""The panel in a real PyMOL window on a virtual display.

``MOEDSR_WINDOW_PYTHON`` names another Python with PyMOL, to try another Qt binding.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymol_support import child_environment
from test_plugin_window import REPOSITORY, VirtualDisplay, pytestmark  # noqa: F401

FRAMES = 100

# Runs inside the window, as a chain of steps: a function is called, a string is waited for.
SCRIPT = """
import json, os, signal, sys, time
from pymol import cmd
from pymol.gui import get_qtwindow
from pymol.Qt import PYQT_NAME, QtCore, QtGui, QtWidgets
import moedsr_pymol
from moedsr_pymol import backends, window
from moedsr_pymol.local_backend import LocalBackend
from moedsr_pymol.panel.choices import Choices
from moedsr_pymol.workspace import Workspace

backends.BACKENDS["local"] = local = LocalBackend(sys.executable, "pymol_support")
kept = Choices()
kept.set("floating", True)  # a docked one makes PyMOL's picture anew, which no Xvfb survives
kept.keep()
report = {"binding": PYQT_NAME, "beats": [], "cpu": []}

def jobs():
    return Workspace.of(cmd).jobs

def frames():
    return max([len(job.surface.frames) for job in jobs().values()], default=0)

def view():
    return panel.predict.jobs

def open_panel():
    global panel
    cmd.fab("ACDEFGHIKLMNPQRSTVWY", "prot", chain="A")
    cmd.hide("everything", "prot")
    cmd.zoom("prot", 20)
    cmd.do("moedsr_panel")
    panel = cmd._pymol._moedsr_panel
    report["tabs"] = [panel.tabs.tabText(k) for k in range(panel.tabs.count())]
    beat.start(5)

def press():
    view().action.click()

def predict():
    panel.predict.frames.setValue(FRAMES)
    press()

def note_end():
    beat.stop()
    report["states"] = cmd.count_states("prot_surf")
    report["said"] = view().said.text()
    report["played"] = cmd.get_movie_playing()

def log_a_session():
    panel.open_tab("predict")
    panel.predict.name.setText("short")
    panel.predict.frames.setValue(6)
    cmd.log_open(OUT + "/session.pml")
    press()

def visit_tabs():
    report["painted"] = {}
    for k in range(panel.tabs.count()):
        panel.tabs.setCurrentIndex(k)
        QtWidgets.QApplication.processEvents()
        picture = panel.tabs.widget(k).grab().toImage()
        report["painted"][panel.tabs.tabText(k)] = colours_of(picture)

def colours_of(picture):
    size = picture.width(), picture.height()
    return len({picture.pixel(x, y) for x in range(0, size[0], 3) for y in range(0, size[1], 3)})

def colour():
    panel.open_tab("look")
    panel.desk.watch.look()
    panel.look.surface.setCurrentText("short")
    panel.look.mode.setCurrentIndex(panel.look.mode.findData("fluctuation"))
    panel.look.mode.activated.emit(0)

def replay():
    cmd.log_close()
    report["log"] = open(OUT + "/session.pml").read()
    cmd.mstop()
    cmd.delete("short")
    cmd.do("@" + OUT + "/session.pml")
    surface = Workspace.of(cmd).surfaces.get("short")
    report["again"] = cmd.count_states("short") if surface else 0
    report["mode"] = surface.coloring.mode if surface else ""
    cmd.mstop()

def close_panel():
    report["before"] = frames()
    panel.close()

def reopen():
    report["closed"] = frames()
    cmd.do("moedsr_panel")
    report["button"] = view().action.text()
    press()

def short_predict():
    panel.predict.name.setText("")
    panel.predict.frames.setValue(60)
    panel.open_tab("predict")
    press()

def kill_server():
    os.environ["FAKE_BACKEND"] = json.dumps({"refuses_to_start": "no memory left"})
    os.kill(local.pid, signal.SIGKILL)

def note_death():
    report["title"] = panel.notice.title.text()
    report["details"] = panel.notice.details.toPlainText()
    report["kept"] = cmd.count_states("prot_surf")

def quit():
    report["passed"] = "end"
    finish()

def finish():
    with open(OUT + "/report.json", "w") as file:
        json.dump(report, file)
    os._exit(0)

def tick():
    report["beats"].append(time.thread_time())

STEPS = [
    open_panel, predict, "frames() > 2", "view().job is None", note_end, visit_tabs,
    log_a_session, "frames() == 0 and view().job is None", colour, "not window._running", replay,
    short_predict, "frames() > 3", close_panel, "frames() > report['before'] + 3", reopen,
    "view().job is None", short_predict, "frames() > 3", kill_server,
    "panel.notice.isVisible()", note_death, quit,
]
begin = time.monotonic()

def go_on():
    step = STEPS[0]
    report["passed"] = getattr(step, "__name__", step)
    if time.monotonic() - begin > 240:
        finish()
    try:
        done = eval(step) if isinstance(step, str) else (step(), True)[1]
    except Exception as error:
        report["error"] = repr(error)
        finish()
    if done:
        STEPS.pop(0)
    QtCore.QTimer.singleShot(20, go_on)

beat = QtCore.QTimer()
beat.timeout.connect(tick)
QtCore.QTimer.singleShot(1000, go_on)
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a window reports in which the panel was used."""
    return use_panel(
        tmp_path_factory.mktemp("panel"), os.environ.get("MOEDSR_WINDOW_PYTHON", sys.executable)
    )


def use_panel(folder: Path, python: str) -> dict[str, Any]:
    """Open a window with a panel, and use it.

    Args:
        folder: Where its files go.
        python: Interpreter with PyMOL and a Qt binding.
    """
    script = folder / "use.py"
    script.write_text(f"OUT, FRAMES = {str(folder)!r}, {FRAMES}\n" + SCRIPT, encoding="utf-8")
    environment = {**os.environ, **child_environment(pause=0.02, segments=400)}
    environment["PYTHONPATH"] += os.pathsep + str(REPOSITORY)
    environment |= {"HOME": str(folder), "QT_QPA_PLATFORM": "xcb", "LIBGL_ALWAYS_SOFTWARE": "1"}
    environment["MOEDSR_CONFIG_DIR"] = str(folder / "config")
    with VirtualDisplay() as display:
        environment["DISPLAY"] = display
        done = subprocess.run(
            [python, "-m", "pymol", "-qk", str(script)],
            env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    report = folder / "report.json"
    if not report.is_file() and "could not connect to display" in done.stderr:
        pytest.skip("this Qt has no X11 libraries")
    assert report.is_file(), done.stdout + done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    assert found["passed"] == "end", (found["passed"], found.get("error"), done.stdout, done.stderr)
    return found


def test_the_whole_prediction_arrives_and_plays(seen):
    assert seen["states"] == FRAMES
    assert seen["said"].startswith(f"{FRAMES} frames in ")
    assert seen["played"] == 1


def test_the_event_loop_never_rests_long(seen):
    work = np.diff(seen["beats"])
    assert len(work) > 100
    assert np.percentile(work, 95) < 0.1  # measured: see docs/panel.md
    assert work.max() < 0.25


def test_every_tab_is_painted(seen):
    assert seen["tabs"] == ["Predict", "Look", "Measure", "Jobs", "Settings"]
    assert all(colours > 5 for colours in seen["painted"].values()), seen["painted"]


def test_pymols_log_of_the_session_makes_the_same_surface_again(seen):
    assert "moedsr_predict prot, frames=6, name=short" in seen["log"]
    assert "moedsr_color short, fluctuation" in seen["log"]
    assert seen["again"] == 6
    assert seen["mode"] == "fluctuation"


def test_a_panel_closed_in_mid_job_finds_it_again(seen):
    assert seen["closed"] > seen["before"]
    assert seen["button"] == "Cancel"


def test_a_server_that_dies_is_told_and_its_frames_are_kept(seen):
    assert seen["title"] == "The computation ended by itself"
    assert "no memory left" in seen["details"]
    assert seen["kept"] > 3
