"""The folder that holds all a server must not forget; one server writes it at a time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO

from moedsr_core.data.claim import claim
from moedsr_core.errors import BackendError, InputError

_MOST_AT_ONCE = 1000
"""Servers of one user that run at the same time; more are a mistake."""


class DataFolder:
    """A claimed folder: ``moedsr.sqlite``, ``jobs/``, ``lock``, and ``scratch/`` for what passes.

    Args:
        path: Where it is; made if missing.

    Raises:
        BackendError: If another server has it, or it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _own_lock(path)
        self.jobs, self.scratch = path / "jobs", path / "scratch"
        self.jobs.mkdir(exist_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(exist_ok=True)

    @classmethod
    def first_free(cls, parent: Path) -> DataFolder:
        """The first of the folders ``parent/0``, ``parent/1`` … that no server uses.

        Raises:
            BackendError: If none can be made.
        """
        for number in range(_MOST_AT_ONCE):
            lock = _claimed(parent / str(number))
            if lock is not None:
                lock.close()
                return cls(parent / str(number))
        raise BackendError(f"{_MOST_AT_ONCE} servers use the folders in {parent}; end some of them")

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / "moedsr.sqlite"

    def close(self) -> None:
        """Let another server have it."""
        self._lock.close()


def refuse_unusable(path: Path) -> None:
    """Refuse a folder that a server could not use, before anything is made there.

    Raises:
        InputError: If it cannot be made or written to.
        BackendError: If another server has it.
    """
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        problem = "closed to us" if there.is_dir() else "a file"
        raise InputError(
            f"the data folder cannot be {path}, for {there} is {problem}; name another with "
            "--data-dir"
        )
    if (path / "lock").exists():
        _own_lock(path).close()


def _own_lock(path: Path) -> BinaryIO:
    lock = _claimed(path)
    if lock is None:
        raise BackendError(f"another moedsr server uses {path}; stop it, or name another folder")
    return lock


def _claimed(path: Path) -> BinaryIO | None:
    """The locked file of a folder; None where another process has locked it."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (path / "lock").open("ab")
    except OSError as error:
        raise BackendError(
            f"could not make the data folder {path} ({error.strerror or error}); name a writable "
            "one"
        ) from error
    if claim(lock):
        return lock
    lock.close()
    return None
