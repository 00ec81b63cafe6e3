"""Structure files and trajectories written for tests."""

from __future__ import annotations

import warnings
from pathlib import Path

import mdtraj
import numpy as np
import pytest


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


def peptide() -> list[str]:
    return residue("GLY", 1, "N CA C O") + residue("LYS", 2, "N CA C O CB CG CD CE NZ")


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
def write(tmp_path):
    def write(lines: list[str] | str, name: str = "m.pdb") -> Path:
        path = tmp_path / name
        path.write_text(lines if isinstance(lines, str) else "\n".join([*lines, "END", ""]))
        return path

    return write


@pytest.fixture
def trajectory(tmp_path) -> tuple[mdtraj.Trajectory, Path]:
    t = mdtraj_peptide()
    save(t[0], tmp_path / "top.pdb")
    return t, tmp_path
