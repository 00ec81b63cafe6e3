"""Elements, radii and residue kinds: the small tables that everything else indexes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

# Van der Waals radii [Å]: Bondi 1964 (doi:10.1021/j100785a001), hydrogen and metals after
# Mantina et al. 2009 (doi:10.1021/jp8111556) and Alvarez 2013 where Bondi has none.
VDW_RADII = {
    "H": 1.20, "D": 1.20, "HE": 1.40, "LI": 1.82, "B": 1.92, "C": 1.70, "N": 1.55, "O": 1.52,
    "F": 1.47, "NA": 2.27, "MG": 1.73, "SI": 2.10, "P": 1.80, "S": 1.80, "CL": 1.75, "K": 2.75,
    "CA": 2.31, "MN": 2.05, "FE": 2.04, "CO": 2.00, "NI": 1.63, "CU": 1.40, "ZN": 1.39,
    "AS": 1.85, "SE": 1.90, "BR": 1.85, "MO": 2.17, "CD": 1.58, "I": 1.98, "PT": 1.75,
    "AU": 1.66, "HG": 1.55,
}  # fmt: skip
DEFAULT_RADIUS = 1.70

AMINO_ACIDS = (
    "ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE",
    "LEU", "LYS", "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL",
)  # fmt: skip
NUCLEOTIDES = ("A", "C", "G", "U", "T")

# Protonation states, force-field spellings and common modified residues, by their parent.
RESIDUE_PARENTS = {
    "HID": "HIS", "HIE": "HIS", "HIP": "HIS", "HSD": "HIS", "HSE": "HIS", "HSP": "HIS",
    "CYX": "CYS", "CYM": "CYS", "CYSH": "CYS", "CSO": "CYS", "CSD": "CYS", "CME": "CYS",
    "OCS": "CYS", "ASH": "ASP", "ASPH": "ASP", "NASP": "ASP", "GLH": "GLU", "GLUH": "GLU",
    "LYN": "LYS", "LYSH": "LYS", "MLY": "LYS", "M3L": "LYS", "KCX": "LYS", "LLP": "LYS",
    "MSE": "MET", "SEP": "SER", "TPO": "THR", "PTR": "TYR", "HYP": "PRO", "PCA": "GLU",
    "SEC": "CYS", "PYL": "LYS",
    "DA": "A", "DC": "C", "DG": "G", "DT": "T", "DU": "U", "RA": "A", "RC": "C", "RG": "G",
    "RU": "U", "ADE": "A", "CYT": "C", "GUA": "G", "URA": "U", "THY": "T",
    "A5": "A", "A3": "A", "C5": "C", "C3": "C", "G5": "G", "G3": "G", "U5": "U", "U3": "U",
    "DA5": "A", "DA3": "A", "DC5": "C", "DC3": "C", "DG5": "G", "DG3": "G", "DT5": "T",
    "DT3": "T",
}  # fmt: skip
CAPS = frozenset({"ACE", "NME", "NMA", "NH2", "FOR"})
WATER_NAMES = frozenset({"HOH", "WAT", "H2O", "SOL", "TIP", "TIP3", "TP3", "TIP4", "DOD", "SPC"})

RESIDUE_KINDS = (*AMINO_ACIDS, *NUCLEOTIDES, "UNK")
"""Residue vocabulary of the models; the last entry stands for everything else."""
_KIND_INDEX = {name: i for i, name in enumerate(RESIDUE_KINDS)}

BACKBONE_ATOMS = frozenset({"N", "CA", "C", "O", "OXT", "OT1", "OT2", "P", "OP1", "OP2"})
_GREEK_DEPTH = {"A": 1, "B": 2, "G": 3, "D": 4, "E": 5, "Z": 6, "H": 7}


def vdw_radii(elements: np.ndarray) -> Float[np.ndarray, " atoms"]:
    """Van der Waals radius of every element symbol [Å]; 1.7 Å where none is tabulated."""
    names, inverse = np.unique(np.char.upper(elements.astype(str)), return_inverse=True)
    table = np.array([VDW_RADII.get(name, DEFAULT_RADIUS) for name in names])
    return table[inverse]


def parent_residue(name: str) -> str:
    """Standard residue that ``name`` is a form of (``HIE`` → ``HIS``), else ``name`` itself."""
    name = name.strip().upper()
    return RESIDUE_PARENTS.get(name, name)


def residue_kind(names: np.ndarray) -> Int[np.ndarray, " n"]:
    """Index of every residue name in :data:`RESIDUE_KINDS`."""
    unknown = len(RESIDUE_KINDS) - 1
    unique, inverse = np.unique(names.astype(str), return_inverse=True)
    table = np.array([_KIND_INDEX.get(parent_residue(name), unknown) for name in unique])
    return table[inverse]


def side_chain_depth(atom_names: np.ndarray) -> Int[np.ndarray, " atoms"]:
    """Bonds between each heavy atom and its backbone, by its Greek letter.

    0 for N, C, O; 1 for Cα; 2 for Cβ … 7 for the far end of an arginine or tryptophan.
    Atoms of nucleotides count 0 (phosphate), 1 (sugar, primed names) or 3 (base).
    """
    unique, inverse = np.unique(np.char.upper(atom_names.astype(str)), return_inverse=True)
    return np.array([_depth(name) for name in unique])[inverse]


def _depth(name: str) -> int:
    name = name.strip().lstrip("0123456789")
    if "'" in name or "*" in name:
        return 1
    if name in BACKBONE_ATOMS and name != "CA":
        return 0
    if len(name) > 1 and name[1] in _GREEK_DEPTH:
        return _GREEK_DEPTH[name[1]]
    return 3 if len(name) > 1 and name[1].isdigit() else 0
