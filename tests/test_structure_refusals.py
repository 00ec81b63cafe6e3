"""Files that hold no structure are refused with one sentence."""

from __future__ import annotations

import gc
import gzip
import shutil
import warnings
from pathlib import Path

import gemmi
import numpy as np
import pytest
from structure_files import mdtraj_peptide, pdb_atom, peptide, rich, save

from moedsr_core.errors import InputError
from moedsr_core.structure import MAX_ATOMS
from moedsr_core.structure_io import read_structure

pytest_plugins = "structure_files"


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
