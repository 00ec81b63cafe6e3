"""What a structure file says about its atoms is what we read from it."""

from __future__ import annotations

import gc
import gzip
import shutil
import warnings
from pathlib import Path

import gemmi
import mdtraj
import numpy as np
import pytest

from moedsr_core.chemistry import RESIDUE_KINDS
from moedsr_core.errors import InputError
from moedsr_core.structure import MAX_ATOMS, Structure, from_arrays, polymer_heavy_atoms
from moedsr_core.structure_io import from_mdtraj, read_structure


def pdb_atom(
    name: str,
    residue: str = "ALA",
    *,
    at: tuple[float, float, float] = (0.0, 0.0, 0.0),
    chain: str = "A",
    number: int = 1,
    insertion: str = "",
    alt: str = "",
    occupancy: float = 1.0,
    element: str | None = None,
    record: str = "ATOM",
) -> str:
    """One atom line; names stand in column 14 as those of one-letter elements do."""
    symbol = name.lstrip("0123456789")[:1] if element is None else element
    padded = name if len(name) == 4 else f" {name}"
    x, y, z = at
    return (
        f"{record:<6}{1:>5} {padded:<4}{alt:1}{residue:>3} {chain:1}{number:>4}{insertion:1}   "
        f"{x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f}{0:6.2f}          {symbol:>2}"
    )


def residue(name: str, number: int, atoms: str = "N CA C O CB", **fields) -> list[str]:
    """Lines of a residue whose atoms stand 1 Å apart."""
    return [
        pdb_atom(atom, name, number=number, at=(float(i), float(number), 0.0), **fields)
        for i, atom in enumerate(atoms.split())
    ]


@pytest.fixture
def write(tmp_path):
    def write(lines: list[str] | str, name: str = "m.pdb") -> Path:
        path = tmp_path / name
        path.write_text(lines if isinstance(lines, str) else "\n".join([*lines, "END", ""]))
        return path

    return write


def peptide() -> list[str]:
    return residue("GLY", 1, "N CA C O") + residue("LYS", 2, "N CA C O CB CG CD CE NZ")


# ---- reading ------------------------------------------------------------------------------


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


# ---- alternate locations ------------------------------------------------------------------


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


# ---- the polymer --------------------------------------------------------------------------


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


# ---- formats ------------------------------------------------------------------------------


