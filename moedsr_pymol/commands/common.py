"""What every command needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymol import CmdException

from ..errors import UserError
from ..failures import tell


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what went wrong into the one line that PyMOL prints, and tell who listens."""
    try:
        yield
    except UserError as error:
        tell(error)
        raise CmdException(str(error)) from error
    except CmdException:
        raise
    except Exception as error:
        tell(error)
        raise
