"""The DSR tables and the figure of RMSD against metrics, with their plots."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from moedsr_core.choices import check_choice
from moedsr_core.data.paths import protocol_frames
from moedsr_core.errors import InputError
from moedsr_core.report import Report, figure, markdown_table, png
from moedsr_core.reports.dsr_tables import KEYS, METRICS, TableOptions, markdown, summarise
from moedsr_core.reports.trained_path import TrainedPath
from moedsr_core.wording import counted, reason

SHOWN = {"iou": "IoU", "chamfer": "Chamfer distance", "normal_consistency": "normal consistency"}
"""The paper's three metrics, as axes name them."""
COLOURS = {
    "dsr": "tab:red", "linear": "tab:blue", "nearest": "tab:gray", "first": "tab:gray",
    "last": "tab:gray", "exact": "tab:green",
}  # fmt: skip
"""The model red and linear interpolation blue, as in the paper's Fig. 6."""
DISTANCES = {"nearest": "rmsd_nearest_A", "previous": "rmsd_previous_A"}
"""``nearest``: Cα RMSD to the most similar training frame; ``previous``: to the frame before, which
is the paper's (footnote 2)."""
_LABELS = {
    "nearest": "Cα RMSD to the nearest training frame [Å]",
    "previous": "Cα RMSD to the frame before [Å]",
}


def tables_report(
    paths: Sequence[TrainedPath], rows: Sequence[dict[str, Any]], options: TableOptions
) -> Report:
    """Everything that is written of the tables: summary and frames, and a plot per trajectory.

    Raises:
        InputError: If matplotlib is not installed.
    """
    summary = summarise(rows)
    names = dict.fromkeys(row["trajectory"] for row in rows)
    return Report(
        tables={"summary": summary, "frames": rows},
        markdown=f"# DSR tables\n\n{_preface(paths, options)}\n\n{markdown(summary)}",
        pictures={
            name: frames_picture([r for r in rows if r["trajectory"] == name]) for name in names
        },
    )


def frames_picture(rows: Sequence[dict[str, Any]]) -> bytes:
    """PNG of each metric against the frame, a row for each convention (the paper's Fig. 6)."""
    drawn = _panels(rows, _curves)
    drawn.suptitle(rows[0]["trajectory"])
    return png(drawn)


def rmsd_report(rows: Sequence[dict[str, Any]], against: str, contender: str = "dsr") -> Report:
    """Fig. 5: each metric against RMSD, with their correlation.

    Args:
        rows: Of :func:`dsr_tables.measure`, of one run or of several.
        against: One of :data:`DISTANCES`.
        contender: Whose scores.

    Raises:
        InputError: If a name is unknown, no row is left, or matplotlib is not installed.
    """
    check_choice("against", against, DISTANCES)
    known = [
        row
        for row in rows
        if row["contender"] == contender and np.isfinite(row[DISTANCES[against]])
    ]
    if not known:
        raise InputError(
            f"there are no scores of {contender} with an RMSD; run the tables first, with other "
            "protocols"
        )
    found = _correlations(known, against)
    lines = [
        [r["convention"], r["metric"], str(r["frames"]), f"{r['pearson_r']:.3f}"] for r in found
    ]
    table = markdown_table(["convention", "metric", "frames", "Pearson r"], lines)
    text = f"# Metrics of {contender} against {_LABELS[against]}\n\n{table}"
    return Report(
        tables={"correlations": found, "points": known},
        markdown=text,
        pictures={"rmsd": rmsd_picture(known, against)},
    )


def rmsd_picture(rows: Sequence[dict[str, Any]], against: str) -> bytes:
    """PNG with a dot for each frame, coloured by experiment, and a diamond for each mean."""
    return png(_panels(rows, partial(_dots, against=against)))


