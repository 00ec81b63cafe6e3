"""An environment taken away; so many files take a while."""

from __future__ import annotations

import threading

from ..errors import UserError
from ..settings import save_settings
from .places import installed, remove


class Removal:
    """Removes the private environment in use; a :class:`window.Task`.

    Raises:
        UserError: If there is none, or the setting cannot be kept.
    """

    error: UserError | None = None

    def __init__(self) -> None:
        folder = installed()
        if folder is None:
            raise UserError("there is no environment of moedsr_install to remove")
        save_settings(python="")
        self._thread = threading.Thread(target=remove, args=(folder,))  # PyMOL's end waits for it
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether all is gone."""
        return not self._thread.is_alive()

    def step(self, patience: float) -> None:
        """Wait at most ``patience`` seconds."""
        self._thread.join(patience)
