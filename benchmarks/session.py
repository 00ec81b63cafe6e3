"""What a prediction weighs in a PyMOL session and takes to save and load, beside PyMOL's own way.

Run: ``python benchmarks/session.py [trajectory.npz]``. Without a file of ``moedsr predict`` or
``moedsr_save``, 100 frames of a ball of 14,000 triangles are made up: it breathes, waves run over
it and its points tremble by 0.02 Å. "PyMOL's own" is the same scene without the plugin's hooks: all
states, as PyMOL writes them. Seconds are processor seconds.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pymol2

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from pymol_support import ball  # noqa: E402

import moedsr_pymol  # noqa: E402
from moedsr_core.backend.wire.frames import decode, encode  # noqa: E402
from moedsr_pymol.atoms import Molecule, polymer_atoms  # noqa: E402
from moedsr_pymol.coloring import Coloring  # noqa: E402
from moedsr_pymol.follow import Hold  # noqa: E402
from moedsr_pymol.session.hooks import (  # noqa: E402
    moedsr_restore_surfaces,
    moedsr_save_surfaces,
)
from moedsr_pymol.surface import Frame, Surface  # noqa: E402
from moedsr_pymol.workspace import Workspace  # noqa: E402


def timed(work: Callable[[], Any]) -> float:
    """Processor seconds that some work takes."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def made_up(frames: int, rings: int) -> Iterator[dict[str, np.ndarray]]:
    """Arrays of each frame of a ball that moves."""
    rng, (unit, faces) = np.random.default_rng(0), ball(rings, rings)
    for k in range(frames):
        grown = 2 * np.sin(0.1 * k) + 1.5 * np.sin(4 * unit[:, 0] + 0.2 * k) * unit[:, 1]
        vertices = (20 + grown)[:, None] * unit + rng.normal(0, 0.02, unit.shape)
        yield {"vertices": vertices, "normals": unit, "displacement": grown, "faces": faces}


def read(path: Path) -> Iterator[dict[str, np.ndarray]]:
    """Arrays of each frame of a trajectory file."""
    with np.load(path, allow_pickle=False) as archive:
        ends, borders = archive["vertex_counts"].cumsum(), archive["face_counts"].cumsum()
        names = ("vertices", "normals", "displacement")
        frames = [np.split(archive[name], ends[:-1]) for name in names]
        faces = np.split(archive["faces"], borders[:-1])
        for k, which in enumerate(archive["topology"]):
            arrays = {name: values[k] for name, values in zip(names, frames, strict=True)}
            yield {**arrays, "faces": faces[which]}


def frames_of(arrays: Iterator[dict[str, np.ndarray]]) -> list[Frame]:
    """Frames as they come over the wire."""
    frames: list[Frame] = []
    sent = received = None
    for frame in arrays:
        before = received
        data, sent = encode(frame, sent)
        decoded, received = decode(data, before)
        if before is not None and decoded["faces"] is before.faces:
            del decoded["faces"]
        last = frames[-1] if frames else None
        frames.append(Frame.read(decoded, last, record=data))
    return frames


def shown(frames: list[Frame], cmd: Any) -> Surface:
    """A surface of these frames that PyMOL shows."""
    nowhere = Molecule("", 1, np.array([], np.str_), np.eye(4))
    how, planned = Coloring.read("motion", "", None, None, cmd), len(frames)
    surface = Surface("surf", nowhere, how, planned=planned)
    Workspace.of(cmd).add(surface, cmd)
    for frame in frames:
        surface.frames.append(frame)
        surface.show(len(surface.frames) - 1, cmd)
    return surface


def save_and_load(frames: list[Frame], folder: Path, ours: bool) -> tuple[float, float, float]:
    """Megabytes, and seconds to save and to load again."""
    path = str(folder / f"{ours}.pse")
    with pymol2.PyMOL() as instance:
        moedsr_pymol.register(instance.cmd)
        shown(frames, instance.cmd)
        if not ours:
            instance._session_save_tasks.remove(moedsr_save_surfaces)
            instance._session_restore_tasks.remove(moedsr_restore_surfaces)
        save = timed(lambda: instance.cmd.save(path))
        instance.cmd.reinitialize()
        load = timed(lambda: instance.cmd.load(path))
        assert instance.cmd.count_states("surf") == len(frames)
    return Path(path).stat().st_size / 1e6, save, load


def looks(residues: int) -> tuple[int, float, float]:
    """Atoms of a molecule, and milliseconds of a look at it that is light and one that is not."""
    with pymol2.PyMOL() as instance:
        cmd = instance.cmd
        moedsr_pymol.register(cmd)
        cmd.fab("ACDEFGHIKLMNPQRSTVWY" * 5, "part")
        for k in range(residues // 100):
            cmd.create(f"part{k}", "part")
            cmd.alter(f"part{k}", f"segi='{k}'")
        cmd.create("prot", "part*")
        atoms = polymer_atoms("prot", 1, cmd)
        frames = frames_of(made_up(1, 9))
        surface = shown(frames, cmd)
        surface.atoms, surface.hold = atoms, Hold.of(atoms, cmd)
        workspace = Workspace.of(cmd)
        assert surface.hold is not None
        surface.hold.due = np.inf
        light = timed(lambda: [workspace._look(cmd, lightly=True) for _ in range(100)])
        full = timed(lambda: [workspace._look(cmd) for _ in range(20)])
        return cmd.count_atoms("prot"), 10 * light, 50 * full


def main(path: str = "") -> None:
    """Print what both ways take, and their ratios."""
    states = frames_of(read(Path(path)) if path else made_up(100, 84))
    topologies = len({id(frame.faces) for frame in states})
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    print(
        f"{len(states)} frames of {np.mean([len(frame.faces) for frame in states]):.0f} triangles, "
        f"{topologies} topologies"
    )
    with tempfile.TemporaryDirectory() as folder:
        theirs = save_and_load(states, Path(folder), ours=False)
        ours = save_and_load(states, Path(folder), ours=True)
    for name, other, own in zip(("MB", "s to save", "s to load"), theirs, ours, strict=True):
        print(f"{name:10} PyMOL's own {other:8.2f}, ours {own:7.2f}, ratio {own / other:.3f}")
    for atoms, light, full in (looks(100), looks(2900)):
        print(f"a look at {atoms} atoms: {light:.2f} ms, where they are read {full:.2f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:2])
