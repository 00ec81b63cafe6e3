"""Atoms as structure files list them, one row each, and the one conformation they hold.

PDB files are read by their columns (format version 3.3, wwPDB 2012), because every program that
would do it for us renames atoms, drops insertion codes or reorders chains; mmCIF by gemmi.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import gemmi
import numpy as np

from moedsr_core.errors import InputError
from moedsr_core.structure import Structure, from_arrays, refuse_too_many
from moedsr_core.wording import counted

_CIF_ITEMS = {
    "name": ("auth_atom_id", "label_atom_id"),
    "residue": ("auth_comp_id", "label_comp_id"),
    "chain": ("auth_asym_id", "label_asym_id"),
    "number": ("auth_seq_id", "label_seq_id"),
    "insertion": ("pdbx_PDB_ins_code",),
    "altloc": ("label_alt_id",),
    "element": ("type_symbol",),
    "occupancy": ("occupancy",),
    "model": ("pdbx_PDB_model_num",),
    "x": ("Cartn_x",),
    "y": ("Cartn_y",),
    "z": ("Cartn_z",),
}


class AtomRow(NamedTuple):
    """One line of a structure file; text stripped, position in Å."""

    name: str
    altloc: str
    residue: str
    chain: str
    residue_id: str
    x: float
    y: float
    z: float
    occupancy: float
    element: str


def read_pdb(path: Path, frame: int) -> Structure:
    """Model number ``frame`` of a PDB file, plain or gzipped.

    Raises:
        InputError: If the file cannot be read as PDB or has no such model.
    """
    with open_text(path) as lines:
        model, rows = -1, []
        for model, number, line in _atom_lines(lines):
            if model == frame:
                rows.append(_pdb_row(line, f"line {number} of {path}"))
                refuse_too_many(len(rows))
    if model < 0:
        raise InputError(f"{path} holds no atoms in PDB format; give a PDB or mmCIF file")
    refuse_frame(path, frame, model + 1)
    return structure_of(rows)


def read_cif(path: Path, frame: int) -> Structure:
    """Model number ``frame`` of an mmCIF file, plain or gzipped.

    Raises:
        InputError: If the file cannot be read as mmCIF or has no such model.
    """
    with open_text(path) as stream:
        text = stream.read()
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as err:
        reason = str(err).removeprefix("string:")
        raise InputError(f"{path} is damaged or not mmCIF, at line {reason}") from err
    for block in document:
        columns = _cif_columns(block)
        if columns is not None:
            return structure_of(_cif_rows(path, columns, frame))
    raise InputError(f"{path} holds no atoms in mmCIF format; give a PDB or mmCIF file")


def structure_of(rows: list[AtomRow]) -> Structure:
    """The structure that rows describe, one conformation for each residue.

    Positions are those of float32, as PyMOL keeps them, so that both predict the same of a file.

    Raises:
        InputError: If there are no rows, too many, or coordinates that are not finite.
    """
    refuse_too_many(len(rows))
    if not rows:
        raise InputError("the chosen model holds no atoms; choose another frame")
    rows = _without_alternates(rows)
    columns = AtomRow(*zip(*rows, strict=True))  # type: ignore[arg-type]
    return from_arrays(
        np.array([columns.x, columns.y, columns.z], np.float32).T.astype(np.float64),
        elements=np.array(columns.element),
        atom_names=np.array(columns.name),
        residue_names=np.array(columns.residue),
        residue_ids=np.array(columns.residue_id),
        chain_ids=np.array(columns.chain),
    )


def open_text(path: Path) -> TextIOWrapper:
    """A plain or gzipped file as text."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="latin-1")
    return open(path, encoding="latin-1")


def refuse_frame(path: Path, frame: int, n_frames: int) -> None:
    """Raise InputError where a file has no frame of that number."""
    if not 0 <= frame < n_frames:
        raise InputError(
            f"{path} has {counted(n_frames, 'frame')}, numbered from 0; there is no frame {frame}"
        )


def _atom_lines(lines: Iterable[str]) -> Iterator[tuple[int, int, str]]:
    """Model, line number and text of every atom line; MODEL, ENDMDL and END part the models."""
    model, inside = -1, False
    for number, line in enumerate(lines, start=1):
        record = line[:6].rstrip()
        if record == "MODEL" or (not inside and record in ("ATOM", "HETATM")):
            model, inside = model + 1, True
        if record in ("ATOM", "HETATM"):
            yield model, number, line.rstrip("\r\n")
        elif record in ("ENDMDL", "END"):
            inside = False


