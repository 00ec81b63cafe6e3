"""What every command needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymol import CmdException

from ..errors import UserError
from ..failures import tell
from ..steps import Steps
from ..workspace import Workspace


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


def do_long(command, surface, work, report, _self):
    """Do long work; its result, if it is there when the command returns."""
    workspace = Workspace.of(_self)
    before = workspace.measured.get((command, surface.mark))
    workspace.do(command, Steps(work, report), _self)
    after = workspace.measured.get((command, surface.mark))
    return after if after is not before else None
