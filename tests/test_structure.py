"""The polymer of a structure, and structures from arrays."""

from __future__ import annotations

import numpy as np
import pytest
from structure_files import pdb_atom, peptide, residue

from moedsr_core.chemistry import RESIDUE_KINDS
from moedsr_core.errors import InputError
from moedsr_core.structure import MAX_ATOMS, from_arrays, polymer_heavy_atoms
from moedsr_core.structure_io import read_structure

pytest_plugins = "structure_files"


def test_the_polymer_is_without_water_ions_ligands_and_hydrogens(write):
    lines = [
        *residue("ACE", 1, "CH3 C O HH31"),
        *residue("LYS", 2, "N CA C O CB H HA"),
        *residue("NME", 3, "N C H"),
        *residue("HOH", 4, "O H1 H2", record="HETATM"),
        pdb_atom("ZN", "ZN", number=5, element="ZN", record="HETATM"),
        *residue("GOL", 6, "C1 O1 C2", record="HETATM"),
        *residue("NAG", 7, "C1 C2 N2 O5", record="HETATM"),
    ]
    s = read_structure(write(lines))
    assert " ".join(s.polymer.atom_names) == "CH3 C O N CA C O CB N C"
    assert s.polymer.n_residues == 3
    assert s.is_polymer.sum() == 14


def test_modified_residues_belong_to_the_polymer(write):
    lines = [
        *residue("MSE", 1, "N CA C O SE", record="HETATM", element=""),
        *residue("SEP", 2, "N CA C O OG P", record="HETATM"),
        *residue("XYZ", 3, "N CA C O Q1", record="HETATM", element="C"),
        *residue("ZZZ", 4, "N CX C O", record="HETATM", element="C"),
    ]
    p = read_structure(write(lines)).polymer
    assert list(dict.fromkeys(p.residue_names)) == ["MSE", "SEP", "XYZ"]
    assert [RESIDUE_KINDS[k] for k in p.residue_kinds] == ["MET", "SER", "UNK"]
    assert p.elements[4] == "SE"


def test_nucleic_acid_is_polymer_and_stands_at_its_sugar(write):
    lines = [
        *residue("DA", 1, "P OP1 O5' C1' N9 H1'"),
        *residue("PSU", 2, "P C1' C5 O4", record="HETATM"),
        *residue("G", 3, "P O1P C1* N9"),
    ]
    p = read_structure(write(lines)).polymer
    assert p.n_residues == 3
    assert "H1'" not in p.atom_names
    assert [RESIDUE_KINDS[k] for k in p.residue_kinds] == ["A", "U", "G"]
    np.testing.assert_array_equal(p.residue_positions[:, 0], [3.0, 1.0, 2.0])


def test_hydrogens_do_not_change_the_polymer(write):
    bare = peptide()
    full = bare[:4] + residue("GLY", 1, "H HA2 HA3") + bare[4:]
    a, b = (read_structure(write(lines)).polymer for lines in (bare, full))
    np.testing.assert_array_equal(a.coords, b.coords)
    np.testing.assert_array_equal(a.residue_index, b.residue_index)


def test_a_residue_stands_at_its_alpha_carbon_else_at_its_centre(write):
    lines = residue("ALA", 1, "N CA C O") + residue("ALA", 2, "N C O")
    positions = read_structure(write(lines)).residue_positions
    np.testing.assert_allclose(positions, [[1.0, 1.0, 0.0], [1.0, 2.0, 0.0]])


def test_water_alone_is_no_polymer(write):
    s = read_structure(write(residue("HOH", 1, "O", record="HETATM")))
    with pytest.raises(InputError, match="protein or nucleic acid"):
        polymer_heavy_atoms(s)


def test_positions_alone_are_carbons_of_one_residue():
    s = from_arrays(np.zeros((3, 3)))
    assert list(s.elements) == ["C"] * 3
    assert s.n_residues == 1


def test_residues_of_arrays_begin_where_a_label_changes():
    s = from_arrays(
        np.zeros((5, 3)),
        atom_names=["CA", "CB", "CA", "CA", "CA"],
        residue_names=["ALA", "ALA", "ALA", "GLY", "GLY"],
        residue_ids=["1", "1", "2", "2", "2"],
        chain_ids=["A", "A", "A", "A", "B"],
    )
    np.testing.assert_array_equal(s.residue_index, [0, 0, 1, 2, 3])
    assert set(s.elements) == {"C"}


def test_elements_may_be_given_in_any_case_or_left_empty():
    s = from_arrays(np.zeros((3, 3)), elements=["Zn", "se", ""], atom_names=["ZN", "SE", "OW"])
    assert list(s.elements) == ["ZN", "SE", "O"]


def test_selected_atoms_number_their_residues_anew():
    s = from_arrays(np.zeros((4, 3)), residue_index=[0, 1, 2, 2])
    assert list(s.select(np.array([True, False, True, True])).residue_index) == [0, 1, 1]


def test_no_atoms_have_no_residues():
    empty = from_arrays(np.zeros((0, 3)))
    assert (len(empty), empty.n_residues) == (0, 0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"elements": ["C"]}, "elements must name all 3 atoms"),
        ({"atom_names": ["C"] * 4}, "atom_names must name all 3 atoms"),
        ({"residue_index": [0, 0]}, "residue_index must name all 3 atoms"),
        ({"residue_index": [0, 2, 2]}, "without a gap"),
        ({"residue_index": [-1, 0, 0]}, "without a gap"),
    ],
)
def test_arrays_that_do_not_describe_the_same_atoms_are_refused(fields, words):
    with pytest.raises(InputError, match=words):
        from_arrays(np.zeros((3, 3)), **fields)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_coordinates_that_are_not_finite_are_refused(bad):
    coords = np.zeros((3, 3))
    coords[1, 2] = bad
    with pytest.raises(InputError, match="1 of 3 atoms hold NaN"):
        from_arrays(coords)


def test_more_atoms_than_the_limit_are_refused_and_the_limit_is_not():
    assert len(from_arrays(np.zeros((MAX_ATOMS, 3)))) == MAX_ATOMS
    with pytest.raises(InputError, match="up to 60,000 atoms, got at least 60,001"):
        from_arrays(np.zeros((MAX_ATOMS + 1, 3)))
