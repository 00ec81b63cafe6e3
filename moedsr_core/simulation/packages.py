"""OpenMM and PDBFixer, which only simulations need."""

from __future__ import annotations

from functools import cache
from typing import Any

from moedsr_core.errors import BackendError
from moedsr_core.simulation.options import FORCE_FIELD


def openmm_and_pdbfixer() -> tuple[Any, Any]:
    """Both packages.

    Raises:
        BackendError: If one is not installed.
    """
    try:
        import openmm
        import openmm.app
        import pdbfixer
        import pdbfixer.pdbfixer
    except ImportError as error:
        raise BackendError(
            f"simulations need OpenMM and PDBFixer, and {error.name} is not installed; install "
            'them with pip install "moedsr[simulate]"'
        ) from error
    return openmm, pdbfixer


@cache
def force_field() -> Any:
    """Amber14 with implicit water; reading it takes a second."""
    return openmm_and_pdbfixer()[0].app.ForceField(*FORCE_FIELD)
