"""Replicates, from their first step to their files, killed and continued as often as may be.

Several may be run together, in one system (:mod:`moedsr_core.simulation.engine`). One that blows
up goes on alone, with half the time step if need be, and so do the others without it.

Every frame is a record of a journal (:mod:`moedsr_core.data.journal`) with all that is needed to
go on from it: positions and velocities of all atoms. So what is on the disk is always a whole
number of frames, and the file of frames is written from it once, at the end.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import mdtraj
import numpy as np

from moedsr_core.data.journal import Journal
from moedsr_core.errors import InputError
from moedsr_core.files import whole_file, writing
from moedsr_core.simulation.engine import Engine, State, UnstableError
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
    for why in run_together([replicate], place, report, stop).values():
        raise InputError(why)


def run_together(
    replicates: Sequence[Replicate],
    place: Place,
    report: Report = lambda label, frames, pace: None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, str]:
    """Simulate several replicates of one configuration in one system, until their files are whole.

    Returns:
        Why some were given up, by label: they are unstable also with half the time step.

    Raises:
        InputError: If one is in use by another process, or the disk is full.
        CancelledError: If told to stop; what is done stays done.
    """
    usual, halved = _TRIES
    left = [one for one in replicates if not one.record.is_file()]
    careful = [one for one in left if one.journal(halved).exists()]
    groups = deque(_as_far([one for one in left if one not in careful]))
    while groups:
        group = groups.popleft()
        try:
            _run(group, place, usual, report, stop)
        except _BlownUpError as error:
            if len(group) == 1:
                group[0].journal(usual).unlink()
                careful += group
            else:
                groups += [[one] for one in error.culprits]
                groups += _as_far([one for one in group if one not in error.culprits])
    failures = {}
    for one in careful:
        try:
            _run([one], place, halved, report, stop)
        except _BlownUpError as error:
            step = one.config.step_fs
            failures[one.label] = (
                f"{one.label} is unstable with steps of {step:g} fs and of {step / halved:g} fs "
                f"({error}); look for clashes in the structure, or leave it out"
            )
    return failures


class _BlownUpError(UnstableError):
    """Of replicates that ran together, these have no finite positions any more."""

    def __init__(self, error: UnstableError, culprits: Sequence[Replicate]) -> None:
        super().__init__(str(error))
        self.culprits = list(culprits)


def _as_far(replicates: Sequence[Replicate]) -> list[list[Replicate]]:
    """Those that are to begin, and those that go on, which need not settle; each may be none."""
    new = [one for one in replicates if not one.journal(_TRIES[0]).exists()]
    begun = [one for one in replicates if one not in new]
    return [group for group in (new, begun) if group]


def _run(
    replicates: Sequence[Replicate],
    place: Place,
    divisor: int,
    report: Report,
    stop: Callable[[], bool],
) -> None:
    """From the last whole frame of each to its file."""
    starts = [load_start(one.folder / "start.pdb") for one in replicates]
    config, step_fs = replicates[0].config, replicates[0].config.step_fs / divisor
    with ExitStack() as stack:
        runs = [
            stack.enter_context(_Record(one, start, divisor))
            for one, start in zip(replicates, starts, strict=True)
        ]
        first = min(len(run.journal) for run in runs)
        if first < config.frames:
            seed = replicates[0].seed(first)
            engine = Engine(starts, config, place, step_fs, seed, stop)
            try:
                _advance(engine, runs, config, _Origin(seed, place.platform, step_fs), report)
            except UnstableError as error:
                finite = [np.isfinite(state).all() for state in engine.states()]
                culprits = [one for one, good in zip(replicates, finite, strict=True) if not good]
                raise _BlownUpError(error, culprits or replicates) from error
        for run in runs:
            run.write()
    for one in replicates:
        one.journal(divisor).unlink()


@dataclass(frozen=True)
class _Origin:
    """What frames are made with: the seed, OpenMM's platform and the time step [fs]."""

    seed: int
    platform: str
    step_fs: float


def _advance(
    engine: Engine,
    runs: Sequence[_Record],
    config: SimulationConfig,
    origin: _Origin,
    report: Report,
) -> None:
    """Add frames until each has all; a kill may have left some one frame ahead of others."""
    if not all(len(run.journal) for run in runs):
        engine.settle()
        settled = engine.states()
        for run, state in zip(runs, settled, strict=True):
            if not len(run.journal):
                run.append(origin, 0.0, state)
                report(run.replicate.label, 1, 0.0)
    engine.restore([run.last() for run in runs])
    while min(len(run.journal) for run in runs) < config.frames:
        begin = time.perf_counter()
        engine.run(config.steps_per_frame(origin.step_fs))
        seconds = (time.perf_counter() - begin) / len(runs)
        for run, state in zip(runs, engine.states(), strict=True):
            if len(run.journal) < config.frames:
                run.append(origin, seconds, state)
                pace = config.spacing_ps * 86.4 / seconds
                report(run.replicate.label, len(run.journal), pace)


class _Record:
    """A replicate's journal, and the files that are written from it."""

    def __init__(self, replicate: Replicate, start: Start, divisor: int) -> None:
        self.replicate, self._start = replicate, start
        self._step_fs = replicate.config.step_fs / divisor
        self._layout = _layout(start.topology.getNumAtoms())
        recipe = {
            **replicate.recipe, "replicate": replicate.number, "used_step_fs": self._step_fs
        }  # fmt: skip
        self.journal = Journal(
            replicate.journal(divisor), recipe, self._layout.itemsize, kind="simulation"
        )

    def __enter__(self) -> _Record:
        """The record itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Let others work on it."""
        self.journal.close()

    def last(self) -> State:
        """Where its atoms were in its last frame, and how they moved."""
        frame = _frame(self.journal, len(self.journal) - 1, self._layout)
        return np.asarray(frame["state"])

    def append(self, origin: _Origin, seconds: float, state: State) -> None:
        """Add the next frame, which took so long [s]."""
        body = _body(self._layout, origin.seed, origin.platform, seconds, state)
        self.journal.append(len(self.journal), body)

    def write(self) -> None:
        """Write the trajectory, then what is known of it."""
        _write_trajectory(self.replicate, self._start, self.journal, self._layout)
        _write_record(self.replicate, self.journal, self._layout, self._step_fs)


def _layout(n_atoms: int) -> np.dtype:
    """A record: seed, platform and time [s] of what led to the frame; positions and velocities.

    Of replicates that run together, each has its share of the time.
    """
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
