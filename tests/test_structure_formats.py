"""One molecule reads alike from every format."""

from __future__ import annotations

import gzip
import warnings

import gemmi
import mdtraj
import numpy as np
import pytest
from structure_files import mdtraj_peptide, residue, rich, save

from moedsr_core.structure import Structure
from moedsr_core.structure_io import from_mdtraj, read_structure

pytest_plugins = "structure_files"


def assert_same(a: Structure, b: Structure) -> None:
    np.testing.assert_allclose(a.coords, b.coords, atol=1e-9)
    for name in ("elements", "atom_names", "residue_names", "residue_ids", "chain_ids"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_array_equal(a.residue_index, b.residue_index)


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
