"""The command for the panel."""

from __future__ import annotations

from pymol import cmd

from ..errors import UserError
from ..window import in_window
from .common import one_sentence


def moedsr_panel(quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_panel" opens a panel beside the molecules, in which everything
        that the other commands do can be clicked. What one clicks is done by
        these commands, so PyMOL's log of it is a script.

    USAGE

        moedsr_panel

    EXAMPLE

        moedsr_panel

    SEE ALSO

        moedsr_predict, moedsr_color, moedsr_jobs, moedsr_backend
    """
    with one_sentence():
        if not in_window():
            raise UserError(
                "the panel needs PyMOL's window, which this PyMOL does not have; the commands do "
                "the same without it, beginning with moedsr_predict"
            )
        from ..panel import open_panel

        open_panel(_self)
