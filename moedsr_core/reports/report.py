"""A table as CSV, Markdown and a picture, written whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moedsr_core.errors import InputError
from moedsr_core.files import whole_folder

Rows = Sequence[Mapping[str, Any]]
"""One dictionary for each row, all with the keys of the first."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What is written of one experiment."""

    tables: Mapping[str, Rows]
    """Rows by the name of the CSV file they go to."""
    markdown: str
    """The text."""
    pictures: Mapping[str, bytes]
    """PNG files by name."""

    def write(self, folder: Path) -> None:
        """Write ``NAME.csv`` for each table, ``NAME.png`` for each picture, and ``report.md``.

        Raises:
            InputError: If the disk is full, or the place cannot be written to.
        """
        with whole_folder(folder) as draft:
            for name, rows in self.tables.items():
                text = csv_text(rows)
                (draft / f"{name}.csv").write_text(text, encoding="utf-8", newline="\n")
            for name, image in self.pictures.items():
                (draft / f"{name}.png").write_bytes(image)
            text = self.markdown.rstrip("\n") + "\n"
            (draft / "report.md").write_text(text, encoding="utf-8", newline="\n")


def csv_text(rows: Rows) -> str:
    """Rows under a header; numbers to six digits, nothing where one is not finite."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(list(rows[0]) if rows else [])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return text.getvalue()


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def figure(width: float, height: float) -> Any:
    """An empty matplotlib figure that no window belongs to.

    Args:
        width: In inches.
        height: In inches.

    Raises:
        InputError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            "pictures need matplotlib, which is not installed; install moedsr[train]"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def png(drawn: Any, dpi: int = 120) -> bytes:
    """A matplotlib figure as a PNG file."""
    image = io.BytesIO()
    drawn.savefig(image, format="png", dpi=dpi)
    return image.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}" if np.isfinite(value) else ""
    return str(value)
