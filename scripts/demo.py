"""The whole thing once: build the plugin, install it into PyMOL, predict, keep the pictures.

``make demo [STRUCTURE=file.pdb] [FRAMES=100]``. PyMOL runs without a window, in a throw-away
home folder, so that nothing of yours is touched but the output folder, which appears complete or
not at all.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from moedsr_core.errors import InputError, MoedsrError
from moedsr_core.gif import indexed, write_gif
from moedsr_core.structure import polymer_heavy_atoms
from moedsr_core.structure_io import read_structure
from moedsr_core.wording import counted

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent))

from build_plugin import build  # noqa: E402
from demo_child import ChildError, PyMOLChild, Screen  # noqa: E402

FRAMES = (4, 2000)
STILLS = 4
STILL_SIZE = (640, 480)
MOVIE_FRAMES = 30
MOVIE_SIZE = (320, 240)
MOVIE_MS = 100
"""Time that one frame of the animation is shown [ms]."""


class Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong with the command line."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        self.exit(2, f"{message}\n")


def shipped_structure() -> Path:
    """Interleukin-2, a protein of 126 residues, from the demo data that PyMOL comes with.

    Raises:
        InputError: If there is no PyMOL, or one without demo data.
    """
    from importlib.util import find_spec

    spec = find_spec("pymol")
    if spec is None or spec.origin is None:
        raise InputError("the demo needs PyMOL in this Python; run it as 'make demo'")
    path = Path(spec.origin).parent / "data" / "demo" / "il2.pdb"
    if not path.is_file():
        raise InputError(f"this PyMOL has no demo data at {path}; name a file with STRUCTURE=…")
    return path


def checked(structure: str, frames: int, out: Path) -> Path:
    """The structure's file, once everything that was asked for is known to be possible.

    Raises:
        InputError: If the file holds no polymer, the number of frames is out of range, or the
            output folder holds something else than an earlier demo.
    """
    if not FRAMES[0] <= frames <= FRAMES[1]:
        raise InputError(f"FRAMES must be from {FRAMES[0]} to {FRAMES[1]}, got {frames}")
    foreign = out.exists() and not out.is_dir()
    if foreign or (out.is_dir() and any(out.iterdir()) and not (out / "summary.json").is_file()):
        raise InputError(f"{out} holds something else than an earlier demo; name another folder")
    path = Path(structure).expanduser().resolve() if structure else shipped_structure()
    polymer_heavy_atoms(read_structure(path))
    return path


@contextmanager
def replaced(out: Path):
    """A folder beside ``out`` that takes its place if all goes well, and vanishes if not."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as hold:
        new, old = Path(hold) / "new", Path(hold) / "old"
        new.mkdir()
        yield new
        if out.exists():
            os.replace(out, old)
        os.replace(new, out)


def picture_list(
    folder: Path, prefix: str, frames: int, count: int, size: tuple[int, int]
) -> list[tuple[str, int, int, int]]:
    """Evenly spaced frames to be drawn, as (file, state, width, height)."""
    states = np.linspace(1, frames, min(frames, count)).round().astype(int)
    return [(str(folder / f"{prefix}_{k:04d}.png"), int(k), *size) for k in states]


def animate(movie: Path, target: Path) -> int:
    """Join the small pictures into a GIF that loops; returns its number of frames.

    Raises:
        ChildError: If two of them in a row are the same picture, which a moving surface cannot be.
    """
    frames = list(indexed(sorted(movie.glob("*.png"))))
    if any(a.tobytes() == b.tobytes() for a, b in itertools.pairwise(frames)):
        raise ChildError("two frames of the animation are the same picture; nothing moved")
    write_gif(target, iter(frames), MOVIE_MS)
    return len(frames)


def summary_of(predicted: dict[str, Any], structure: Path, seconds: float) -> dict[str, Any]:
    """What summary.json says."""
    backend = predicted["backend"]
    wanted = ("frames", "vertices", "faces", "network_evaluations", "device", "model", "residues")
    return {
        "structure": structure.name,
        **{key: backend[key] for key in wanted},
        "seconds_to_first_frame": predicted["seconds_to_first_frame"],
        "seconds_to_predict": predicted["seconds"],
        "total_seconds": round(seconds, 1),
        "largest_displacement_angstrom": round(max(predicted["moved"]), 2),
        "backend": backend,
    }


def perform(structure: Path, frames: int, out: Path, screen: Screen) -> dict[str, Any]:
    """Do everything, from the zip to the animation, into ``out``."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="moedsr-demo-") as scratch:
        home, movie = Path(scratch) / "home", Path(scratch) / "movie"
        home.mkdir(), movie.mkdir()
        archive = build(Path(scratch))
        order = {
            "archive": str(archive),
            "structure": str(structure),
            "frames": frames,
            "out": str(out),
            "stills": picture_list(out, "frame", frames, STILLS, STILL_SIZE),
            "movie": picture_list(movie, "movie", frames, MOVIE_FRAMES, MOVIE_SIZE),
        }
        screen.stage("Installing the plugin with PyMOL's installer", 1)
        PyMOLChild("install", order, home, screen).run()
        screen.stage(f"Predicting {counted(frames, 'frame')} of {structure.name}", frames)
        told = PyMOLChild("play", order, home, screen).run()
        screen.stage("Writing the animation", 1)
        animate(movie, out / "surface.gif")
        summary = summary_of(told["predicted"], structure, time.monotonic() - begin)
    text = json.dumps(summary, indent=2) + "\n"
    (out / "summary.json").write_text(text, encoding="utf-8")
    return summary


def main() -> int:
    """Run the demo; returns the exit code."""
    parser = Parser(description=__doc__)
    parser.add_argument("--structure", default="", help="PDB or mmCIF file; PyMOL's own if empty")
    parser.add_argument("--frames", type=int, default=100, help="frames of the movie")
    parser.add_argument("--out", type=Path, default=ROOT / "demo", help="output folder")
    options = parser.parse_args()
    out = options.out.resolve()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        structure = checked(options.structure, options.frames, out)
        with replaced(out) as folder, Screen() as screen:
            summary = perform(structure, options.frames, folder, screen)
    except (MoedsrError, ChildError) as error:
        print(error, file=sys.stderr)
        return getattr(error, "exit_code", 1)
    except OSError as error:
        print(f"{out} cannot be written: {error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was changed", file=sys.stderr)
        return 130
    del summary["backend"]
    print(json.dumps(summary, indent=2))
    print(f"See {out}: open session.pse in PyMOL, surface.gif in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
