"""A tripeptide in motion for a few femtoseconds; as a program, one that is killed in between."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from moedsr_core.simulation.options import SimulationConfig
from moedsr_core.simulation.places import Place
from moedsr_core.simulation.protein import Protein
from moedsr_core.simulation.replicate import run_replicate
from moedsr_core.simulation.sources import proteins

PLACE = Place("CPU", threads=1)
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
SHORT = {
    "length_ns": 0.0002, "spacing_ps": 0.04, "equilibration_ps": 0.04, "minimization": 8,
    "replicates": 2,
}  # fmt: skip
"""Six frames, ten steps apart."""


def write_peptide(folder: Path, name: str = "ala") -> Path:
    from moving_protein import helix, pdb_text  # brings torch, which the killed program can spare

    path = folder / f"{name}.pdb"
    path.write_text(pdb_text(helix(3)), encoding="utf-8")
    return path


def protein(root: Path, **options) -> Protein:
    source = root / "ala.pdb"
    if not source.exists():
        write_peptide(root)
    return proteins([source], root / "out", SimulationConfig(**{**SHORT, **options}))[0]


if __name__ == "__main__":
    limit = int(sys.argv[2])

    def killed(label: str, frames: int, pace: float) -> None:
        if frames == limit:
            os.kill(os.getpid(), KILL)

    run_replicate(protein(Path(sys.argv[1])).begin()[0], PLACE, killed)
