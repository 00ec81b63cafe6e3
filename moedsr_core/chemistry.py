"""Elements, radii and residue kinds: the small tables that everything else indexes."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

# Van der Waals radii [Å]: Bondi 1964 (doi:10.1021/j100785a001); B and Ca after Mantina et al. 2009
# (doi:10.1021/jp8111556); Mn, Fe, Co and Mo after Alvarez 2013 (doi:10.1039/c3dt50599e).
VDW_RADII = {
    "H": 1.20, "D": 1.20, "HE": 1.40, "LI": 1.82, "B": 1.92, "C": 1.70, "N": 1.55, "O": 1.52,
    "F": 1.47, "NA": 2.27, "MG": 1.73, "SI": 2.10, "P": 1.80, "S": 1.80, "CL": 1.75, "K": 2.75,
    "CA": 2.31, "MN": 2.45, "FE": 2.44, "CO": 2.40, "NI": 1.63, "CU": 1.40, "ZN": 1.39,
    "AS": 1.85, "SE": 1.90, "BR": 1.85, "MO": 2.45, "CD": 1.58, "I": 1.98, "PT": 1.75,
    "AU": 1.66, "HG": 1.55,
}  # fmt: skip
DEFAULT_RADIUS = 1.70

ELEMENTS = frozenset(
    "H D HE LI BE B C N O F NE NA MG AL SI P S CL AR K CA SC TI V CR MN FE CO NI CU ZN GA GE AS "
    "SE BR KR RB SR Y ZR NB MO TC RU RH PD AG CD IN SN SB TE I XE CS BA LA CE PR ND PM SM EU GD "
    "TB DY HO ER TM YB LU HF TA W RE OS IR PT AU HG TL PB BI PO AT RN FR RA AC TH PA U NP PU AM "
    "CM BK CF ES FM MD NO LR RF DB SG BH HS MT DS RG CN NH FL MC LV TS OG".split()
)
POLYMER_ELEMENTS = frozenset({"H", "D", "B", "C", "N", "O", "F", "P", "S", "CL", "SE", "BR", "I"})
"""What amino acids, nucleotides and their common modifications are made of."""
UNKNOWN_ELEMENT = "X"
"""Stands for virtual sites and names that no element explains."""

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
    "SEC": "CYS", "PYL": "LYS", "CSS": "CYS", "CSX": "CYS", "CAS": "CYS", "SCY": "CYS",
    "CGU": "GLU", "ALY": "LYS", "MLZ": "LYS", "NEP": "HIS", "HIC": "HIS", "TYS": "TYR",
    "FME": "MET", "ABA": "ALA", "AIB": "ALA", "NLE": "LEU", "DAL": "ALA",
    "DA": "A", "DC": "C", "DG": "G", "DT": "T", "DU": "U", "RA": "A", "RC": "C", "RG": "G",
    "RU": "U", "ADE": "A", "CYT": "C", "GUA": "G", "URA": "U", "THY": "T",
    "A5": "A", "A3": "A", "C5": "C", "C3": "C", "G5": "G", "G3": "G", "U5": "U", "U3": "U",
    "DA5": "A", "DA3": "A", "DC5": "C", "DC3": "C", "DG5": "G", "DG3": "G", "DT5": "T",
    "DT3": "T", "PSU": "U", "H2U": "U", "4SU": "U", "OMU": "U", "5MU": "T", "5MC": "C",
    "5CM": "C", "OMC": "C", "1MA": "A", "6MZ": "A", "A2M": "A", "1MG": "G", "2MG": "G",
    "M2G": "G", "7MG": "G", "G7M": "G", "OMG": "G", "YYG": "G", "BRU": "U", "5BU": "U",
}  # fmt: skip
CAPS = frozenset({"ACE", "NME", "NMA", "NH2", "FOR"})
WATER_NAMES = frozenset({"HOH", "WAT", "H2O", "SOL", "TIP", "TIP3", "TP3", "TIP4", "DOD", "SPC"})
ION_NAMES = {
    "SOD": "NA", "CLA": "CL", "POT": "K", "CAL": "CA", "CES": "CS", "LIT": "LI", "RUB": "RB",
    "BAR": "BA", "CAD": "CD", "CIM": "CL", "CIP": "NA",
}  # fmt: skip
"""Ions whose force-field name (CHARMM, Amber) does not begin with their element."""

RESIDUE_KINDS = (*AMINO_ACIDS, *NUCLEOTIDES, "UNK")
"""Residue vocabulary of the models; the last entry stands for everything else."""
_KIND_INDEX = {name: i for i, name in enumerate(RESIDUE_KINDS)}
_POLYMER_NAMES = frozenset(AMINO_ACIDS) | frozenset(NUCLEOTIDES) | CAPS
_CLEAR_PAIRS = frozenset({"CL", "BR", "SE", "SI", "CU", "FE"})
_SINGLE_LETTERS = frozenset("HDCNOPSFIBK")

BACKBONE_ATOMS = frozenset({"N", "CA", "C", "O", "OXT", "OT1", "OT2", "P", "OP1", "OP2", "OP3"})
_GREEK_DEPTH = {"A": 1, "B": 2, "G": 3, "D": 4, "E": 5, "Z": 6, "H": 7}
# Methyl of a cap, selenium of MSE, and the phosphate's oxygens before PDB version 3.
_IRREGULAR_DEPTHS = {"CH3": 1, "SE": 4, "O1P": 0, "O2P": 0, "O3P": 0}


def vdw_radii(elements: np.ndarray) -> Float[np.ndarray, " atoms"]:
    """Van der Waals radius of every element symbol [Å]; 1.7 Å where none is tabulated."""
    names, inverse = np.unique(np.char.upper(elements.astype(str)), return_inverse=True)
    table = np.array([VDW_RADII.get(name, DEFAULT_RADIUS) for name in names])
    return table[inverse]


def parent_residue(name: str) -> str:
    """Standard residue that ``name`` is a form of (``HIE`` → ``HIS``), else ``name`` itself.

    Amber's terminal forms carry an N or C in front (``NHIE``, ``CALA``).
    """
    name = name.strip().upper()
    parent = RESIDUE_PARENTS.get(name, name)
    if parent == name and len(name) == 4 and name[0] in "NC":
        inner = RESIDUE_PARENTS.get(name[1:], name[1:])
        return inner if inner in AMINO_ACIDS else name
    return parent


def is_polymer_residue(name: str) -> bool:
    """Whether a residue of this name is an amino acid, a nucleotide, a form of one, or a cap."""
    return parent_residue(name) in _POLYMER_NAMES


@lru_cache(maxsize=4096)
def guess_element(atom_name: str, *, organic: bool, alone: bool = False) -> str:
    """Element of an atom by its name, in capitals; :data:`UNKNOWN_ELEMENT` where none fits.

    ``CA`` is a carbon in an amino acid or any molecule and calcium only as an atom by itself;
    the same holds for CD, CE, HG, NE and so on.

    Args:
        atom_name: Name of the atom, spaces and digits allowed (``"1HB"``).
        organic: The atom belongs to an amino acid, nucleotide or cap.
        alone: The atom is its whole residue, as ions are.
    """
    letters = re.sub("[^A-Z].*", "", re.sub("^[^A-Z]+", "", atom_name.upper()))
    if alone and not organic:
        letters = ION_NAMES.get(letters, letters)
        if letters[:2] in ELEMENTS:
            return letters[:2]
    two_letters = _CLEAR_PAIRS & POLYMER_ELEMENTS if organic else _CLEAR_PAIRS
    if letters[:2] in two_letters:
        return letters[:2]
    if letters[:1] in _SINGLE_LETTERS:
        return letters[:1]
    return letters[:2] if letters[:2] in ELEMENTS else UNKNOWN_ELEMENT


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
    if name in _IRREGULAR_DEPTHS:
        return _IRREGULAR_DEPTHS[name]
    if "'" in name or "*" in name:
        return 1
    if name in BACKBONE_ATOMS and name != "CA":
        return 0
    if len(name) > 1 and name[1] in _GREEK_DEPTH:
        return _GREEK_DEPTH[name[1]]
    return 3 if len(name) > 1 and name[1].isdigit() else 0
