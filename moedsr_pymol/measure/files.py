"""Measurements as files: tables by ourselves, diagrams by the core."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..export import write_whole
from .chart import Measurement, csv_text

PICTURES = (".png", ".svg", ".pdf")
ENDINGS = (".csv", *PICTURES)


def check_file(text: str) -> Path:
    """Where a measurement is to go.

    Raises:
        UserError: If the ending is unknown, or its folder is not there.
    """
    target = Path(os.path.expandvars(text)).expanduser().absolute()
    if target.suffix.lower() not in ENDINGS:
        raise UserError(f"the file must end in {', '.join(ENDINGS)}, got '{target.name}'")
    if not target.parent.is_dir():
        raise UserError(f"there is no folder '{target.parent}'; make it, or choose another")
    return target


def write_measurement(
    found: Measurement, target: Path, command: str, quiet: bool, _self: Any
) -> None:
    """Write a table or diagrams, whole or not at all.

    Raises:
        UserError: If it cannot be written.
    """
    write_whole(target, csv_text(found.table()).encode("utf-8"))
    if not quiet:
        sys.stdout.write(f" moedsr: wrote {target}\n")
