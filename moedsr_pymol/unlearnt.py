"""Molecules of a kind that the model has not learnt from, of which a prediction is a guess."""

from __future__ import annotations

import numpy as np

from .arguments import counted
from .atoms import Atoms

LEAST_RESIDUES = 20
"""Residues of the smallest molecule in the training set of the shipped weights (dpdp)."""
_SUGAR = ("C1'", "C1*")
"""Names of an atom that every nucleotide has, and no amino acid."""


def warning(atoms: Atoms) -> str:
    """A sentence about what the model does not know of a molecule; empty where there is nothing."""
    residues = len(np.unique(atoms.residue_index))
    nucleic = len(np.unique(atoms.residue_index[np.isin(atoms.atom_names, _SUGAR)]))
    if nucleic:
        return "warning: the model knows proteins only; how nucleic acid moves here is a guess"
    if residues < LEAST_RESIDUES:
        return (
            f"warning: the model knows proteins only, of {LEAST_RESIDUES} residues and more; this "
            f"motion of {counted(residues, 'residue')} is a guess"
        )
    return ""
