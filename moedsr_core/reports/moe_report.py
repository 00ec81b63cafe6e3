"""A table in three forms that appear together or not at all: CSV, Markdown and a picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moedsr_core.errors import InputError
from moedsr_core.files import whole_folder

NOTHING = "-"
"""Shown for what means nothing or is not known."""
Row = dict[str, Any]
"""One line of a table by column."""


@dataclass(frozen=True, kw_only=True)
class MoeReport:
    """What one table maker found.

    Raises:
        InputError: If a table has no row, or rows of different columns.
    """

    name: str
    """Of the files."""
    tables: dict[str, Sequence[Row]]
    """Rows of every CSV file, by its name."""
    markdown: str
    """The table as it is read."""
    draw: Callable[[Any], None]
    """Draws the picture on an empty figure of matplotlib."""

    def __post_init__(self) -> None:
        """Refuse what makes no table."""
        for name, rows in self.tables.items():
            if not rows:
                raise InputError(f"the table {name} needs at least one row, got none")
            if any(row.keys() != rows[0].keys() for row in rows):
                raise InputError(f"the rows of {name} must all have the columns {list(rows[0])}")

    def csv(self, table: str) -> str:
        """One table with its header; what means nothing is an empty cell."""
        text = io.StringIO(newline="")
        rows = self.tables[table]
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
        return text.getvalue()

    def write(self, folder: Path) -> None:
        """Write all files, or none.

        Raises:
            InputError: If matplotlib is missing, the disk is full, or the place is closed to us.
        """
        texts = {f"{table}.csv": self.csv(table) for table in self.tables}
        texts[f"{self.name}.md"] = self.markdown.rstrip("\n") + "\n"
        image = self.png()
        with whole_folder(folder) as draft:
            for name, text in texts.items():
                (draft / name).write_text(text, encoding="utf-8", newline="\n")
            (draft / f"{self.name}.png").write_bytes(image)

    def png(self) -> bytes:
        """The picture.

        Raises:
            InputError: If matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise InputError(
                'a table\'s picture needs matplotlib; install it with pip install "moedsr[train]"'
            ) from error
        figure, image = Figure(layout="constrained"), io.BytesIO()
        self.draw(figure)
        figure.savefig(image, format="png", dpi=120)
        return image.getvalue()


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown; bars in cells are escaped."""
    lines = [_line(header), "|---" * len(header) + "|", *map(_line, rows)]
    return "\n".join(lines)


def shown(mean: float, sd: float = math.nan, style: str = ".4f") -> str:
    """``mean ± sd``; the mean alone where there is no deviation, a dash where there is none."""
    if not math.isfinite(mean):
        return NOTHING
    text = format(mean, style)
    return f"{text} ± {format(sd, style)}" if math.isfinite(sd) else text


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return value
