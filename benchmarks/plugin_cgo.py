"""What it costs to show 100 states of 14,000 triangles, beside PyMOL's own loading.

Run: ``python benchmarks/plugin_cgo.py [states]``. "PyMOL's own" is ``cmd.load_cgo`` of plain
triangles whose lists are ready; "ours" includes laying out the strips and building every list.

``python benchmarks/plugin_cgo.py --each`` prints what single states of 18,600 triangles take, in
three forms: strips; strips where an empty last state was loaded first, so that PyMOL's array of
states never grows; and one instruction for each triangle.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pymol2

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from pymol_support import ball  # noqa: E402
from test_plugin_cgo import soup  # noqa: E402

from moedsr_pymol.cgo import Layout, load_state  # noqa: E402


def timed(work: Callable[[], Any]) -> float:
    """Seconds that some work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main(states: int = 100) -> None:
    """Print each part's seconds, and the ratio."""
    vertices, faces = ball(84, 84)
    colors = 0.5 + 0.5 * vertices
    plain = soup(vertices, vertices, colors, faces)
    layout = Layout.of(faces)
    floats = layout.floats(vertices, vertices, colors)
    with pymol2.PyMOL() as instance:
        cmd = instance.cmd
        theirs = timed(
            lambda: [cmd.load_cgo(plain, "plain", k, zoom=0) for k in range(1, states + 1)]
        )
        cmd.delete("all")
        load = timed(lambda: [load_state(floats, "ours", k, cmd) for k in range(1, states + 1)])
        repaint = timed(lambda: [load_state(floats, "ours", k, cmd) for k in range(1, states + 1)])
    lay_out = timed(lambda: Layout.of(faces))
    build = timed(lambda: [layout.floats(vertices, vertices, colors) for _ in range(states)])
    ours = lay_out + build + load
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    share = len(floats) / len(faces)
    print(f"{states} states of {len(faces)} triangles; {share:.1f} floats per triangle")
    print(f"PyMOL's own loading of plain triangles  {theirs:6.2f} s")
    print(f"ours: strips {lay_out:.3f} + lists {build:.2f} + loading {load:.2f} = {ours:6.2f} s")
    print(f"ratio {ours / theirs:.2f}; drawing all anew in other colours {repaint + build:.2f} s")


def each(states: int = 100) -> None:
    """Print the processor milliseconds of loading single states."""
    vertices, faces = ball(96, 97)
    colors = 0.5 + 0.5 * vertices
    strips = Layout.of(faces).floats(vertices, vertices, colors)
    corners = [part[faces].reshape(len(faces), 9) for part in (vertices, vertices, colors)]
    whole = np.hstack([np.full((len(faces), 1), 8.0), *corners]).ravel().tolist()
    shown = [k for k in (1, 32, 33, 64, 65, 100) if k <= states]
    print(f"{len(faces)} triangles; states {shown}")
    for name, floats, room in (
        ("strips", strips, False), ("room made first", strips, True), ("triangles", whole, False)
    ):  # fmt: skip
        with pymol2.PyMOL() as instance:
            if room:
                instance.cmd.load_cgo([], "each", states, zoom=0)
            taken = []
            for k in range(1, states + 1):
                begin = time.process_time()
                load_state(floats, "each", k, instance.cmd)
                taken.append(1000 * (time.process_time() - begin))
        print(f"{name:16}", " ".join(f"{taken[k - 1]:6.1f}" for k in shown))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--each"]:
        each(*map(int, sys.argv[2:]))
    else:
        main(*map(int, sys.argv[1:]))