def read_frames(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Rows of ``frames.csv`` in folders that the tables were written to.

    Raises:
        InputError: If a file is missing or not such a table.
    """
    return [row for folder in folders for row in _read(folder / "frames.csv")]


def _read(path: Path) -> list[dict[str, Any]]:
    words = {*KEYS}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows: list[dict[str, Any]] = [
                {
                    name: text if name in words else float(text or "nan")
                    for name, text in row.items()
                }
                for row in csv.DictReader(file)
            ]
        for row in rows:
            row["frame"] = int(row["frame"])
        if not all({*words, *METRICS, *DISTANCES.values()} <= row.keys() for row in rows):
            raise ValueError("columns are missing")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a table of scores by frame ({reason(error)}); give a folder that the "
            "tables were written to"
        ) from error
    return rows


def _panels(
    rows: Sequence[dict[str, Any]], draw: Callable[[Any, Sequence[dict[str, Any]], str], None]
) -> Any:
    """A figure with a row of panels for each convention, a column for each metric and a legend."""
    conventions = list(dict.fromkeys(row["convention"] for row in rows))
    drawn = figure(13, 0.6 + 3.5 * len(conventions))
    panels = drawn.subplots(len(conventions), len(SHOWN), squeeze=False)
    for line, convention in zip(panels, conventions, strict=True):
        these = [row for row in rows if row["convention"] == convention]
        for axes, metric in zip(line, SHOWN, strict=True):
            draw(axes, these, metric)
            axes.set_title(f"{SHOWN[metric]}, {convention}")
    handles, labels = line[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=5, fontsize="small")
    return drawn


def _preface(paths: Sequence[TrainedPath], options: TableOptions) -> str:
    parts = [
        f"Model and IoU on {options.grid} nodes along each edge of Ω, surfaces of atoms meshed at "
        f"{options.spacing:g} Å; mean ± standard deviation over frames."
    ]
    if options.frames:
        parts.append(
            f"At most {counted(options.frames, 'frame')} of each experiment, evenly spaced."
        )
    if options.samples:
        parts.append(f"{counted(options.samples, 'point')} sampled on each surface.")
    for path in paths:
        name, n = path.ensemble.name, len(path.ensemble)
        said = [note for p in options.protocols for note in protocol_frames(name, p, n).notes]
        trained = f"{name}: trained on {len(path.train)} of {n} frames up to {path.train[-1]}."
        parts.append(" ".join([trained, f"One unit of Ω is {path.scale:.1f} Å."]))
        parts += [f"{note}." for note in dict.fromkeys((*path.ensemble.notes, *said))]
    return "\n\n".join(parts)


def _curves(axes: Any, rows: Sequence[dict[str, Any]], metric: str) -> None:
    styles = {"reconstruction": "o", "interpolation": "s", "interpolation_middle": "s"}
    for protocol, who in dict.fromkeys((r["protocol"], r["contender"]) for r in rows):
        these = [r for r in rows if (r["protocol"], r["contender"]) == (protocol, who)]
        axes.plot(
            [r["frame"] for r in these], [r[metric] for r in these],
            styles.get(protocol, "^"), ms=4, color=COLOURS[who], label=f"{who}, {protocol}",
            fillstyle="none" if who in ("first", "nearest", "last") else "full",
        )  # fmt: skip
    axes.set_xlabel("frame")
    axes.grid(alpha=0.3)


def _dots(axes: Any, rows: Sequence[dict[str, Any]], metric: str, against: str) -> None:
    column = DISTANCES[against]
    protocols = list(dict.fromkeys(r["protocol"] for r in rows))
    for key in dict.fromkeys((r["protocol"], r["trajectory"]) for r in rows):
        these = [r for r in rows if (r["protocol"], r["trajectory"]) == key]
        x, y = (np.array([r[name] for r in these], float) for name in (column, metric))
        colour = f"C{protocols.index(key[0])}"
        axes.scatter(x, y, s=10, alpha=0.5, color=colour, label=", ".join(key))
        if np.isfinite(y).any():
            axes.scatter(x.mean(), np.nanmean(y), s=70, marker="D", color=colour, edgecolor="k")
    axes.set_xlabel(_LABELS[against])
    axes.grid(alpha=0.3)


def _correlations(rows: Sequence[dict[str, Any]], against: str) -> list[dict[str, Any]]:
    found = []
    for convention in dict.fromkeys(row["convention"] for row in rows):
        for metric in METRICS:
            pairs = np.array(
                [(r[DISTANCES[against]], r[metric]) for r in rows if r["convention"] == convention]
            )
            pairs = pairs[np.isfinite(pairs).all(axis=1)]
            found.append(
                {"convention": convention, "metric": metric, "frames": len(pairs),
                 "pearson_r": _pearson(pairs)}
            )  # fmt: skip
    return found


def _pearson(pairs: np.ndarray) -> float:
    """Correlation of two columns; NaN where one of them does not vary."""
    if len(pairs) < 3 or (np.ptp(pairs, axis=0) == 0).any():
        return float("nan")
    return float(np.corrcoef(pairs.T)[0, 1])
