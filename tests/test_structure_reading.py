"""What a structure file says about its atoms is what we read from it."""

from __future__ import annotations

import numpy as np
import pytest
from structure_files import pdb_atom, peptide, residue

from moedsr_core.structure_io import read_structure

pytest_plugins = "structure_files"


def test_atoms_are_read_in_file_order_in_angstrom(write):
    s = read_structure(write(peptide()))
    assert " ".join(s.atom_names) == "N CA C O N CA C O CB CG CD CE NZ"
    assert " ".join(s.elements) == "N C C O N C C O C C C C N"
    np.testing.assert_array_equal(s.coords[:, 0], [*range(4), *range(9)])
    np.testing.assert_array_equal(s.residue_index, [0] * 4 + [1] * 9)
    assert list(s.residue_names[[0, 4]]) == ["GLY", "LYS"]
    assert s.coords.dtype == np.float64


def test_elements_left_out_of_a_pdb_file_are_guessed_from_names(write):
    lines = [
        *residue("ARG", 1, "N CA C O CB CG CD NE CZ NH1 HE HA", element=""),
        *residue("MSE", 2, "N CA C SE CE", element=""),
        pdb_atom("CA", "CA", number=3, element="", record="HETATM"),
        pdb_atom("ZN", "ZN", number=4, element="", record="HETATM"),
        pdb_atom("CA", "UNK", number=5, element=""),
        pdb_atom("CA", "LEU", number=6, element=""),
    ]
    s = read_structure(write(lines))
    assert " ".join(s.elements) == "N C C O C C C N C N H H N C C SE C CA ZN C C"


def test_an_impossible_element_of_an_amino_acid_is_read_from_its_name(write):
    lines = [*residue("ALA", 1, "N"), pdb_atom("CA", element="CA"), pdb_atom("HG", element="HG")]
    assert list(read_structure(write(lines)).elements) == ["N", "C", "H"]


def test_calcium_stays_calcium(write):
    lines = [*peptide(), pdb_atom("CA", "CA", number=9, element="CA", record="HETATM")]
    s = read_structure(write(lines))
    assert s.elements[-1] == "CA"
    assert len(s.polymer) == len(s) - 1


def test_insertion_codes_part_residues(write):
    lines = residue("SER", 52) + residue("SER", 52, insertion="A") + residue("SER", 53)
    s = read_structure(write(lines))
    assert s.n_residues == 3
    assert list(s.residue_ids[::5]) == ["52", "52A", "53"]


def test_chains_part_residues_of_one_number(write):
    lines = [*residue("SER", 1), "TER", *residue("SER", 1, chain="B")]
    s = read_structure(write(lines))
    assert s.n_residues == 2
    assert list(s.chain_ids[[0, -1]]) == ["A", "B"]


def test_a_chain_that_comes_back_does_not_reorder_atoms(write):
    lines = [
        *residue("SER", 1, "N CA"),
        *residue("SER", 1, "C O", chain="B"),
        pdb_atom("O", "HOH", number=90, record="HETATM"),
    ]
    assert " ".join(read_structure(write(lines)).atom_names) == "N CA C O O"


def test_frame_chooses_the_model(write):
    lines = []
    for k in range(3):
        atom = pdb_atom("CA", at=(10.0 * k, 0.0, 0.0))
        lines += [f"MODEL     {k + 1:>4}", atom, "ENDMDL"]
    path = write(lines)
    assert [read_structure(path, frame=k).coords[0, 0] for k in range(3)] == [0.0, 10.0, 20.0]
    assert len(read_structure(path)) == 1


@pytest.mark.parametrize("parting", ["END", "ENDMDL"])
def test_models_may_be_parted_by_their_ends_alone(write, parting):
    path = write([pdb_atom("CA"), parting, pdb_atom("CA", at=(5.0, 0.0, 0.0))])
    assert [read_structure(path, frame=k).coords[0, 0] for k in range(2)] == [0.0, 5.0]


def test_the_segment_stands_in_for_a_missing_chain(write):
    line = pdb_atom("CA", chain=" ")
    s = read_structure(write([line[:72] + "PROA" + line[76:]]))
    assert list(s.chain_ids) == ["PROA"]


