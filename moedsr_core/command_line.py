"""How every command ends: its exit code, and one sentence where it could not do its work."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import tyro

import moedsr_core
from moedsr_core.errors import CancelledError, MoedsrError


def run(commands: Any, argv: Sequence[str]) -> int:
    """Read a command line, and carry it out.

    Args:
        commands: Type of the commands; what is made of it is called.
        argv: The command line without the program's name.

    Returns:
        0 done, 1 failed, 2 bad input or unknown flag, 3 another program failed, 130 stopped.
    """
    try:
        tyro.cli(
            commands, prog="moedsr", description=moedsr_core.__doc__, args=argv,
            config=(tyro.conf.FlagCreatePairsOff,),  # else there is a --no-no-token
        )()  # fmt: skip
    except MoedsrError as error:
        print(f"moedsr: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("moedsr: stopped; nothing was kept", file=sys.stderr)
        return CancelledError.exit_code
    return 0
