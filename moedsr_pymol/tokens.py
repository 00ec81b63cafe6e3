"""Tokens of servers: in the system's keyring, or in files that nobody else can read.

Never in the settings, in PyMOL's own, or in a session.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from .errors import UserError
from .remote import read_token
from .settings import config_dir

SERVICE = "moedsr"
"""Name under which the keyring keeps them, each with its server's address as user."""
IN_KEYRING = "in the system's keyring"


def keep_token(url: str, token: str) -> str:
    """Keep the token of a server in the place of an earlier one.

    Returns:
        Where it is kept, in words.

    Raises:
        UserError: If it cannot be.
    """
    ring = _keyring()
    if ring is not None:
        try:
            ring.set_password(SERVICE, url, token)
        except Exception:  # each keyring fails in its own way; the file does as well
            pass
        else:
            _file(url).unlink(missing_ok=True)
            return IN_KEYRING
    return _keep_file(url, token)


def find_token(url: str) -> str:
    """Token of a server; empty if there is none.

    Raises:
        UserError: If it lies in a file that others can read, or that cannot be read.
    """
    if _file(url).exists():
        return read_token(str(_file(url)))
    ring = _keyring()
    try:
        return (ring.get_password(SERVICE, url) or "") if ring is not None else ""
    except Exception as error:
        raise UserError(
            f"the system's keyring does not give the token for {url} ({error}); unlock it"
        ) from error


def token_place(url: str) -> str:
    """Where the token of a server is, in words."""
    if _file(url).exists():
        return f"in {_file(url)}"
    return IN_KEYRING if find_token(url) else "none"


def drop_token(url: str) -> None:
    """Forget the token of a server.

    Raises:
        UserError: If the system's keyring does not let go of it.
    """
    _file(url).unlink(missing_ok=True)
    ring = _keyring()
    if ring is None:
        return
    try:
        if ring.get_password(SERVICE, url) is not None:
            ring.delete_password(SERVICE, url)
    except Exception as error:  # each keyring fails in its own way
        raise UserError(
            f"the system's keyring may still hold the token for {url} ({error}); unlock it, then "
            "try again"
        ) from error


def _keyring() -> Any:
    """The package keyring, if it is there and works on this computer."""
    try:
        ring = importlib.import_module("keyring")
        return ring if ring.get_keyring().priority >= 1 else None
    except Exception:  # not installed, or no keyring daemon runs
        return None


def _file(url: str) -> Path:
    name = re.sub(r"[^a-z0-9.]+", "-", url.split("//")[-1])
    return config_dir() / "tokens" / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def _keep_file(url: str, token: str) -> str:
    file = _file(url)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=file.parent)  # which only the owner may read
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(token + "\n")
        os.replace(scratch, file)
    except OSError as error:
        raise UserError(
            f"the token cannot be kept in {file.parent}: {error.strerror or error}"
        ) from error
    return f"in {file}"