def test_long_residue_names_are_kept(write):
    line = pdb_atom("OH2", "TIP")
    s = read_structure(write([line[:17] + "TIP3" + line[21:]]))
    assert list(s.residue_names) == ["TIP3"]


def test_hexadecimal_numbers_of_large_files_part_residues(write):
    first, second = (pdb_atom("O", "HOH", element="O") for _ in range(2))
    lines = [first[:22] + "A000" + first[26:], second[:22] + "A001" + second[26:]]
    assert read_structure(write(lines)).n_residues == 2


def two_conformers(occupancies: tuple[float, float]) -> list[str]:
    lines = residue("SER", 1, "N CA C O")
    for letter, x, occupancy in zip("AB", (1.0, 2.0), occupancies, strict=True):
        lines += [
            pdb_atom(name, "SER", at=(x, 0.0, 0.0), alt=letter, occupancy=occupancy)
            for name in ("CB", "OG")
        ]
    return lines


@pytest.mark.parametrize(
    ("occupancies", "x"), [((0.7, 0.3), 1.0), ((0.3, 0.7), 2.0), ((0.5, 0.5), 1.0)]
)
def test_the_most_occupied_conformer_is_kept_else_the_first(write, occupancies, x):
    s = read_structure(write(two_conformers(occupancies)))
    assert " ".join(s.atom_names) == "N CA C O CB OG"
    np.testing.assert_array_equal(s.coords[-2:, 0], [x, x])


def test_each_residue_chooses_its_own_conformer(write):
    lines = [
        pdb_atom("CB", number=1, alt="A", occupancy=0.6, at=(1, 0, 0)),
        pdb_atom("CB", number=1, alt="B", occupancy=0.4, at=(2, 0, 0)),
        pdb_atom("CB", number=2, alt="A", occupancy=0.2, at=(3, 0, 0)),
        pdb_atom("CB", number=2, alt="B", occupancy=0.8, at=(4, 0, 0)),
    ]
    np.testing.assert_array_equal(read_structure(write(lines)).coords[:, 0], [1.0, 4.0])


@pytest.mark.parametrize("interleaved", [False, True])
def test_a_place_shared_by_two_residues_keeps_one_of_them(write, interleaved):
    serine = residue("SER", 5, "N CA C O CB OG", alt="A", occupancy=0.4)
    threonine = residue("THR", 5, "N CA C O CB CG2", alt="B", occupancy=0.6)
    pairs = [line for pair in zip(serine, threonine, strict=True) for line in pair]
    s = read_structure(write(pairs if interleaved else serine + threonine))
    assert set(s.residue_names) == {"THR"}
    assert " ".join(s.atom_names) == "N CA C O CB CG2"
    assert s.n_residues == 1


def test_an_unlettered_atom_competes_with_its_lettered_twin(write):
    lines = [
        pdb_atom("CB", occupancy=0.8, at=(1, 0, 0)),
        pdb_atom("CB", occupancy=0.2, at=(2, 0, 0), alt="B"),
    ]
    np.testing.assert_array_equal(read_structure(write(lines)).coords[:, 0], [1.0])


def test_conformers_that_share_no_atom_both_stay(write):
    lines = [
        pdb_atom("CB", alt="A", occupancy=0.6),
        pdb_atom("CB", alt="B", occupancy=0.4),
        pdb_atom("O", alt="C", occupancy=0.3),
        pdb_atom("O", alt="D", occupancy=0.2),
    ]
    assert list(read_structure(write(lines)).atom_names) == ["CB", "O"]


def test_an_atom_of_the_rejected_conformer_alone_goes_with_it(write):
    lines = [
        pdb_atom("ND1", "HIS", alt="A", occupancy=0.6),
        pdb_atom("HD1", "HIS", alt="A", occupancy=0.6),
        pdb_atom("ND1", "HIS", alt="B", occupancy=0.4),
        pdb_atom("HE2", "HIS", alt="B", occupancy=0.4),
    ]
    assert list(read_structure(write(lines)).atom_names) == ["ND1", "HD1"]
