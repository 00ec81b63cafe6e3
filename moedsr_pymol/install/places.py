"""Where private environments lie, and which of them is in use.

Each is a folder of its own, since an environment cannot be moved. It is used once it has been
tried; others are left-overs, of an installation that was ended with the computer's plug.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from uuid import uuid4

from ..settings import data_dir, load_settings, save_settings

OWNER = "owner.pid"
"""File of an environment that is being made: the process that makes it."""
LEFT_OVER_S = 86400.0
"""Age from which an unfinished environment is a left-over where processes cannot be asked [s]."""


def environments_folder() -> Path:
    """Folder of the private environments; the variable MOEDSR_ENV_DIR names another one."""
    if os.environ.get("MOEDSR_ENV_DIR"):
        return Path(os.environ["MOEDSR_ENV_DIR"]).expanduser().absolute()
    return data_dir() / "python"


def new_environment() -> Path:
    """A folder for one more environment, marked as being made.

    Raises:
        OSError: If it cannot be made.
    """
    folder = environments_folder() / uuid4().hex[:8]
    folder.mkdir(parents=True)
    (folder / OWNER).write_text(str(os.getpid()), encoding="ascii")
    return folder


def python_in(folder: Path) -> Path:
    """Interpreter of the environment in a folder of ours."""
    return folder / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def installed() -> Path | None:
    """Folder of the private environment in use; None if another Python is, or none."""
    named = load_settings()["python"]
    if not named:
        return None
    for folder in _all():
        if python_in(folder) == Path(named) and python_in(folder).exists():
            return folder
    return None


def use(folder: Path) -> None:
    """Compute with the environment in a folder from now on, in later sessions too.

    Raises:
        UserError: If the setting cannot be kept.
    """
    (folder / OWNER).unlink()
    save_settings(python=str(python_in(folder)))


def remove(folder: Path) -> None:
    """Remove a folder of ours; what another program holds open stays for the next time."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_left_overs() -> None:
    """Remove all environments but the one in use and those that are being made."""
    kept = installed()
    for folder in _all():
        if folder != kept and not _being_made(folder):
            remove(folder)


def _all() -> list[Path]:
    try:
        return [path for path in environments_folder().iterdir() if path.is_dir()]
    except OSError:
        return []


def _being_made(folder: Path) -> bool:
    """Whether the process that makes an environment lives."""
    try:
        owner = int((folder / OWNER).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return False
    if owner == os.getpid():
        return True
    if sys.platform == "win32":  # to ask whether a process lives would end it there
        return time.time() - folder.stat().st_mtime < LEFT_OVER_S
    try:
        os.kill(owner, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it lives, and is somebody else's
    return True


def size_mb(folder: Path) -> float:
    """Size of all files in a folder [MB]; those that vanish meanwhile count as nothing."""
    total = 0
    for base, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(base, name)).st_size
            except OSError:
                continue
    return total / 1e6
