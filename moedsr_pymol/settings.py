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

DEFAULTS = {"python": ""}
"""Every setting and its default; ``python`` is the interpreter that holds moedsr_core."""


def config_dir() -> Path:
    """Folder of the settings; the variable MOEDSR_CONFIG_DIR names another one."""
    if os.environ.get("MOEDSR_CONFIG_DIR"):
        return Path(os.environ["MOEDSR_CONFIG_DIR"])
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "moedsr"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "moedsr"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "moedsr"


def load_settings() -> dict[str, Any]:
    """Read the settings; a missing or damaged file gives the defaults."""
    try:
        stored = json.loads((config_dir() / "settings.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = {}
    stored = stored if isinstance(stored, dict) else {}
    return {key: stored.get(key, default) for key, default in DEFAULTS.items()}


def save_setting(key: str, value: Any) -> None:
    """Keep one setting, replacing the file in one step.

    Raises:
        UserError: If the folder cannot be written.
    """
    if key not in DEFAULTS:
        raise KeyError(key)
    folder = config_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix="settings-", suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({**load_settings(), key: value}, file, indent=2)
        os.replace(temporary, folder / "settings.json")
    except OSError as error:
        raise UserError(f"the settings cannot be written to {folder}: {error.strerror}") from error
