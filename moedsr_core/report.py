"""A table as CSV, Markdown and pictures, written whole or not at all."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moedsr_core.errors import InputError
from moedsr_core.files import whole_folder

NOTHING = "-"
"""Shown for what means nothing or is not known."""
Row = dict[str, Any]
"""One line of a table by column."""
Rows = Sequence[Row]
"""A table; all rows have the columns of the first."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What is written of one experiment.

    Raises:
        InputError: If a table has no row, or rows of different columns.
    """

    name: str = "report"
    """Of the Markdown file."""
    tables: Mapping[str, Rows]
    """Rows by the name of the CSV file they go to."""
    markdown: str
    """The text."""
    pictures: Mapping[str, bytes]
    """PNG files by name."""

    def __post_init__(self) -> None:
        """Refuse what makes no table."""
        for name, rows in self.tables.items():
            if not rows:
                raise InputError(f"the table {name} needs at least one row, got none")
            if any(row.keys() != rows[0].keys() for row in rows):
                raise InputError(f"the rows of {name} must all have the columns {list(rows[0])}")

    def write(self, folder: Path) -> None:
        """Write ``TABLE.csv`` for each table, ``NAME.md``, and a PNG file for each picture.

        Raises:
            InputError: If the disk is full, or the place cannot be written to.
        """
        texts = {f"{table}.csv": csv_text(rows) for table, rows in self.tables.items()}
        texts[f"{self.name}.md"] = self.markdown.rstrip("\n") + "\n"
        with whole_folder(folder) as draft:
            for name, text in texts.items():
                (draft / name).write_text(text, encoding="utf-8", newline="\n")
            for name, image in self.pictures.items():
                (draft / f"{name}.png").write_bytes(image)


def csv_text(rows: Rows) -> str:
    """Rows under a header, as :func:`cells` writes them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(list(rows[0]))
    writer.writerows(map(cells, rows))
    return text.getvalue()


def cells(row: Row) -> list[str]:
    """Values of a row as text: numbers to six digits, nothing where one is not finite."""
    return [_cell(value) for value in row.values()]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; bars in cells are escaped."""
    return "\n".join([_line(header), "|---" * len(header) + "|", *map(_line, rows)])


def shown(mean: float, sd: float = math.nan, style: str = ".4f") -> str:
    """``mean ± sd``; the mean alone where there is no deviation, a dash where there is none."""
    if not math.isfinite(mean):
        return NOTHING
    text = format(mean, style)
    return f"{text} ± {format(sd, style)}" if math.isfinite(sd) else text


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
            "pictures need matplotlib; install it with pip install matplotlib"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def png(drawn: Any) -> bytes:
    """A matplotlib figure as a PNG file."""
    image = io.BytesIO()
    drawn.savefig(image, format="png", dpi=120)
    return image.getvalue()


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def _cell(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return str(value)
