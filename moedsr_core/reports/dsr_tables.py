"""Tables 1, 2, 4 and 5 of the DSR paper (Sun et al. 2023) for a trained model.

Reconstruction of training frames is Table 1, the future is Table 2, interpolation is Table 4, and
Table 5 is linear interpolation, which stands beside it here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moedsr_core.choices import check_choice, check_number
from moedsr_core.data.paths import PROTOCOLS, SETS, protocol_frames
from moedsr_core.errors import InputError
from moedsr_core.metrics.scores import CONVENTIONS, compare
from moedsr_core.report import markdown_table, shown
from moedsr_core.reports.dsr_contenders import (
    CONTENDERS,
    PER_PROTOCOL,
    Fineness,
    rmsd_to_previous,
    rmsd_to_training,
)
from moedsr_core.reports.trained_path import TrainedPath
from moedsr_core.surface.mesh import Mesh

METRICS = ("iou", "chamfer", "normal_consistency", "normal_consistency_signed")
FORMATS = {"chamfer": ".5f"}
PAPER: dict[tuple[str, str], str] = {
    ("dims", "reconstruction"): "0.9316 ± 0.0070 | 0.0003 ± 0.0001 | 0.9671 ± 0.0050",
    ("froda", "reconstruction"): "0.8318 ± 0.0286 | 0.0004 ± 0.0001 | 0.9098 ± 0.0175",
    ("adk_equilibrium", "reconstruction"): "0.7526 ± 0.0396 | 0.0020 ± 0.0009 | 0.7914 ± 0.0308",
    ("dims", "future_10"): "0.8467 ± 0.0423 | 0.0010 ± 0.0005 | 0.8666 ± 0.0504",
    ("froda", "future_10"): "0.7660 ± 0.0502 | 0.0012 ± 0.0006 | 0.8267 ± 0.0490",
    ("dims", "future_11_20"): "0.6835 ± 0.0551 | 0.0055 ± 0.0020 | 0.6932 ± 0.0474",
    ("froda", "future_11_20"): "0.6043 ± 0.0474 | 0.0044 ± 0.0012 | 0.6783 ± 0.0384",
}
"""Printed IoU, Chamfer distance and normal consistency (Tables 1 and 2)."""
Progress = Callable[[str, int, int], None]
"""Called with what is done, the steps done and the steps in all; may raise to stop."""


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What is measured, and how finely."""

    protocols: tuple[str, ...] = ("reconstruction", "interpolation", "future_10", "future_11_20")
    """Experiments: reconstruction, interpolation, interpolation_middle, future_10, future_11_20."""
    conventions: tuple[str, ...] = ("paper", "dsr_code")
    """How metrics are computed: the ``paper``'s formulas, or ``dsr_code``, those of its released
    code, which the paper's numbers are more likely to come from."""
    grid: int = 128
    """Grid nodes along each edge of Ω, for the model's surface and for IoU."""
    spacing: float = 0.7
    """Grid spacing of the surfaces of atoms [Å]."""
    samples: int = 0
    """Points sampled on each surface; 0 takes each convention's own number."""
    frames: int = 0
    """At most so many frames of each experiment, evenly spaced; 0 takes all."""
    seed: int = 0
    """Of the sampled points."""

    def __post_init__(self) -> None:
        """Refuse unknown names and grids that resolve nothing."""
        for protocol in self.protocols:
            check_choice("protocols", protocol, PROTOCOLS)
        for convention in self.conventions:
            check_choice("conventions", convention, CONVENTIONS)
        if not self.protocols or not self.conventions:
            raise InputError("the tables need at least one protocol and one convention, got none")
        check_number("grid", self.grid, 8, 512, whole=True)
        check_number("spacing", self.spacing, 0.1, 5.0)
        check_number("samples", self.samples, 0, 10**7, whole=True)
        check_number("frames", self.frames, 0, 10**6, whole=True)
        check_number("seed", self.seed, 0, 2**31, whole=True)

    @property
    def fineness(self) -> Fineness:
        """How finely surfaces are meshed."""
        return Fineness(nodes=self.grid, spacing=self.spacing)


