"""The files of a prediction, and what is said while it is made."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rich.console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from moedsr_core.errors import InputError
from moedsr_core.mesh_trajectory import MeshTrajectory
from moedsr_core.wording import counted

_PLAIN_LINE_S = 5.0
"""Least time between two lines of progress where there is no terminal [s]."""


def write_prediction(
    trajectory: MeshTrajectory, folder: Path, kind: str, more: dict[str, Any]
) -> dict[str, Any]:
    """Write ``trajectory.npz``, ``frames/`` and ``summary.json``.

    Args:
        trajectory: What was predicted.
        folder: Where to.
        kind: Of the files in ``frames/``: ply, obj or glb.
        more: Entries of the summary beside the trajectory's own.

    Returns:
        The summary.

    Raises:
        InputError: If a file cannot be written.
    """
    trajectory.save(folder / "trajectory.npz")
    trajectory.save_sequence(folder / "frames", kind)
    summary = trajectory.metadata | more
    (folder / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    return summary


def said_of(summary: dict[str, Any], out: Path) -> str:
    """One line about a prediction."""
    return (
        f"{counted(summary['frames'], 'frame')}, {summary['vertices']} vertices, "
        f"{summary['seconds']:.0f} s, in {out}"
    )


def refuse_foreign(out: Path, overwrite: bool) -> None:
    """Refuse a folder that holds anything but an earlier prediction."""
    if overwrite or not out.is_dir() or not any(out.iterdir()):
        return
    try:
        ours = json.loads((out / "summary.json").read_text(encoding="utf-8"))["program"] == "moedsr"
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise InputError(
            f"the folder {out} holds something else than a prediction; choose another or add "
            "--overwrite"
        )


@contextmanager
def progress(frames: int = 0) -> Iterator[Callable[..., None]]:
    """A progress bar on a terminal, else a line now and then; both on standard error.

    What it yields is told the stage, the frames done and, where ``frames`` is not known
    beforehand, how many there are.
    """
    console = rich.console.Console(stderr=True)
    if not console.is_terminal:
        yield _PlainProgress(frames)
        return
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=frames)
        yield lambda stage, done, total=frames: bar.update(
            task, description=stage, completed=done, total=total
        )


class _PlainProgress:
    """Lines of progress on standard error: each stage, then one every few seconds."""

    def __init__(self, frames: int) -> None:
        self._frames, self._stage = frames, ""
        self._last = 0.0
        self._first: tuple[float, int] | None = None  # when the stage had its first frame

    def __call__(self, stage: str, done: int, total: int = 0) -> None:
        now = time.monotonic()
        self._frames = total or self._frames
        if stage != self._stage or self._first is None:
            self._first = (now, done) if done else None
        soon = now - self._last < _PLAIN_LINE_S
        if stage == self._stage and done < self._frames and soon:
            return
        self._stage, self._last = stage, now
        frames = counted(self._frames, "frame")
        print(f"{stage}: {done} of {frames}{self._left(now, done)}", file=sys.stderr)

    def _left(self, now: float, done: int) -> str:
        began, before = self._first or (now, done)
        if not before < done < self._frames:
            return ""
        return f", {(now - began) / (done - before) * (self._frames - done):.0f} s left"