def _pdb_row(line: str, where: str) -> AtomRow:
    if len(line) < 54:
        raise InputError(f"{where} is cut off: an atom needs 54 columns, got {len(line)}")
    try:
        x, y, z = (float(line[k : k + 8]) for k in (30, 38, 46))
    except ValueError as err:
        raise InputError(
            f"{where} must hold x, y and z in columns 31 to 54, got {line[30:54]!r}"
        ) from err
    try:
        occupancy = float(line[54:60])
    except ValueError:
        occupancy = 1.0
    return AtomRow(
        name=line[12:16].strip(),
        altloc=line[16].strip(),
        residue=line[17:21].strip(),
        chain=line[21].strip() or line[72:76].strip(),
        residue_id=line[22:27].replace(" ", ""),
        x=x,
        y=y,
        z=z,
        occupancy=occupancy,
        element=line[76:78].strip(),
    )


def _cif_columns(block: gemmi.cif.Block) -> dict[str, list[str]] | None:
    """Columns of the atom table, by our names; None where the block has none."""
    table = block.get_mmcif_category("_atom_site.")
    n = len(next(iter(table.values()), []))
    if n == 0 or not {"Cartn_x", "Cartn_y", "Cartn_z"} <= table.keys():
        return None
    columns = {}
    for field, items in _CIF_ITEMS.items():
        found = [table[item] for item in items if item in table] or [[None] * n]
        columns[field] = [
            next((str(value) for value in values if value), "")
            for values in zip(*found, strict=True)
        ]
    return columns


def _cif_rows(path: Path, columns: dict[str, list[str]], frame: int) -> list[AtomRow]:
    models = list(dict.fromkeys(columns["model"]))
    refuse_frame(path, frame, len(models))
    chosen = [i for i, model in enumerate(columns["model"]) if model == models[frame]]
    refuse_too_many(len(chosen))
    try:
        return [_cif_row({field: values[i] for field, values in columns.items()}) for i in chosen]
    except ValueError as err:
        raise InputError(f"{path} must give every atom's position as numbers: {err}") from err


def _cif_row(cells: dict[str, str]) -> AtomRow:
    return AtomRow(
        name=cells["name"],
        altloc=cells["altloc"],
        residue=cells["residue"],
        chain=cells["chain"],
        residue_id=cells["number"] + cells["insertion"],
        x=float(cells["x"]),
        y=float(cells["y"]),
        z=float(cells["z"]),
        occupancy=float(cells["occupancy"] or 1.0),
        element=cells["element"],
    )


def _without_alternates(rows: list[AtomRow]) -> list[AtomRow]:
    """Keep one alternate location for each residue: the most occupied, else the first."""
    if not any(row.altloc for row in rows):
        return rows
    kept: list[AtomRow] = []
    for site in _sites(rows):
        kept += _one_conformer(site) if any(row.altloc for row in site) else site
    return kept


def _sites(rows: list[AtomRow]) -> Iterator[list[AtomRow]]:
    """Consecutive rows of one place in a chain; alternates may differ in residue name there."""
    site = [rows[0]]
    for last, row in pairwise(rows):
        moved = (last.chain, last.residue_id) != (row.chain, row.residue_id)
        renamed = last.residue != row.residue and not (last.altloc and row.altloc)
        if moved or renamed:
            yield site
            site = []
        site.append(row)
    yield site


def _one_conformer(site: list[AtomRow]) -> list[AtomRow]:
    """Rows of the most occupied conformer, and of conformers that share no atom with it."""
    lettered = {row.name for row in site if row.altloc}
    conformers: dict[str, list[AtomRow]] = {}
    for row in site:
        if row.name in lettered:
            conformers.setdefault(row.altloc, []).append(row)
    by_occupancy = sorted(conformers, key=lambda letter: -_occupancy(conformers[letter]))
    residue = conformers[by_occupancy[0]][0].residue
    letters: set[str] = set()
    names: set[str] = set()
    for letter in by_occupancy:
        own = {row.name for row in conformers[letter] if row.residue == residue}
        if own and not own & names:
            letters.add(letter)
            names |= own
    return [row for row in site if row.name not in lettered or row.altloc in letters]


def _occupancy(rows: list[AtomRow]) -> float:
    """Their mean, without the noise that would decide between equal ones."""
    return round(float(np.mean([row.occupancy for row in rows])), 4)
