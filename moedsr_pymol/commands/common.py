"""What every command needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymol import CmdException

from ..errors import UserError


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what went wrong into the one line that PyMOL prints."""
    try:
        yield
    except UserError as error:
        raise CmdException(str(error)) from error
