"""Of alternate locations, PyMOL's user and the shell's get the same atoms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymol_support import open_pymol

from moedsr_core.structure_io import read_structure
from moedsr_pymol.atoms import polymer_atoms

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


@pytest.mark.parametrize("case", SIDES)
def test_the_plugin_keeps_the_atoms_that_the_core_keeps(cmd, tmp_path, case):
    side, kept = SIDES[case]
    letters = write(tmp_path / "twin.pdb", side)
    core = read_structure(tmp_path / "twin.pdb")
    cmd.load(str(tmp_path / "twin.pdb"), "twin")
    plugin = polymer_atoms("twin", 1, cmd)
    cmd.delete("twin")
    found = {
        name: letters[round(z)]
        for name, residue, z in zip(
            core.atom_names, core.residue_ids, core.coords[:, 2], strict=True
        )
        if residue == "2" and name in ("CB", "OG")
    }
    assert found == kept
    rows = [
        sorted(zip(atoms.atom_names.tolist(), np.round(atoms.coords[:, 2]).tolist(), strict=True))
        for atoms in (core, plugin)
    ]
    assert rows[0] == rows[1]
