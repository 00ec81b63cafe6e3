"""A piece of work that the PyMOL plugin starts as a process of its own, and may end at any time.

The work finds its input in a folder, ``request.json`` and npz files, and writes there. It
says how far it is in JSON lines, ``{"stage", "done", "total", "seconds_left"}``, or
``{"error": sentence}``, and ends when its standard input closes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from moedsr_core.errors import InputError, MoedsrError

EVERY_S = 0.2
"""Time between lines that say nothing new but the count [s]."""


class Tell:
    """Says how far the work is."""

    def __init__(self) -> None:
        self._stage, self._said = "", 0.0
        self._first: tuple[float, int] | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take news: what is being done, steps done of all, and steps in all."""
        now = time.monotonic()
        if done and self._first is None:  # what comes before the first step is no measure
            self._first = now, done
        if stage == self._stage and done < total and now - self._said < EVERY_S:
            return
        self._stage, self._said = stage, now
        _say(
            {
                "stage": stage,
                "done": done,
                "total": total,
                "seconds_left": self._left(now, done, total),
            }
        )

    def _left(self, now: float, done: int, total: int) -> float | None:
        begun, first = self._first or (now, done)
        return (now - begun) / (done - first) * (total - done) if done > first else None


def run(work: Callable[[Path, dict[str, Any], Tell], None]) -> int:
    """Do the work of the folder that the command line names.

    Args:
        work: Takes the folder, what is wanted, and whom to tell how far it is.

    Returns:
        The exit code.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        if len(sys.argv) != 2:
            raise InputError(f"expected one folder on the command line, got {len(sys.argv) - 1}")
        folder = Path(sys.argv[1])
        try:
            request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"expected request.json in {folder}, got {error}") from error
        work(folder, request, Tell())
    except MoedsrError as error:
        _say({"error": str(error)})
        return error.exit_code
    return 0


def read_arrays(folder: Path, name: str) -> dict[str, np.ndarray]:
    """Arrays that came with a request, as ``NAME.npz``."""
    with np.load(folder / f"{name}.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _say(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    while os.read(0, 1024):  # not through sys.stdin, whose lock would be held at the end
        pass
    os._exit(1)
