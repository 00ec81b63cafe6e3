"""The surface of a structure by the name of its maker."""

from __future__ import annotations

from collections.abc import Callable

from moedsr_core.choices import SPACINGS, check_choice, check_number
from moedsr_core.structure import Structure
from moedsr_core.surface.external import msms_surface, pymol_surface
from moedsr_core.surface.mesh import Mesh
from moedsr_core.surface.ses import SolventExcludedSurface

_PYMOL_QUALITIES = ((1.0, -1), (0.5, 0), (0.3, 1))
"""PyMOL's ``surface_quality`` down to each spacing [Å]; 2 below."""


def surface_mesh(structure: Structure, kind: str = "ses", spacing: float = 0.5) -> Mesh:
    """Surface of a structure as it is [Å].

    Args:
        structure: The atoms to enclose.
        kind: One of :data:`SURFACES`.
        spacing: About the length of a triangle's edges [Å].

    Raises:
        InputError: If the kind is unknown, the spacing out of range or there is no atom.
        MoedsrError: If the program that makes the surface is missing or fails.
    """
    check_choice("surface", kind, SURFACES)
    check_number("spacing", spacing, *SPACINGS)
    return SURFACES[kind](structure, spacing)


def _ses(structure: Structure, spacing: float) -> Mesh:
    return SolventExcludedSurface(structure.coords, structure.radii).mesh(spacing)


def _pymol(structure: Structure, spacing: float) -> Mesh:
    quality = next((q for least, q in _PYMOL_QUALITIES if spacing >= least), 2)
    return pymol_surface(structure, quality=quality)


def _msms(structure: Structure, spacing: float) -> Mesh:
    return msms_surface(structure, density=1.0 / spacing**2)


SURFACES: dict[str, Callable[[Structure, float], Mesh]] = {
    "ses": _ses,
    "pymol": _pymol,
    "msms": _msms,
}
"""Makers of a surface by name."""
