"""What the panel remembers from session to session: its size and the last choices."""

from __future__ import annotations

import json
from typing import Any

from ..errors import UserError
from ..settings import config_dir, write_config

FILE_NAME = "panel.json"


class Choices:
    """Values by name, in a file of the configuration folder; a damaged one holds none."""

    def __init__(self) -> None:
        try:
            stored = json.loads((config_dir() / FILE_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            stored = {}
        self._values: dict[str, Any] = stored if isinstance(stored, dict) else {}
        self._kept = dict(self._values)

    def get(self, name: str, default: Any) -> Any:
        """A value of the default's type; the default where there is none."""
        value = self._values.get(name)
        if isinstance(default, float) and isinstance(value, int):
            value = float(value)
        return value if type(value) is type(default) else default

    def set(self, name: str, value: Any) -> None:
        """Remember a value, once :meth:`keep` is called."""
        self._values[name] = value

    def keep(self) -> None:
        """Write what has changed; a folder that cannot be written is no reason to complain."""
        if self._values == self._kept:
            return
        try:
            write_config(FILE_NAME, self._values)
        except UserError:
            return
        self._kept = dict(self._values)
