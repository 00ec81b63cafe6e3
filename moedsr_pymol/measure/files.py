"""Measurements as files: tables by ourselves, diagrams by the core."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..arguments import unquoted
from ..core_process import CoreProcess
from ..errors import UserError
from ..steps import Report, Work
from ..whole_files import write_together, write_whole
from .chart import Measurement, csv_text

PICTURES = (".png", ".svg", ".pdf")
ENDINGS = (".csv", *PICTURES)


def check_file(text: str, endings: tuple[str, ...] = ENDINGS) -> Path:
    """Where something is to go.

    Raises:
        UserError: If the ending is unknown, its folder is not there, or no file can be called so.
    """
    target = _absolute(os.path.expandvars(unquoted(text)))
    if target.suffix.lower() not in endings:
        raise UserError(f"the file must end in {', '.join(endings)}, got '{target.name}'")
    try:
        if target.is_dir():
            raise UserError(f"'{target}' is a folder; name a file in it")
        if not target.parent.is_dir():
            raise UserError(f"there is no folder '{target.parent}'; make it, or choose another")
    except OSError as error:
        raise UserError(
            f"'{target.name[:40]}' cannot be written ({error.strerror or error}); choose another "
            "name"
        ) from error
    return target


def _absolute(text: str) -> Path:
    if "\0" in text:
        raise UserError("the name of a file must be text, got one with a zero byte in it")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:  # ~somebody
        raise UserError(
            f"the home folder in '{text}' is not known; write the folder out"
        ) from error


def write_measurement(found: Measurement, target: Path, report: Report) -> Work:
    """Write a table or diagrams, whole or not at all.

    Raises:
        UserError: If it cannot be written.
    """
    ending = target.suffix.lower()
    if ending == ".csv":
        texts = {
            target.with_name(f"{target.stem}{more}{target.suffix}"): csv_text(table).encode("utf-8")
            for more, table in found.tables().items()
        }
        write_together(texts)
    else:
        charts = [chart.to_dict() for chart in found.charts()]
        request = {"charts": charts, "ending": ending}
        drawing = CoreProcess(
            "chart", request, collect=lambda folder: deliver(folder / f"chart{ending}", target)
        )
        yield from drawing.through(report)
    report.say(f"wrote {target}")


def deliver(made: Path, target: Path) -> None:
    """Put a finished file where it belongs, whole or not at all.

    Raises:
        UserError: If it cannot be written.
    """
    with made.open("rb") as file:
        write_whole(target, lambda to: shutil.copyfileobj(file, to))
