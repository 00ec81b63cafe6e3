"""Elements, radii and residue names mean what chemists mean by them."""

from __future__ import annotations

import numpy as np
import pytest

from moedsr_core.chemistry import (
    AMINO_ACIDS,
    CAPS,
    DEFAULT_RADIUS,
    ELEMENTS,
    NUCLEOTIDES,
    RESIDUE_KINDS,
    RESIDUE_PARENTS,
    UNKNOWN_ELEMENT,
    VDW_RADII,
    WATER_NAMES,
    guess_element,
    is_polymer_residue,
    parent_residue,
    residue_kind,
    side_chain_depth,
    vdw_radii,
)


def test_radii_of_organic_elements_are_bondis():
    elements = np.array(["H", "C", "N", "O", "F", "P", "S", "Cl", "BR", "I", "SE"])
    bondi = [1.20, 1.70, 1.55, 1.52, 1.47, 1.80, 1.80, 1.75, 1.85, 1.98, 1.90]
    np.testing.assert_array_equal(vdw_radii(elements), bondi)


def test_an_element_without_a_radius_gets_that_of_carbon():
    np.testing.assert_array_equal(vdw_radii(np.array(["U", "X", ""])), [DEFAULT_RADIUS] * 3)


def test_every_tabulated_radius_is_an_elements_and_of_atomic_size():
    assert VDW_RADII.keys() <= ELEMENTS
    assert all(1.1 <= radius <= 2.8 for radius in VDW_RADII.values())


def test_every_modified_residue_has_a_standard_parent():
    assert set(RESIDUE_PARENTS.values()) <= set(AMINO_ACIDS) | set(NUCLEOTIDES)
    assert not RESIDUE_PARENTS.keys() & set(AMINO_ACIDS + NUCLEOTIDES)


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        ("ALA", "ALA"),
        (" lys ", "LYS"),
        ("HIE", "HIS"),
        ("MSE", "MET"),
        ("SEP", "SER"),
        ("DT5", "T"),
        ("NALA", "ALA"),
        ("CHIE", "HIS"),
        ("CYSH", "CYS"),
        ("NADP", "NADP"),
        ("CHOL", "CHOL"),
        ("NAG", "NAG"),
        ("HOH", "HOH"),
    ],
)
def test_forms_of_a_residue_have_its_name(name, parent):
    assert parent_residue(name) == parent


def test_water_ions_and_ligands_are_not_polymer():
    others = [*WATER_NAMES, "NA", "CL", "ZN", "CA", "HEM", "ATP", "NAG", "GOL", "UNK", ""]
    assert not any(is_polymer_residue(name) for name in others)
    assert all(is_polymer_residue(name) for name in (*AMINO_ACIDS, *NUCLEOTIDES, *CAPS))


def test_kinds_index_the_vocabulary_and_strangers_share_the_last():
    names = np.array(["ALA", "HID", "VAL", "DA", "UNK", "NAG"])
    kinds = residue_kind(names)
    assert [RESIDUE_KINDS[k] for k in kinds] == ["ALA", "HIS", "VAL", "A", "UNK", "UNK"]


@pytest.mark.parametrize(
    ("name", "element"),
    [
        ("CA", "C"),
        ("CD", "C"),
        ("CE1", "C"),
        ("NE", "N"),
        ("NA", "N"),
        ("HG", "H"),
        ("HO5'", "H"),
        ("1HB2", "H"),
        ("HE21", "H"),
        ("SD", "S"),
        ("SE", "SE"),
        ("OP1", "O"),
        ("P", "P"),
        ("D", "D"),
        ("ZN", "ZN"),
        ("", UNKNOWN_ELEMENT),
        ("MW", UNKNOWN_ELEMENT),
    ],
)
def test_names_in_a_polymer_are_read_as_organic_elements(name, element):
    assert guess_element(name, organic=True) == element


@pytest.mark.parametrize(
    ("name", "element"),
    [
        ("CA", "CA"),
        ("CD", "CD"),
        ("NA+", "NA"),
        ("Cl-", "CL"),
        ("ZN2", "ZN"),
        ("SOD", "NA"),
        ("CLA", "CL"),
        ("POT", "K"),
        ("K", "K"),
        ("HG", "HG"),
    ],
)
def test_an_atom_by_itself_is_an_ion(name, element):
    assert guess_element(name, organic=False, alone=True) == element


@pytest.mark.parametrize(
    ("name", "element"),
    [
        ("CA", "C"),
        ("NA", "N"),
        ("HG1", "H"),
        ("FE", "FE"),
        ("CL1", "CL"),
        ("BR2", "BR"),
        ("ZN", "ZN"),
        ("MG", "MG"),
        ("OW", "O"),
        ("MW", UNKNOWN_ELEMENT),
        ("EPW", UNKNOWN_ELEMENT),
        ("C1'", "C"),
    ],
)
def test_names_in_a_ligand_prefer_organic_elements_where_they_are_ambiguous(name, element):
    assert guess_element(name, organic=False) == element


def test_a_lone_alpha_carbon_of_an_amino_acid_is_no_calcium():
    assert guess_element("CA", organic=True, alone=True) == "C"


def test_depth_counts_bonds_from_the_backbone():
    arginine = np.array(["N", "CA", "C", "O", "CB", "CG", "CD", "NE", "CZ", "NH1", "NH2", "OXT"])
    np.testing.assert_array_equal(side_chain_depth(arginine), [0, 1, 0, 0, 2, 3, 4, 5, 6, 7, 7, 0])


def test_selenomethionine_is_as_deep_as_methionine():
    np.testing.assert_array_equal(
        side_chain_depth(np.array(["CG", "SE", "CE"])),
        side_chain_depth(np.array(["CG", "SD", "CE"])),
    )


def test_phosphate_sugar_and_base_are_three_layers_in_old_and_new_names():
    new = np.array(["P", "OP1", "OP2", "O5'", "C1'", "N9", "C5M"])
    old = np.array(["P", "O1P", "O2P", "O5*", "C1*", "N9", "C5M"])
    np.testing.assert_array_equal(side_chain_depth(new), [0, 0, 0, 1, 1, 3, 3])
    np.testing.assert_array_equal(side_chain_depth(old), side_chain_depth(new))


def test_the_methyl_of_a_cap_is_next_to_the_backbone():
    np.testing.assert_array_equal(side_chain_depth(np.array(["CH3"])), [1])
