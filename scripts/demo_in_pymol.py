"""The demo's part inside PyMOL: ``python -m pymol -cq demo_in_pymol.py -- STEP ORDER.json``.

Standard library and PyMOL only. What it reports are lines ``@demo {json}`` on standard output;
it ends when its standard input closes, so that it never outlives the demo.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pymol import cmd

PLUGIN = "pmg_tk.startup.moedsr_pymol"
OBJECT = "prot_surf"
LOOK_EVERY_S = 0.1
MARGIN = 7.0
"""From the outermost atom centres to the picture's edge: atom radius and room to move [Å]."""
STILL_TRANSPARENCY = 0.2
"""Lets the backbone be seen; without it, as in the animation, pictures take a third as long."""


def report(kind: str, **fields: Any) -> None:
    """Tell the demo something."""
    sys.stdout.write("\n@demo " + json.dumps({"kind": kind, **fields}) + "\n")
    sys.stdout.flush()


def end_with_parent() -> None:
    """Leave as soon as nobody holds the other end of standard input."""

    def watch() -> None:
        while os.read(0, 1):  # unbuffered: a reader blocked here must not hold up PyMOL's end
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def install(order: dict[str, Any]) -> None:
    """Install the zip with PyMOL's own installer, answering its questions with yes."""
    from pymol.plugins import installation, legacysupport

    said: list[tuple[str, str]] = []

    def show(title: str, message: str, **_: Any) -> None:
        said.append((title, message))

    legacysupport.tkMessageBox.showinfo = show
    legacysupport.tkMessageBox.askyesno = lambda title, message, **_: True
    folder = installation.get_default_user_plugin_path()
    installation.installPluginFromFile(order["archive"], parent=False, plugdir=folder)
    title, message = said[-1] if said else ("Error", "PyMOL's installer said nothing.")
    if title != "Success":
        raise RuntimeError(message)
    report("installed", folder=folder)


def play(order: dict[str, Any]) -> None:
    """Load the plugin as PyMOL does, predict, and keep session and pictures."""
    import pymol.plugins

    pymol.plugins.initialize(-1)
    if PLUGIN not in sys.modules:
        raise RuntimeError("PyMOL did not load the installed plugin")
    cmd.load(order["structure"], "prot")
    timing = predict(order["frames"])
    report("predicted", **timing)
    arrange()
    cmd.save(str(Path(order["out"]) / "session.pse"))
    report("saved")
    pictures(order)


def predict(frames: int) -> dict[str, Any]:
    """Type the command; watch, from a thread that leaves PyMOL alone, the frames come in."""
    workspace = cmd._pymol
    begin, first, done = time.monotonic(), [0.0], threading.Event()

    def watch() -> None:
        seen = 0
        while not done.wait(LOOK_EVERY_S):
            count = len(shown_frames(workspace))
            if count > seen:
                first[0] = first[0] or time.monotonic() - begin
                report("frame", done=count)
                seen = count

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    cmd.do(f"moedsr_predict prot, frames={frames}")
    seconds = time.monotonic() - begin
    done.set()
    watcher.join()
    made = cmd.count_states(OBJECT) if OBJECT in cmd.get_names("objects") else 0
    if made != frames:
        raise RuntimeError(f"moedsr_predict gave {made} of {frames} frames")
    surface = workspace._moedsr.surfaces[OBJECT]
    return {
        "seconds_to_first_frame": round(first[0] or seconds, 2),
        "seconds": round(seconds, 2),
        "backend": surface.summary,
        "moved": [float(abs(frame.displacement).max()) for frame in surface.frames],
    }


def shown_frames(workspace: Any) -> list[Any]:
    """Frames that the plugin holds by now."""
    surfaces = getattr(getattr(workspace, "_moedsr", None), "surfaces", {})
    return surfaces[OBJECT].frames if OBJECT in surfaces else []


def arrange() -> None:
    """The view: the whole molecule, the backbone seen through the surface."""
    cmd.hide("everything", "prot")
    cmd.show("cartoon", "polymer and prot")
    cmd.color("grey70", "prot")
    cmd.set("cgo_transparency", STILL_TRANSPARENCY, OBJECT)
    for name, value in (
        ("cartoon_side_chain_helper", 1), ("ray_opaque_background", 1), ("ray_shadows", 0),
        ("depth_cue", 0), ("antialias", 1), ("specular", 0.2), ("two_sided_lighting", 1),
    ):  # fmt: skip
        cmd.set(name, value)
    cmd.bg_color("white")
    fill_picture(aspect=4 / 3)


def fill_picture(aspect: float) -> None:
    """Lay the longest axis across the picture and come as near as the surface's margin allows."""
    cmd.orient("prot")
    turn = cmd.get_view()[:9]
    spans: list[tuple[float, float]] = []
    space = {"note": lambda *x: spans.append((turned(x, turn, 0), turned(x, turn, 1)))}
    cmd.iterate_state(1, "polymer and prot", "note(x, y, z)", space=space)
    across, up = ((max(s) - min(s)) / 2 + MARGIN for s in zip(*spans, strict=True))
    low, high = cmd.get_extent("polymer and prot")
    reach = max(b - a for a, b in zip(low, high, strict=True)) / 2
    cmd.zoom("polymer and prot", max(across / aspect, up) - reach)


def turned(x: tuple[float, ...], turn: tuple[float, ...], axis: int) -> float:
    """One camera coordinate of a point, before the camera's shift."""
    return sum(x[k] * turn[3 * k + axis] for k in range(3))


def pictures(order: dict[str, Any]) -> None:
    """Ray-trace the frames that are asked for, each as (file, state, width, height)."""
    done = 0
    for kind, transparency in (("stills", STILL_TRANSPARENCY), ("movie", 0.0)):
        cmd.set("cgo_transparency", transparency, OBJECT)
        for name, state, width, height in order[kind]:
            cmd.frame(state)
            cmd.png(name, width=width, height=height, ray=1, quiet=1)
            done += 1
            report("picture", done=done)


STEPS = {"install": install, "play": play}


def main() -> None:
    """Carry out one step; what goes wrong is reported in one sentence."""
    end_with_parent()
    step, path = sys.argv[-2:]
    try:
        STEPS[step](json.loads(Path(path).read_text(encoding="utf-8")))
    except Exception as error:
        report("failed", error=str(error))
        return
    report("done")


main()
