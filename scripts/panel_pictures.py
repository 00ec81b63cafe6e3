"""Photograph every tab of the panel, with a real prediction: the pictures in docs/panel.md.

Needs a display, which may be virtual::

    xvfb-run -a -s "-screen 0 1400x900x24" python scripts/panel_pictures.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from window_picture import run_in_window

REPOSITORY = Path(__file__).resolve().parents[1]
PICTURES = REPOSITORY / "docs" / "images"

INSIDE = """
import os
import pymol
from pymol import cmd
from pymol.Qt import QtCore
import moedsr_pymol
from moedsr_pymol.panel.choices import Choices
from moedsr_pymol.workspace import Workspace

OUT, FRAMES = %r, %d

def jobs():
    return Workspace.of(cmd).jobs

def half():
    running = list(jobs().values())
    return running and 2 * len(running[0].surface.frames) >= running[0].surface.planned

def idle():
    return not jobs()

def light():
    return panel.predict.light.state == "good" and panel.predict.models.card.isEnabled()

def begin():
    global panel
    cmd.load(os.path.join(os.path.dirname(pymol.__file__), "data", "demo", "il2.pdb"), "il2")
    cmd.hide("everything")
    cmd.bg_color("white")
    cmd.orient("il2")
    cmd.zoom("il2", 2)
    kept = Choices()
    kept.set("floating", True)
    kept.keep()
    cmd.do("moedsr_panel")
    panel = cmd._pymol._moedsr_panel
    panel.predict.frames.setValue(FRAMES)

def start():
    panel.predict.jobs.press()

def predict():
    panel.predict.light.look()
    shoot("predict")

def again():
    cmd.do("moedsr_predict il2, frames=8, seed=3, spacing=1.2, name=il2_seed3")

def look():
    panel.open_tab("look")
    panel.look.surface.setCurrentIndex(panel.look.surface.findData("il2_surf"))
    cmd.do("mstop")
    cmd.frame(FRAMES // 2)

def measure():
    panel.open_tab("measure")
    panel.measure.surface.setCurrentIndex(panel.measure.surface.findData("il2_surf"))
    panel.measure.run()
    view = panel.measure.views[0]
    view.chosen = 30
    view.picked.emit(30)

def shape():
    kinds = panel.measure.kind
    kinds.setCurrentIndex(next(k for k in range(kinds.count())
                               if kinds.itemData(k).command == "moedsr_shape"))
    kinds.activated.emit(kinds.currentIndex())
    panel.measure.run()

def listed():
    return len(panel.jobs.rows) >= 2

def show_jobs():
    panel.open_tab("jobs")

def choose_job():
    panel.jobs.look()
    panel.jobs.table.setCurrentItem(panel.jobs.table.topLevelItem(0))

def shoot(name):
    panel.grab().save(OUT + "/panel-%%s.png" %% name)

def fail():
    panel.open_tab("predict")
    panel.predict.molecule.selection.setCurrentText("solvent")
    panel.predict.jobs.press()

def end():
    os._exit(0)

# What is done, one after another; a condition is waited for, a number is a pause [ms].
STEPS = [
    begin, 500, start, half, light, predict, idle, 300, again, idle, 1200,
    look, 1500, lambda: shoot("look"),
    measure, 700, lambda: shoot("measure"), shape, 700, lambda: shoot("measure-shape"),
    show_jobs, listed, choose_job, 500, lambda: shoot("jobs"),
    lambda: panel.open_tab("settings"), 1500, lambda: shoot("settings"),
    fail, 500, lambda: shoot("advice"), end,
]
CONDITIONS = (half, light, idle, listed)

def go_on():
    step = STEPS[0]
    if step in CONDITIONS:
        if step():
            STEPS.pop(0)
        QtCore.QTimer.singleShot(100, go_on)
        return
    STEPS.pop(0)
    if callable(step):
        step()
    if STEPS:
        QtCore.QTimer.singleShot(0 if callable(step) else step, go_on)

QtCore.QTimer.singleShot(3000, go_on)  # a window must have been painted first
"""


def main() -> int:
    """Run; returns PyMOL's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PICTURES, help="folder of the pictures")
    parser.add_argument("--frames", type=int, default=40, help="frames of the prediction")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    return run_in_window(INSIDE % (str(options.out), options.frames))


if __name__ == "__main__":
    sys.exit(main())
