"""Which structure files are simulated, and under which names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moedsr_core.errors import InputError
from moedsr_core.simulation.options import SimulationConfig
from moedsr_core.simulation.protein import Protein
from moedsr_core.simulation.start import digest
from moedsr_core.structure_io import STRUCTURE_SUFFIXES
from moedsr_core.wording import reason


def proteins(paths: Sequence[Path], out: Path, config: SimulationConfig) -> list[Protein]:
    """Structure files, and those in folders, as what is to be made of them.

    Raises:
        InputError: If there is none, a file cannot be read, or two would have one name.
    """
    files = [file for path in paths for file in (_structures_in(path) if path.is_dir() else [path])]
    if not files:
        raise InputError("no structures were named; give PDB or mmCIF files, or folders of them")
    found: dict[str, Protein] = {}
    for file in files:
        name = _name_of(file)
        if name in found:
            raise InputError(
                f"{found[name].source} and {file} would both be called {name}; rename one of them"
            )
        try:
            found[name] = Protein(file, name, out, config, digest(file))
        except OSError as error:
            raise InputError(
                f"{file} could not be read ({reason(error)}); check the path"
            ) from error
    return list(found.values())


def _structures_in(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and _ending(path)]
    if not found:
        raise InputError(f"{folder} holds no PDB or mmCIF file; give another folder")
    return found


def _name_of(file: Path) -> str:
    ending = _ending(file)
    name = file.name[: -len(ending)] if ending else ""
    if not name or name.startswith("."):
        raise InputError(
            f"{file} is not called like a PDB or mmCIF file; give NAME.pdb or NAME.cif"
        )
    return name


def _ending(file: Path) -> str:
    """The known ending of a file's name; empty where there is none."""
    lower = file.name.lower()
    return next((ending for ending in STRUCTURE_SUFFIXES if lower.endswith(ending)), "")
