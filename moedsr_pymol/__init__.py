# Name: moedsr
# Version: 0.1.0
# Description: Predicts how the molecular surface of a protein moves and plays it in PyMOL
# Author: The moedsr authors
# License: BSD-3-Clause
# PyMOL-Version: 2.5 or later
# Python-Version: 3.9 or later
# Requires: numpy, requests
"""MoE-DSR in PyMOL: see how the surface of a protein moves.

The plugin computes nothing itself: a backend process does, and the frames it sends become the
states of an object. Lengths are in Å.
"""

from __future__ import annotations

from typing import Any

from .manifest import load_manifest

__version__ = load_manifest()["version"]

MENU = (
    ("Panel", "moedsr_panel"),
    ("-", ""),
    ("Predict the motion of (sele)", "moedsr_predict sele"),
    ("Surface of (sele)", "moedsr_surface sele"),
    ("-", ""),
    ("Cancel predictions", "moedsr_cancel all"),
    ("Jobs", "moedsr_jobs"),
    ("Models", "moedsr_models"),
    ("Backend status", "moedsr_backend status"),
)


def register(_self: Any) -> None:
    """Teach one PyMOL the commands."""
    from . import commands

    commands.register(_self)


def __init_plugin__(app: Any = None) -> None:
    """Add the menu; the commands are there since the import."""
    from pymol import cmd
    from pymol.plugins import addmenuitemqt

    for label, line in MENU:
        # Typed for the user, so that errors and the log read as if they had typed it.
        addmenuitemqt(f"MoeDSR|{label}", lambda line=line: cmd.do(line))


def _register_in_running_pymol() -> None:
    from pymol import cmd

    register(cmd)


_register_in_running_pymol()
