"""Choices that outlive a session: a small JSON file in the user's configuration folder.

Tokens never go there.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from .errors import UserError

DEFAULTS: dict[str, Any] = {"python": "", "backend": "", "servers": []}
"""Every setting and its default: the interpreter that holds moedsr_core, the backend that is used
(empty for the manifest's), and the servers that are known."""


def config_dir() -> Path:
    """Folder of the settings; the variable MOEDSR_CONFIG_DIR names another one."""
    if os.environ.get("MOEDSR_CONFIG_DIR"):
        return Path(os.environ["MOEDSR_CONFIG_DIR"])
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "moedsr"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "moedsr"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "moedsr"


def data_dir() -> Path:
    """Folder for what is large, the one that the core finds too."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "moedsr"


def jobs_dir() -> Path:
    """Folder in which the process on this computer keeps its jobs, as the core finds it."""
    named = os.environ.get("MOEDSR_JOBS_DIR")
    return Path(named) if named else data_dir() / "jobs"


def load_settings() -> dict[str, Any]:
    """Read the settings; a missing or damaged file gives the defaults."""
    try:
        stored = json.loads((config_dir() / "settings.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = {}
    stored = stored if isinstance(stored, dict) else {}
    return {
        key: stored[key] if isinstance(stored.get(key), type(default)) else default
        for key, default in DEFAULTS.items()
    }


def save_settings(**changes: Any) -> None:
    """Keep some settings, replacing the file in one step.

    Raises:
        UserError: If the folder cannot be written.
    """
    unknown = set(changes) - set(DEFAULTS)
    if unknown:
        raise KeyError(*unknown)
    write_config("settings.json", {**load_settings(), **changes})


def write_config(name: str, content: Any) -> None:
    """Write one JSON file of the configuration folder, whole or not at all.

    Raises:
        UserError: If the folder cannot be written.
    """
    folder = config_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f"{name}-", suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        os.replace(temporary, folder / name)
    except OSError as error:
        raise UserError(
            f"'{name}' cannot be written to {folder}: {error.strerror or error}"
        ) from error
