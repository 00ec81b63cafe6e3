"""Of one file, PyMOL's user and the shell's get the same atoms in the same order, to the bit."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymol_support import open_pymol

from moedsr_core.chemistry import CAPS
from moedsr_core.structure import Structure, polymer_heavy_atoms
from moedsr_core.structure_io import read_structure
from moedsr_pymol.atoms import _CAPS, polymer_atoms

BACKBONE = [("N", "", 1.0), ("CA", "", 1.0), ("C", "", 1.0), ("O", "", 1.0)]
SIDES = {
    "two weak atoms against a strong one": (
        [("CB", "A", 0.35), ("OG", "A", 0.35), ("CB", "B", 0.65)],
        {"CB": "B"},
    ),
    "letters that share no atom": (
        [("CB", "A", 0.6), ("CB", "B", 0.4), ("OG", "C", 0.3), ("OG", "D", 0.7)],
        {"CB": "A", "OG": "D"},
    ),
    "a tie goes to the first": (
        [("CB", "A", 0.5), ("CB", "B", 0.5), ("OG", "A", 0.5), ("OG", "B", 0.5)],
        {"CB": "A", "OG": "A"},
    ),
    "a tie goes to the first in the file, not in the alphabet": (
        [("CB", "B", 0.5), ("CB", "A", 0.5), ("OG", "B", 0.5), ("OG", "A", 0.5)],
        {"CB": "B", "OG": "B"},
    ),
    "a tie between means that differ by noise": (
        [("CB", "A", 0.3), ("CB", "B", 0.3), ("OG", "B", 0.3), ("HG", "B", 0.3)],
        {"CB": "A"},
    ),
    "an atom with and without a letter": (
        [("CB", "", 0.4), ("CB", "A", 0.6), ("OG", "", 1.0)],
        {"CB": "A", "OG": ""},
    ),
}


def write(path: Path, side: list[tuple[str, str, float]]) -> list[str]:
    """A file of three serines, the second with alternates; which alternate lies where in z."""
    lines, letters = [], []
    for residue in (1, 2, 3):
        plain = [*BACKBONE, ("CB", "", 1.0), ("OG", "", 1.0)]
        for name, letter, occupancy in [*BACKBONE, *side] if residue == 2 else plain:
            letters.append(letter)
            lines.append(
                f"ATOM  {len(lines) + 1:5d}  {name:<3s}{letter or ' '}SER A{residue:4d}    "
                f"{1.5 * residue:8.3f}{0.3 * len(name):8.3f}{len(lines):8.3f}{occupancy:6.2f}"
                f"{20.0:6.2f}          {name[0]:>2s}"
            )
    path.write_text("\n".join([*lines, "END", ""]))
    return letters


@pytest.fixture(scope="module")
def cmd() -> Any:
    with open_pymol("") as cmd:
        yield cmd


def same_atoms(cmd: Any, path: Path) -> Structure:
    """The atoms that the core takes of a file, which must be those that the plugin sends."""
    core = polymer_heavy_atoms(read_structure(path))
    cmd.load(str(path), "file")
    sent = polymer_atoms("file", 1, cmd).arrays()
    cmd.delete("file")
    for name, array in sent.items():
        np.testing.assert_array_equal(array, getattr(core, name), name)
    return core


CAPPED = [
    *[("B", residue, name) for residue in ("ACE 1", "SER 2", "NME 3")
      for name in (("CH3", "C", "O") if residue[0] == "A" else ("N", "CA", "HA"))],
    *[("A", "HSE 1", name) for name in ("N", "CA", "CB", "HB1", "C", "OT1", "OT2")],
]  # fmt: skip
"""Chain, residue and name of atoms that PyMOL would sort."""


def line(chain: str, residue: str, name: str) -> str:
    """A line of a file, at a place of its own that no power of two divides."""
    label, number = residue.split()
    at = [0.1 * number_of(chain + residue + name + axis) for axis in "xyz"]
    where = "".join(f"{x:8.3f}" for x in at)
    return (
        f"ATOM  {1:5d}  {name:<3s} {label} {chain}{number:>4s}    {where}{1.0:6.2f}{0.0:6.2f}"
        + (f"{name[0]:>12s}\n")
    )


def number_of(text: str) -> int:
    """A number from 0 to 999 that follows from a text."""
    return zlib.crc32(text.encode()) % 1000


@pytest.mark.parametrize("case", SIDES)
def test_the_plugin_keeps_the_atoms_that_the_core_keeps(cmd, tmp_path, case):
    side, kept = SIDES[case]
    letters = write(tmp_path / "twin.pdb", side)
    core = same_atoms(cmd, tmp_path / "twin.pdb")
    found = {
        name: letters[round(z)]
        for name, residue, z in zip(
            core.atom_names, core.residue_ids, core.coords[:, 2], strict=True
        )
        if residue == "2" and name in ("CB", "OG")
    }
    assert found == kept


def test_hydrogens_caps_and_the_order_of_the_file_make_no_difference(cmd, tmp_path):
    path = tmp_path / "capped.pdb"
    path.write_text("".join(line(*atom) for atom in CAPPED))
    atoms = same_atoms(cmd, path)
    assert atoms.atom_names.tolist() == [name for _, _, name in CAPPED if name[0] != "H"]
    assert atoms.residue_ids.tolist()[-6:] == ["1"] * 6  # chain B is first in the file


def test_every_cap_of_the_core_is_one_of_the_plugins():
    assert set(_CAPS.split("+")) == CAPS


def test_an_object_of_two_files_keeps_its_residues_whole(cmd, tmp_path):
    write(tmp_path / "one.pdb", SIDES["a tie goes to the first"][0])
    for name, chain in (("one", "A"), ("two", "Z")):
        cmd.load(str(tmp_path / "one.pdb"), name)
        cmd.alter(name, f"chain='{chain}'")
    cmd.create("both", "one or two")
    atoms = polymer_atoms("both", 1, cmd)
    cmd.delete("one two both")
    assert atoms.residue_index.tolist() == [k for k in range(6) for _ in range(6)]
