"""What this computer remembers of its jobs: which molecule each belongs to, and where it lies.

It is kept in a file of the configuration folder, and never sent.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from .atoms import Molecule
from .settings import config_dir, write_config

FILE_NAME = "jobs.json"
MOST = 500
"""Jobs that are remembered; the oldest are forgotten first."""
_lock = threading.Lock()


@dataclass(frozen=True)
class Label:
    """What is remembered of one job.

    Attributes:
        backend: ``local``, or the address of a server.
        object_name: The molecule's object.
        selection: Which part of it was sent.
        state: Which state of it.
        surface: The object that the surface was to be.
        history: Matrix that had been applied to the molecule, 16 numbers by rows.
        chains: Chain of the atoms sent, and how many follow one another in it.
        frames: Frames that were asked for.
        created: When [s since 1970].
    """

    backend: str
    object_name: str
    selection: str
    state: int
    surface: str
    history: list[float]
    chains: list[tuple[str, int]]
    frames: int
    created: float = field(default_factory=time.time)

    @classmethod
    def of(
        cls, molecule: Molecule, *, backend: str, selection: str, surface: str, frames: int
    ) -> Label:
        """Label of a job that is about to be sent."""
        runs = groupby(str(chain) for chain in molecule.chain_ids)
        return cls(
            backend=backend,
            object_name=molecule.object_name,
            selection=selection,
            state=molecule.state,
            surface=surface,
            history=[float(value) for value in molecule.history.ravel()],
            chains=[(chain, sum(1 for _ in run)) for chain, run in runs],
            frames=frames,
        )

    def molecule(self) -> Molecule:
        """The molecule as it was sent."""
        chains = [chain for chain, count in self.chains for _ in range(count)]
        return Molecule(
            object_name=self.object_name,
            state=self.state,
            chain_ids=np.array(chains, np.str_),
            history=np.array(self.history, np.float64).reshape(4, 4),
        )


def load_labels() -> dict[str, Label]:
    """Labels by job, the newest first; a damaged file holds none."""
    try:
        stored = json.loads((config_dir() / FILE_NAME).read_text(encoding="utf-8"))["jobs"]
        found = {str(job): _read(row) for job, row in stored.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    labels = {job: label for job, label in found.items() if label is not None}
    return dict(sorted(labels.items(), key=lambda item: -item[1].created))


def keep_label(job: str, label: Label) -> None:
    """Remember a job.

    Raises:
        UserError: If the folder cannot be written.
    """
    _change(lambda labels: {job: label, **labels})


def drop_labels(jobs: Iterable[str]) -> None:
    """Forget jobs that are gone.

    Raises:
        UserError: If the folder cannot be written.
    """
    gone = set(jobs)
    if gone & set(load_labels()):
        _change(lambda labels: {job: label for job, label in labels.items() if job not in gone})


def _change(change: Callable[[dict[str, Label]], dict[str, Label]]) -> None:
    with _lock:
        labels = list(change(load_labels()).items())[:MOST]
        write_config(FILE_NAME, {"jobs": {job: asdict(label) for job, label in labels}})


def _read(row: dict[str, Any]) -> Label | None:
    try:
        return read_label(row)
    except (TypeError, ValueError, LookupError):
        return None


def read_label(row: dict[str, Any]) -> Label:
    """A label out of JSON.

    Raises:
        TypeError, ValueError: If it is none.
    """
    label = Label(**{**row, "chains": [(str(chain), int(n)) for chain, n in row["chains"]]})
    label.molecule()
    return label