def measure(
    path: TrainedPath, options: TableOptions, on_progress: Progress = lambda name, done, total: None
) -> list[dict[str, Any]]:
    """Scores of every contender at every tested frame of every experiment.

    Args:
        path: The trajectory and its model.
        options: What is measured.
        on_progress: Told of every frame; may raise to stop.

    Returns:
        A row for each protocol, frame, contender and convention.

    Raises:
        InputError: If the trajectory is too short for an experiment.
    """
    wanted = [(p, k) for p in options.protocols for k in _tested(path, p, options)]
    rows: list[dict[str, Any]] = []
    for done, (protocol, k) in enumerate(wanted):
        on_progress(f"{path.ensemble.name}: {protocol}", done, len(wanted))
        rows.extend(_frame_rows(path, protocol, k, options))
    on_progress(f"{path.ensemble.name}: done", len(wanted), len(wanted))
    return rows


def score(
    predicted: Mesh | None, truth: Mesh, convention: str, k: int, options: TableOptions
) -> dict[str, float]:
    """Metrics of one surface; no overlap, and no distances, where there is no surface."""
    if predicted is None:
        return dict.fromkeys(METRICS, float("nan")) | {"iou": 0.0}
    found = compare(
        predicted, truth, convention, np.random.default_rng((options.seed, k)),
        samples=options.samples or None, nodes=options.grid,
    )  # fmt: skip
    return {name: float(getattr(found, name)) for name in METRICS}


def _tested(path: TrainedPath, protocol: str, options: TableOptions) -> list[int]:
    frames = protocol_frames(path.ensemble.name, protocol, len(path.ensemble)).test
    most = min(options.frames or len(frames), len(frames))
    chosen = np.linspace(0, len(frames) - 1, most).round().astype(int)
    return [frames[row] for row in chosen]


def _frame_rows(
    path: TrainedPath, protocol: str, k: int, options: TableOptions
) -> Iterator[dict[str, Any]]:
    truth = path.true_mesh(path.ensemble.coords[k], options.spacing)
    about = {
        "trajectory": path.ensemble.name,
        "protocol": protocol,
        "frame": k,
        "rmsd_nearest_A": rmsd_to_training(path, k),
        "rmsd_previous_A": rmsd_to_previous(path, k),
    }
    for who in PER_PROTOCOL[protocol]:
        mesh = CONTENDERS[who](path, k, options.fineness)
        for convention in options.conventions:
            scores = score(mesh, truth, convention, k, options)
            yield {**about, "contender": who, "convention": convention, **scores}


KEYS = ("protocol", "convention", "trajectory", "contender")
"""What a row of the summary stands for."""


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over frames, for each of :data:`KEYS`."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in KEYS), []).append(row)
    return [_summary_row(key, group) for key, group in groups.items()]


def _summary_row(key: tuple[str, ...], group: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {**dict(zip(KEYS, key, strict=True)), "frames": len(group)}
    for metric in METRICS:
        values = np.array([one[metric] for one in group], float)
        known = values[np.isfinite(values)]
        row[metric] = float(known.mean()) if len(known) else float("nan")
        row[f"{metric}_sd"] = float(known.std(ddof=1)) if len(known) > 1 else float("nan")
    row["without_surface"] = sum(not np.isfinite(one["chamfer"]) for one in group)
    return row


def markdown(summary: Sequence[dict[str, Any]]) -> str:
    """A table for each experiment and convention, with the paper's own numbers where it has any."""
    parts = []
    for protocol, convention in dict.fromkeys((r["protocol"], r["convention"]) for r in summary):
        these = [r for r in summary if (r["protocol"], r["convention"]) == (protocol, convention)]
        header = ["trajectory", "who", "frames", "IoU ↑", "Chamfer ↓", "NC ↑", "NC, signed ↑"]
        lines = [_line(row) for row in these] + _printed(protocol, these)
        parts.append(f"## {protocol}, convention {convention}\n\n{markdown_table(header, lines)}")
    return "\n\n".join(parts)


def _line(row: dict[str, Any]) -> list[str]:
    missing = f" ({row['without_surface']} without a surface)" if row["without_surface"] else ""
    cells = [shown(row[m], row[f"{m}_sd"], FORMATS.get(m, ".4f")) for m in METRICS]
    return [row["trajectory"], row["contender"], f"{row['frames']}{missing}", *cells]


def _printed(protocol: str, rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    names = dict.fromkeys(SETS.get(row["trajectory"], row["trajectory"]) for row in rows)
    known = [(name, PAPER[name, protocol]) for name in names if (name, protocol) in PAPER]
    return [[name, "printed in the paper", "", *text.split(" | "), ""] for name, text in known]
