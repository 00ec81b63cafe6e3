"""OpenMM and PDBFixer, which only simulations need."""

from __future__ import annotations

from typing import Any

from moedsr_core.errors import BackendError


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
