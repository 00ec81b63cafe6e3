"""Tokens in files, which nobody else may read."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from .errors import UserError

MAX_BYTES = 4096


def read_token(path: str) -> str:
    """Token in the first line of a file.

    Raises:
        UserError: If there is no such file, others may read it, or its first line is no token.
    """
    file = Path(path).expanduser()
    try:
        with file.open("rb") as stream:
            refuse_readable_by_others(file, os.fstat(stream.fileno()))
            line = stream.readline(MAX_BYTES)
    except OSError as error:
        raise UserError(
            f"the token cannot be read from '{path}' ({error.strerror or error}); name the file "
            "that holds it"
        ) from error
    token = line.decode("utf-8", errors="replace").strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(
            f"the first line of '{path}' must be a token, as 'moedsr token create' prints it"
        )
    return token


def refuse_readable_by_others(file: Path, found: os.stat_result) -> None:
    """Refuse a secret that other users of this computer can read; Windows has no such bits.

    Raises:
        UserError: If they can.
    """
    if sys.platform != "win32" and stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
        raise UserError(
            f"other users can read the token in '{file}'; close it with 'chmod 600 {file}', and "
            "have the token replaced if they may have done so"
        )
