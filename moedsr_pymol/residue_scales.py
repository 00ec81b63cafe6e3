"""Properties of residues that a surface can be coloured by, from the atom nearest to each point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .surface import Surface

HYDROPATHY = {
    "ILE": 4.5, "VAL": 4.2, "LEU": 3.8, "PHE": 2.8, "CYS": 2.5, "MET": 1.9, "ALA": 1.8,
    "GLY": -0.4, "THR": -0.7, "SER": -0.8, "TRP": -0.9, "TYR": -1.3, "PRO": -1.6, "HIS": -3.2,
    "GLU": -3.5, "GLN": -3.5, "ASP": -3.5, "ASN": -3.5, "LYS": -3.9, "ARG": -4.5,
}  # fmt: skip
"""Kyte and Doolittle, J. Mol. Biol. 157 (1982) 105, Table 2."""
CHARGE = {
    **dict.fromkeys(HYDROPATHY, 0.0),
    **dict.fromkeys(("ARG", "LYS", "HIP", "HSP"), 1.0),
    **dict.fromkeys(("ASP", "GLU", "CYM"), -1.0),
    **dict.fromkeys(("SEP", "TPO", "PTR"), -2.0),
    **dict.fromkeys(("A", "C", "G", "U", "DA", "DC", "DG", "DT"), -1.0),
    **dict.fromkeys(("ASH", "GLH", "LYN"), 0.0),
}
"""Formal charge near pH 7 [e]; of a nucleotide its phosphate's. Histidine counts as neutral."""
_AS = {
    "MSE": "MET", "HID": "HIS", "HIE": "HIS", "HIP": "HIS", "HSD": "HIS", "HSE": "HIS",
    "HSP": "HIS", "CYX": "CYS", "CYM": "CYS", "ASH": "ASP", "GLH": "GLU", "LYN": "LYS",
}  # fmt: skip
SCALES = {"hydrophobicity": HYDROPATHY, "charge": CHARGE}
RANGES = {"hydrophobicity": (-4.5, 4.5), "charge": (-1.0, 1.0)}


def residue_value(scale: str, name: str) -> float:
    """Value of a residue; NaN where the scale does not know it."""
    table = SCALES[scale]
    return table.get(name, table.get(_AS.get(name, ""), np.nan))


def values_at(surface: Surface, scale: str, k: int, _self: Any) -> np.ndarray | None:
    """Values at the vertices of frame ``k``, NaN where there is none; None until atoms are known.

    Raises:
        UserError: If the surface's residues cannot be told.
    """
    atom = surface.at_vertices("atom", k)
    if atom is None:
        return None
    if scale not in surface.per_atom:
        from .measure.residues import atoms_of

        names, of_atom = np.unique(atoms_of(surface, _self).residue_names, return_inverse=True)
        found = np.array([residue_value(scale, str(name)) for name in names], np.float64)
        surface.per_atom[scale] = found[of_atom]
    return surface.per_atom[scale][atom]
