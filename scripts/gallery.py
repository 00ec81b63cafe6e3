"""Make the pictures of docs/gallery.md and the movie of docs/first.md.

Usage: ``python scripts/gallery.py``. A PyMOL without a window predicts interleukin-2, which comes
with PyMOL, and traces rays.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymol
import pymol2

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import moedsr_pymol  # noqa: E402

STRUCTURE = Path(pymol.__file__).parent / "data" / "demo" / "il2.pdb"
WIDTH, HEIGHT = 560, 420
SITE = "resi 38+42+45+62+65+69+72"
"""Residues that small molecules bind to (Arkin et al. 2003, PNAS 100, 1603)."""


def motion(cmd: Any) -> None:
    """Where the surface has gone by the middle of the movie."""
    cmd.show("cartoon", "il2")
    cmd.color("grey70", "il2")
    cmd.set("cgo_transparency", 0.25, "il2_surf")
    cmd.enable("il2_surf")
    cmd.frame(60)


def fluctuation(cmd: Any) -> None:
    """How much each point moves."""
    cmd.do("moedsr_color il2_surf, fluctuation")
    cmd.enable("il2_surf")
    cmd.frame(1)


def residues(cmd: Any) -> None:
    """The same, told by residue, as the thickness of a tube."""
    cmd.do("moedsr_profile il2_surf, bfactor=1")
    cmd.cartoon("putty", "il2")
    cmd.show("cartoon", "il2")
    cmd.spectrum("b", "blue_white_red", "il2 and name CA")


def water(cmd: Any) -> None:
    """What the centres of waters reach, around the surface itself."""
    cmd.do("moedsr_predict il2, frames=2, level=1.4, name=reach, color=marine")
    cmd.do("moedsr_color il2_surf, white")
    cmd.set("cgo_transparency", 0.65, "reach")
    cmd.set("cgo_transparency", 0.0, "il2_surf")
    cmd.enable("il2_surf")
    cmd.enable("reach")
    cmd.frame(1)


def site(cmd: Any) -> None:
    """A groove that small molecules bind to, with its side chains."""
    cmd.do("moedsr_color il2_surf, motion")
    cmd.set("cgo_transparency", 0.4, "il2_surf")
    cmd.enable("il2_surf")
    cmd.show("sticks", f"il2 and {SITE} and not hydro")
    cmd.color("yellow", f"il2 and {SITE} and elem C")
    cmd.orient(f"il2 and {SITE}")
    cmd.zoom(f"il2 and {SITE}", 6)
    cmd.frame(40)


PICTURES: tuple[Callable[[Any], None], ...] = (motion, fluctuation, residues, water, site)


def main() -> None:
    """Predict and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--frames", type=int, default=100)
    options = parser.parse_args()
    with pymol2.PyMOL() as instance:
        cmd = instance.cmd
        moedsr_pymol.register(cmd)
        cmd.load(str(STRUCTURE), "il2")
        cmd.bg_color("white")
        cmd.set("ray_shadows", 0)
        cmd.set("ray_opaque_background", 1)
        cmd.do(f"moedsr_predict il2, frames={options.frames}")
        for draw in PICTURES:
            cmd.hide("everything", "il2")
            cmd.disable("il2_surf")
            cmd.enable("il2")
            cmd.orient("il2")
            cmd.zoom("il2", 1)
            draw(cmd)
            cmd.png(str(options.out / f"gallery-{draw.__name__}.png"), WIDTH, HEIGHT, ray=1)
            cmd.delete("reach")
            cmd.cartoon("automatic", "il2")
        film(cmd, options.out / "movie.gif", options.frames)


def film(cmd: Any, path: Path, frames: int) -> None:
    """Every third frame, so that the file stays small."""
    cmd.hide("everything", "il2")
    cmd.do("moedsr_color il2_surf, motion")
    cmd.set("cgo_transparency", 0.0, "il2_surf")
    cmd.orient("il2")
    cmd.zoom("il2", 1)
    cmd.mset(" ".join(str(k) for k in range(1, frames + 1, 3)))
    cmd.do(f"moedsr_movie {path}, width=320, height=240, ray=1, fps=12")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
