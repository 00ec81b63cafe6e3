"""One protein's folder: in the making beside its place, and moved there once all is whole.

The layout is ATLAS's, with where it came from beside it::

    NAME/NAME.pdb   NAME/NAME_R1.xtc …   NAME/simulation.json   NAME/notes.txt
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from moedsr_core.data.ensemble import load_ensemble
from moedsr_core.data.journal import differences
from moedsr_core.errors import InputError
from moedsr_core.files import whole_file, writing
from moedsr_core.simulation.folding import folding
from moedsr_core.simulation.options import FORCE_FIELD, PH, LimitConfig, SimulationConfig
from moedsr_core.simulation.replicate import Replicate
from moedsr_core.simulation.start import complete
from moedsr_core.structure import polymer_heavy_atoms
from moedsr_core.structure_io import read_structure
from moedsr_core.versions import versions
from moedsr_core.wording import reason

RECORD = "simulation.json"
"""Says how a folder's trajectories were made."""
_BEGUN = "start.json"
_PACKAGES = ("openmm", "pdbfixer", "mdtraj", "numpy")


@dataclass(frozen=True)
class Protein:
    """What is to be made of one structure file.

    Attributes:
        source: The structure file.
        name: Name of its folder and files.
        out: Where the folder is to be.
        config: How it is simulated.
        sha256: Of the structure file.
    """

    source: Path
    name: str
    out: Path
    config: SimulationConfig
    sha256: str

    @property
    def home(self) -> Path:
        """The whole folder."""
        return self.out / self.name

    @property
    def part(self) -> Path:
        """The folder while it is made."""
        return self.out / f".{self.name}.part"

    @property
    def recipe(self) -> dict:
        """All that the trajectories depend on beside versions."""
        source = {"file": self.source.name, "sha256": self.sha256}
        return {**asdict(self.config), "force_field": list(FORCE_FIELD), "ph": PH, "source": source}

    @property
    def replicates(self) -> list[Replicate]:
        """Its runs."""
        numbers = range(1, self.config.replicates + 1)
        return [Replicate(self.part, self.name, k, self.config, self.recipe) for k in numbers]

    @property
    def is_finished(self) -> bool:
        """Whether the folder is there, whole.

        Raises:
            InputError: If something else is in its place, or it was made with other options.
        """
        if not self.home.exists():
            return False
        record = _read(self.home / RECORD)
        if record is None:
            raise InputError(f"{self.home} is in the way and not ours; give another folder")
        self._refuse_other(record, self.home)
        return True

    def begin(self) -> list[Replicate]:
        """Make the molecule complete and write where it starts; the replicates that are to be run.

        Raises:
            InputError: If the structure cannot be simulated, or was begun with other options.
        """
        begun = _read(self.part / _BEGUN)
        if begun is None:
            self._write_start()
        else:
            self._refuse_other(begun, self.part)
        return [one for one in self.replicates if not one.record.is_file()]

    def finish(self, limits: LimitConfig) -> dict:
        """Look at all replicates, say how they were made, and put the folder in its place.

        Args:
            limits: From where on a run is said to unfold.

        Returns:
            What is written into ``simulation.json``.

        Raises:
            InputError: If a trajectory cannot be read again, or the disk is full.
        """
        record = self._record(limits)
        with writing(self.home):
            for file, text in (
                (RECORD, json.dumps(record, indent=1)),
                ("notes.txt", _text(record)),
            ):
                with whole_file(self.part / file) as out:
                    out.write(text.encode())
            os.replace(self.part, self.home)
            for path in [*self.home.glob(f"{self.name}_R*.json"), *self.home.glob("start.*")]:
                path.unlink()
        return record

    def read_record(self) -> dict:
        """What ``simulation.json`` says."""
        return _read(self.home / RECORD) or {}

    def _write_start(self) -> None:
        start = complete(self.source)
        written = start.without_hydrogens() if self.config.heavy_atoms else start
        atoms = {"all": start.topology.getNumAtoms(), "written": written.topology.getNumAtoms()}
        begun = {
            "recipe": self.recipe,
            "atoms": atoms,
            "residues": start.topology.getNumResidues(),
            "notes": list(start.notes),
        }
        with writing(self.part):
            self.part.mkdir(parents=True, exist_ok=True)
        texts = {
            f"{self.name}.pdb": written.pdb_text(),
            "start.pdb": start.pdb_text(),
            _BEGUN: json.dumps(begun),
        }
        for file, text in texts.items():
            with whole_file(self.part / file) as out:
                out.write(text.encode())

    def _record(self, limits: LimitConfig) -> dict:
        topology = self.part / f"{self.name}.pdb"
        start = polymer_heavy_atoms(read_structure(topology))
        runs = []
        for one in self.replicates:
            ensemble = load_ensemble(topology, one.trajectory, name=one.label)
            fold = folding(start, ensemble)
            notes = [*self._retried(one), *ensemble.notes, *fold.complaints(limits)]
            runs.append({**(_read(one.record) or {}), **fold.rounded(), "notes": notes})
        begun = _read(self.part / _BEGUN) or {}
        return {**begun, "versions": versions(_PACKAGES), "replicates": runs}

    def _retried(self, one: Replicate) -> list[str]:
        used = (_read(one.record) or {})["step_fs"]
        if used == self.config.step_fs:
            return []
        return [f"it was unstable with steps of {self.config.step_fs:g} fs and has {used:g} fs"]

    def _refuse_other(self, record: dict, where: Path) -> None:
        if record["recipe"] != self.recipe:
            raise InputError(
                f"{where} was made with {differences(record['recipe'], self.recipe)}; give another "
                "folder, or remove it to start over"
            )


def _text(record: dict) -> str:
    """What is odd about a protein's folder, for people."""
    lines = [record["recipe"]["source"]["file"], *(f"- {note}" for note in record["notes"])]
    for run in record["replicates"]:
        lines += [
            "",
            f"{run['replicate']}: Cα RMSD from the start {run['rmsd_last']:.2f} Å at the end, "
            f"{run['rmsd_largest']:.2f} Å at most; radius of gyration "
            f"{run['gyration_start']:.2f} Å at the start, {run['gyration_last']:.2f} Å at the end, "
            f"{run['gyration_largest']:.2f} Å at most",
            *(f"- {note}" for note in run["notes"]),
        ]
    return "\n".join([*lines, ""])


def _read(path: Path) -> dict | None:
    """A file of ours; None where there is none."""
    if not path.is_file():
        return None
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} could not be read ({reason(error)}); remove its folder to start over"
        ) from error
    return dict(read)
