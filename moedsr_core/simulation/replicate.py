"""One replicate, from its first step to its file, killed and continued as often as may be.

Every frame is a record of a journal (:mod:`moedsr_core.data.journal`) with all that is needed to
go on from it: positions and velocities of all atoms. So what is on the disk is always a whole
number of frames, and the file of frames is written from it once, at the end.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mdtraj
import numpy as np

from moedsr_core.data.journal import Journal
from moedsr_core.errors import InputError
from moedsr_core.files import whole_file, writing
from moedsr_core.simulation.engine import Engine, UnstableError
from moedsr_core.simulation.options import SimulationConfig
from moedsr_core.simulation.places import Place
from moedsr_core.simulation.start import Start, heavy_atoms, load_start
from moedsr_core.wording import reason

_TRIES = (1, 2)
"""What the time step is divided by, try after try."""
_WRITTEN_AT_ONCE = 100
"""Frames that are held in memory while a file is written."""
Report = Callable[[str, int, float], None]
"""Is told a replicate's label, its whole frames, and what the last ones took [ns/day]."""


@dataclass(frozen=True)
class Replicate:
    """One run of a protein.

    Attributes:
        folder: Where the protein is in the making.
        name: The protein's.
        number: 1, 2, 3 …
        config: How it is run.
        recipe: What is made, for the journal: one of another recipe is refused.
    """

    folder: Path
    name: str
    number: int
    config: SimulationConfig
    recipe: dict

    @property
    def label(self) -> str:
        """As in ATLAS: ``NAME_R1``."""
        return f"{self.name}_R{self.number}"

    @property
    def trajectory(self) -> Path:
        """Its frames, once all are there."""
        return self.folder / f"{self.label}.xtc"

    @property
    def record(self) -> Path:
        """What is known of a whole one; written last."""
        return self.folder / f"{self.label}.json"

    def journal(self, divisor: int) -> Path:
        """Its frames while it runs with a step of 1/divisor of the usual one."""
        return self.folder / f"{self.label}.{divisor}.part"

    def seed(self, frame: int) -> int:
        """Of random numbers from a frame on; never 0, which means any to OpenMM."""
        words = [self.config.seed, zlib.crc32(self.name.encode()), self.number, frame]
        return int(np.random.SeedSequence(words).generate_state(1)[0]) % (2**31 - 1) + 1


