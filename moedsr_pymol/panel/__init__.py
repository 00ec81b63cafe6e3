"""The panel: everything that the commands do, to be clicked.

Every action is a text command given to PyMOL, so its log is a script (emit.py). What takes time is
asked in threads (background.py); PyMOL is touched on its own thread alone.
"""

from __future__ import annotations

from typing import Any


def open_panel(_self: Any) -> Any:
    """Show the panel of a PyMOL, which is made when it is first wanted.

    Returns:
        The panel.
    """
    from .dock import Panel

    holder = _self._pymol
    panel = getattr(holder, "_moedsr_panel", None)
    if panel is None:
        panel = holder._moedsr_panel = Panel.beside_the_molecules(_self)
    panel.present()
    return panel