def assert_same(a: Structure, b: Structure) -> None:
    np.testing.assert_allclose(a.coords, b.coords, atol=1e-9)
    for name in ("elements", "atom_names", "residue_names", "residue_ids", "chain_ids"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_array_equal(a.residue_index, b.residue_index)


def rich() -> list[str]:
    """Two models of a molecule with everything that is easily lost."""
    lines = []
    for k in range(2):
        lines += [
            f"MODEL     {k + 1:>4}",
            *residue("SER", 52),
            *residue("SER", 52, insertion="A"),
            *[pdb_atom(n, "CYS", number=60, alt="A", occupancy=0.4) for n in ("CB", "SG")],
            *[
                pdb_atom(n, "CYS", number=60, alt="B", occupancy=0.6, at=(0, 0, 5.0 + k))
                for n in ("CB", "SG")
            ],
            "TER",
            *residue("DG", 1, "P O5' C1'", chain="B"),
            "TER",
            pdb_atom("CA", "CA", number=100, element="CA", record="HETATM"),
            "ENDMDL",
        ]
    return lines


@pytest.mark.parametrize("frame", [0, 1])
@pytest.mark.parametrize("ending", ["cif", "cif.gz", "mmcif"])
def test_mmcif_and_pdb_of_one_molecule_read_alike(write, tmp_path, ending, frame):
    pdb = write(rich())
    molecule = gemmi.read_pdb(str(pdb), split_chain_on_ter=True)
    text = molecule.make_mmcif_document().as_string()
    path = tmp_path / f"m.{ending}"
    opener = gzip.open if ending.endswith("gz") else open
    with opener(path, "wt") as out:
        out.write(text)
    assert_same(read_structure(path, frame=frame), read_structure(pdb, frame=frame))


def test_a_gzipped_pdb_file_reads_like_the_plain_one(write, tmp_path):
    pdb = write(rich())
    packed = tmp_path / "M.PDB.GZ"
    packed.write_bytes(gzip.compress(pdb.read_bytes()))
    assert_same(read_structure(packed), read_structure(pdb))


def mdtraj_peptide(names: tuple[str, ...] = ("GLY", "LYS")) -> mdtraj.Trajectory:
    """Four frames of a backbone at random."""
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for number, name in enumerate(names, start=1):
        r = topology.add_residue(name, chain, resSeq=number)
        for atom in "N CA C O".split():
            topology.add_atom(atom, mdtraj.element.get_by_symbol(atom[0]), r)
    shape = (4, topology.n_atoms, 3)
    xyz_nm = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    return mdtraj.Trajectory(xyz_nm, topology)


def save(t: mdtraj.Trajectory, path: Path) -> None:
    with warnings.catch_warnings():  # mdtraj's advice on faster libraries
        warnings.simplefilter("ignore")
        t.save(str(path))


@pytest.fixture
def trajectory(tmp_path) -> tuple[mdtraj.Trajectory, Path]:
    t = mdtraj_peptide()
    save(t[0], tmp_path / "top.pdb")
    return t, tmp_path


@pytest.mark.parametrize("ending", ["xtc", "trr", "dcd", "nc", "xyz", "mdcrd", "gro", "pdb"])
def test_a_frame_of_a_trajectory_is_read_in_angstrom(trajectory, ending):
    t, folder = trajectory
    path = folder / f"t.{ending}"
    save(t, path)
    s = read_structure(path, topology=folder / "top.pdb", frame=2)
    np.testing.assert_allclose(s.coords, 10 * t.xyz[2], atol=0.011)
    assert list(s.residue_names[::4]) == ["GLY", "LYS"]


def test_a_file_that_names_its_atoms_needs_no_topology(trajectory):
    t, folder = trajectory
    save(t, folder / "t.gro")
    s = read_structure(folder / "t.gro", frame=3)
    np.testing.assert_allclose(s.coords, 10 * t.xyz[3], atol=0.011)
    assert list(s.elements) == list("NCCO") * 2


def test_a_gro_file_serves_as_topology(trajectory):
    t, folder = trajectory
    save(t[0], folder / "top.gro")
    save(t, folder / "t.xtc")
    a = read_structure(folder / "t.xtc", topology=folder / "top.gro", frame=1)
    b = read_structure(folder / "t.xtc", topology=folder / "top.pdb", frame=1)
    np.testing.assert_array_equal(a.coords, b.coords)
    np.testing.assert_array_equal(a.atom_names, b.atom_names)


def test_a_topology_keeps_the_insertion_codes_of_its_pdb_file(write, tmp_path):
    top = write(residue("SER", 52, "N CA") + residue("SER", 52, "N CA", insertion="A"), "top.pdb")
    t = mdtraj_peptide().atom_slice(range(4))
    save(t, tmp_path / "t.xtc")
    s = read_structure(tmp_path / "t.xtc", topology=top)
    assert list(s.residue_ids) == ["52", "52", "52A", "52A"]


def test_an_mdtraj_topology_becomes_a_structure():
    t = mdtraj_peptide()
    s = from_mdtraj(t.topology, 10 * t.xyz[0].astype(np.float64))
    assert list(s.residue_ids) == ["1"] * 4 + ["2"] * 4
    assert s.n_residues == 2


@pytest.mark.data
def test_real_structures_read_as_gemmi_reads_them(data_dir):
    for path in sorted((data_dir / "structures").glob("*.pdb"))[::6]:
        ours, theirs = read_structure(path), gemmi.read_pdb(str(path), split_chain_on_ter=True)
        atoms = [a.atom for a in theirs[0].all() if a.atom.altloc in ("\0", "A")]
        assert list(ours.atom_names) == [a.name for a in atoms], path
        assert list(ours.elements) == [a.element.name.upper() for a in atoms], path
        np.testing.assert_allclose(ours.coords, [a.pos.tolist() for a in atoms], atol=1e-9)


@pytest.mark.data
def test_a_real_trajectory_frame_reads_as_mdtraj_reads_it(data_dir):
    folder = data_dir / "protein_md" / "trpcage_tc5b"
    s = read_structure(folder / "traj.xtc", topology=folder / "top.pdb", frame=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        t = mdtraj.load_frame(str(folder / "traj.xtc"), 5, top=str(folder / "top.pdb"))
    np.testing.assert_allclose(s.coords, 10.0 * t.xyz[0], atol=1e-5)
    assert s.polymer.n_residues == 20


# ---- arrays -------------------------------------------------------------------------------


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


# ---- bad files ----------------------------------------------------------------------------


def assert_refused(words: str, path: Path, **options) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_structure(path, **options)
    assert "\n" not in str(caught.value)


def test_missing_empty_and_folder_are_refused(tmp_path, write):
    assert_refused("there is no file", tmp_path / "none.pdb")
    assert_refused("got the folder", tmp_path)
    assert_refused("is empty", write("", "empty.pdb"))
    assert_refused("there is no file", write(peptide()), topology=tmp_path / "none.pdb")


@pytest.mark.parametrize(
    "name", ["m.pdb", "m.ent", "m.cif", "m.gro", "m.h5", "m.pdb.gz", "m.cif.gz"]
)
def test_bytes_of_another_format_are_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4)
    with warnings.catch_warnings():  # mdtraj leaves a GRO file open where it fails
        warnings.simplefilter("ignore", ResourceWarning)
        assert_refused("no atoms|could not be read|damaged", path)
        gc.collect()


@pytest.mark.parametrize("name", ["t.xtc", "t.trr", "t.dcd", "t.nc"])
def test_damaged_trajectories_are_refused(tmp_path, write, name):
    top = write(peptide())
    path = tmp_path / name
    path.write_bytes(b"not a trajectory " * 50)
    assert_refused("could not be read", path, topology=top)


def test_an_unknown_ending_is_refused(write):
    assert_refused("no known format", write("hello", "m.docx"))


def test_a_trajectory_by_itself_is_refused(trajectory):
    t, folder = trajectory
    save(t, folder / "t.xtc")
    assert_refused("topology", folder / "t.xtc")


def test_a_pdb_file_cut_within_a_line_is_refused(write):
    text = "\n".join(peptide())
    cut = text[: text.rindex("ATOM") + 50]
    assert_refused("line 13 of .* is cut off", write(cut))


def test_mmcif_cut_within_a_row_is_refused(write, tmp_path):
    text = gemmi.read_pdb(str(write(peptide()))).make_mmcif_document().as_string()
    cut = text[: text.index("_atom_site.") + 0] + text[text.index("_atom_site.") :]
    end = cut.rindex("NZ") + 4
    assert_refused("damaged", write(cut[:end], "cut.cif"))


def test_a_cut_gzip_file_is_refused(tmp_path, write):
    packed = gzip.compress("\n".join(peptide() * 50).encode())
    path = tmp_path / "m.pdb.gz"
    path.write_bytes(packed[: len(packed) // 2])
    assert_refused("could not be read", path)


def test_a_cut_trajectory_gives_its_whole_frames_only(tmp_path):
    t = mdtraj_peptide(("GLY",) * 5)  # ten atoms or more are compressed
    save(t, tmp_path / "t.xtc")
    save(t[0], tmp_path / "top.pdb")
    (tmp_path / "cut.xtc").write_bytes((tmp_path / "t.xtc").read_bytes()[:-40])
    first = read_structure(tmp_path / "cut.xtc", topology=tmp_path / "top.pdb", frame=0)
    np.testing.assert_allclose(first.coords, 10 * t.xyz[0], atol=0.011)
    assert_refused(
        "could not be read", tmp_path / "cut.xtc", topology=tmp_path / "top.pdb", frame=3
    )


@pytest.mark.parametrize("cell", ["     nan", "********", "        ", " 1.0 2.0"])
def test_a_position_that_is_no_number_is_refused(write, cell):
    line = pdb_atom("CA")
    assert_refused("NaN|columns 31 to 54", write([line[:38] + cell + line[46:]]))


@pytest.mark.parametrize("cell", ["nan", "?", "abc"])
def test_a_position_of_mmcif_that_is_no_number_is_refused(write, cell):
    items = "id Cartn_x Cartn_y Cartn_z".split()
    head = "".join(f"_atom_site.{item}\n" for item in items)
    assert_refused("NaN|numbers", write(f"data_m\nloop_\n{head}1 0.0 {cell} 1.0\n", "m.cif"))


@pytest.mark.parametrize("frame", [-1, 2, 99])
def test_a_model_that_is_not_there_is_refused(write, frame):
    path = write(rich())
    assert_refused("frame", path, frame=frame)
    text = gemmi.read_pdb(str(path)).make_mmcif_document().as_string()
    assert_refused("frame", write(text, "m.cif"), frame=frame)


@pytest.mark.parametrize("frame", [-1, 4, 99])
@pytest.mark.parametrize("ending", ["xtc", "trr", "dcd", "nc", "xyz", "mdcrd", "gro"])
def test_a_frame_that_is_not_there_is_refused(trajectory, ending, frame):
    t, folder = trajectory
    save(t, folder / f"t.{ending}")
    words = "frame|could not be read"
    assert_refused(words, folder / f"t.{ending}", topology=folder / "top.pdb", frame=frame)


@pytest.mark.parametrize("ending", ["xtc", "trr", "dcd", "nc", "pdb", "gro"])
def test_a_topology_of_other_atoms_is_refused(trajectory, write, ending):
    t, folder = trajectory
    save(t, folder / f"t.{ending}")
    top = write(peptide(), "other.pdb")
    assert_refused("places 8 atoms but the topology names 13", folder / f"t.{ending}", topology=top)


def test_a_file_of_too_many_atoms_is_refused(write):
    line = pdb_atom("O", "HOH")
    assert_refused("up to 60,000 atoms", write([line] * (MAX_ATOMS + 1)))


def test_reading_leaves_the_file_alone(write, tmp_path):
    path = write(peptide())
    shutil.copy(path, tmp_path / "before")
    read_structure(path)
    assert path.read_bytes() == (tmp_path / "before").read_bytes()
