"""Photograph a real PyMOL window that plays a prediction: the picture in the README.

Needs a display, which may be virtual::

    xvfb-run -a -s "-screen 0 1400x900x24" python scripts/window_picture.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PICTURE = REPOSITORY / "docs" / "images" / "window.png"
FRAME = 30

INSIDE = """
import os, sys
import pymol
from pymol import cmd
from pymol.gui import get_qtwindow
from pymol.Qt import QtCore
import moedsr_pymol
from moedsr_pymol.workspace import Workspace

def begin():
    cmd.load(os.path.join(os.path.dirname(pymol.__file__), "data", "demo", "il2.pdb"), "il2")
    cmd.hide("everything")
    cmd.bg_color("white")
    cmd.orient("il2")
    cmd.zoom("il2", 2)
    cmd.do("moedsr_predict il2, frames=40")
    timer.start(300)

def look():
    surfaces = Workspace.of(cmd).surfaces
    if Workspace.of(cmd).jobs or "il2_surf" not in surfaces:
        return
    timer.stop()
    cmd.frame(%d)
    QtCore.QTimer.singleShot(3000, photograph)

def photograph():
    done = get_qtwindow().grab().save(%r)
    cmd.quit(0 if done else 1)

timer = QtCore.QTimer()
timer.timeout.connect(look)
QtCore.QTimer.singleShot(3000, begin)  # a window must have been painted first
"""


def run_in_window(text: str) -> int:
    """Run a script in a PyMOL window that knows nothing of this user.

    Returns:
        PyMOL's exit code.
    """
    with tempfile.TemporaryDirectory() as home:
        script = Path(home) / "play.py"
        script.write_text(text, encoding="utf-8")
        environment = {**os.environ, "HOME": home, "LIBGL_ALWAYS_SOFTWARE": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])
        )
        for name in _OF_THE_USER:
            environment.pop(name, None)
        command = [sys.executable, "-m", "pymol", "-qk", str(script)]
        return subprocess.run(command, env=environment, check=False).returncode


_OF_THE_USER = (
    "QT_QPA_PLATFORM", "MOEDSR_CONFIG_DIR", "MOEDSR_JOBS_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME",
)  # fmt: skip


def main() -> int:
    """Take the picture; returns PyMOL's exit code."""
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    return run_in_window(INSIDE % (FRAME, str(PICTURE)))


if __name__ == "__main__":
    sys.exit(main())
