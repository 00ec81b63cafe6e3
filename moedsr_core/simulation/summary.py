"""What became of all simulations, as one table."""

from __future__ import annotations

from pathlib import Path

from moedsr_core.files import whole_file
from moedsr_core.report import Row, csv_text
from moedsr_core.simulation.folding import Folding
from moedsr_core.simulation.options import LimitConfig
from moedsr_core.simulation.run import Result

SUMMARY = "summary.csv"
_FOLD = (
    "rmsd_last", "rmsd_largest", "gyration_start", "gyration_last", "gyration_largest",
)  # fmt: skip
_RUN = ("frames", "steps", "step_fs", *_FOLD, "ns_per_day")


def rows(result: Result, limits: LimitConfig, out: Path) -> list[Row]:
    """A row for each replicate, and one for each protein that failed.

    ``state`` is ``folded``, ``unfolds`` where a limit was passed, or ``failed``.
    """
    table: list[Row] = []
    for name, record in sorted(result.records.items()):
        for run in record["replicates"]:
            said = Folding(**{key: run[key] for key in _FOLD}).complaints(limits)
            file = out / name / f"{name}_{run['replicate']}.xtc"
            table.append(
                {
                    "name": name,
                    "replicate": run["replicate"],
                    "state": "unfolds" if said else "folded",
                    "residues": record["residues"],
                    "atoms": record["atoms"]["written"],
                    **{key: run[key] for key in _RUN},
                    "bytes": file.stat().st_size,
                    "note": "; ".join(said),
                }
            )
    empty = dict.fromkeys(("replicate", "residues", "atoms", *_RUN, "bytes"), "")
    for name, reason in sorted(result.failures.items()):
        row = {"name": name, "replicate": "", "state": "failed", **empty, "note": reason}
        table.append({key: row[key] for key in (table[0] if table else row)})
    return table


def write_summary(result: Result, limits: LimitConfig, out: Path) -> None:
    """The table as ``summary.csv`` beside the proteins, whole or not at all.

    Raises:
        InputError: If it cannot be written.
    """
    with whole_file(out / SUMMARY) as file:
        file.write(csv_text(rows(result, limits, out)).encode())