def run_replicate(
    replicate: Replicate,
    place: Place,
    report: Report = lambda label, frames, pace: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Simulate until the file is whole, from wherever an earlier run stopped.

    Raises:
        InputError: If the run is unstable also with half the time step, is in use by another
            process, or the disk is full.
        CancelledError: If told to stop; what is done stays done.
    """
    if replicate.record.is_file():
        return
    start = load_start(replicate.folder / "start.pdb")
    usual, halved = _TRIES
    if not replicate.journal(halved).exists():
        try:
            _run(replicate, start, place, usual, report, stop)
            return
        except UnstableError:
            replicate.journal(usual).unlink()
    try:
        _run(replicate, start, place, halved, report, stop)
    except UnstableError as error:
        step = replicate.config.step_fs
        raise InputError(
            f"{replicate.label} is unstable with steps of {step:g} fs and of {step / halved:g} fs "
            f"({error}); look for clashes in the structure, or leave it out"
        ) from error


def _run(
    replicate: Replicate,
    start: Start,
    place: Place,
    divisor: int,
    report: Report,
    stop: Callable[[], bool],
) -> None:
    config, step_fs = replicate.config, replicate.config.step_fs / divisor
    layout = _layout(start.topology.getNumAtoms())
    recipe = {**replicate.recipe, "replicate": replicate.number, "used_step_fs": step_fs}
    path = replicate.journal(divisor)
    with Journal(path, recipe, layout.itemsize, kind="simulation") as journal:
        done = len(journal)
        if done < config.frames:
            seed, seconds = replicate.seed(done), 0.0
            engine = Engine(start, config, place, step_fs, seed, stop)
            if done:
                engine.restore(_frame(journal, done - 1, layout)["state"])
            else:
                engine.settle()
            for frame in range(done, config.frames):
                begin = time.perf_counter()
                if frame:
                    engine.run(config.steps_per_frame(step_fs))
                    seconds = time.perf_counter() - begin
                journal.append(frame, _body(layout, seed, place.platform, seconds, engine.state()))
                pace = config.spacing_ps * 86.4 / seconds if seconds else 0.0
                report(replicate.label, frame + 1, pace)
        _write_trajectory(replicate, start, journal, layout)
        _write_record(replicate, journal, layout, step_fs)
    path.unlink()


def _layout(n_atoms: int) -> np.dtype:
    """A record: seed, platform and time [s] of what led to the frame; positions and velocities."""
    return np.dtype(
        [
            ("seed", "<i8"),
            ("platform", "S16"),
            ("seconds", "<f8"),
            ("state", "<f4", (2, n_atoms, 3)),
        ]
    )


def _body(layout: np.dtype, seed: int, platform: str, seconds: float, state: np.ndarray) -> bytes:
    record = np.zeros((), layout)
    record["seed"], record["platform"] = seed, platform.encode()
    record["seconds"], record["state"] = seconds, state
    return record.tobytes()


def _frame(journal: Journal, frame: int, layout: np.dtype) -> np.void:
    return np.frombuffer(journal.read(frame), layout)[0]


def _write_trajectory(
    replicate: Replicate, start: Start, journal: Journal, layout: np.dtype
) -> None:
    """The file of frames, whole or not at all, with time stamps from 0."""
    config = replicate.config
    atoms = heavy_atoms(start) if config.heavy_atoms else slice(None)
    scratch = replicate.folder / f"{replicate.label}.new"
    with writing(scratch):
        try:
            with mdtraj.formats.XTCTrajectoryFile(str(scratch), "w") as file:
                for first in range(0, config.frames, _WRITTEN_AT_ONCE):
                    frames = np.arange(first, min(first + _WRITTEN_AT_ONCE, config.frames))
                    xyz = [_frame(journal, int(k), layout)["state"][0][atoms] for k in frames]
                    stamps = (frames * config.spacing_ps).astype(np.float32)
                    file.write(np.stack(xyz), time=stamps, step=frames.astype(np.int32))
            _refuse_short(scratch, config.frames)
            os.replace(scratch, replicate.trajectory)
        except RuntimeError as error:
            raise OSError(reason(error)) from error
        finally:
            scratch.unlink(missing_ok=True)


def _refuse_short(path: Path, frames: int) -> None:
    """A disk that fills up may be noticed only here."""
    with mdtraj.formats.XTCTrajectoryFile(str(path), "r") as file:
        found = len(file)
    if found != frames:
        raise OSError(f"of {frames} frames {found} arrived; the disk may be full")


def _write_record(replicate: Replicate, journal: Journal, layout: np.dtype, step_fs: float) -> None:
    config = replicate.config
    frames = np.zeros(
        config.frames, [(key, layout[key]) for key in ("seed", "platform", "seconds")]
    )
    for k in range(config.frames):
        frame = _frame(journal, k, layout)
        frames[k] = frame["seed"], frame["platform"], frame["seconds"]
    seconds = float(frames["seconds"].sum())
    begins = np.flatnonzero(np.diff(frames["seed"], prepend=0)).tolist()
    record = {
        "replicate": f"R{replicate.number}",
        "step_fs": step_fs,
        "steps": (config.frames - 1) * config.steps_per_frame(step_fs),
        "frames": config.frames,
        "segments": [
            {
                "from_frame": k,
                "seed": int(frames[k]["seed"]),
                "platform": frames[k]["platform"].decode(),
            }
            for k in begins
        ],
        "seconds": round(seconds, 3),
        "ns_per_day": round(config.length_ns * 86400 / max(seconds, 1e-9), 3),
    }
    with whole_file(replicate.record) as out:
        out.write(json.dumps(record, indent=1).encode())
