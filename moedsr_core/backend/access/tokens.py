"""Bearer tokens: made, listed and revoked by command, kept as hashes beside the jobs.

A token is 256 random bits, so its SHA-256 is all that need be kept: slow, salted hashes protect
secrets that can be guessed, and nobody guesses one of 2²⁵⁶. A slow one would only let strangers
keep the processor busy.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from moedsr_core.errors import BackendError, InputError

DATABASE = "moedsr.sqlite"
"""File of the data folder that holds the tokens, beside the table of jobs."""
LOCAL = "local"
"""Owner of all jobs where there are no tokens."""
SCOPES = {"jobs": "everything but other owners' jobs", "metrics": "health and metrics only"}
MAX_TOKEN_LENGTH = 256
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PREFIX = "moedsr_"
_USE_STEP_S = 60.0
"""How exactly the last use of a token is kept [s]."""
_BUSY_S = 5.0

_TABLE = """
CREATE TABLE IF NOT EXISTS tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    hash BLOB NOT NULL,
    scope TEXT NOT NULL,
    created REAL NOT NULL,
    expires REAL,
    revoked REAL,
    last_used REAL
)
"""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a token that is valid now."""

    id: int
    """Which token it is; never used again for another."""
    owner: str
    """Name under which the holder's jobs are kept."""
    scope: str = "jobs"
    """What the token is good for; one of :data:`SCOPES`."""


@dataclass(frozen=True, kw_only=True)
class TokenInfo:
    """What is known of a token, without the token; times in Unix seconds."""

    name: str
    scope: str
    created: float
    expires: float | None
    revoked: float | None
    last_used: float | None

    def state(self, now: float) -> str:
        """One of: valid, expired, revoked."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"


@runtime_checkable
class Keys(Protocol):
    """What knows the valid tokens."""

    def find(self, secret: str) -> Holder | None:
        """The holder of a token; None where it is not valid."""

    def live(self, ids: Collection[int]) -> set[int]:
        """Those of some tokens that are valid still."""


class OneToken:
    """The token that a program and the server it started share.

    Args:
        secret: The token.
    """

    def __init__(self, secret: str) -> None:
        self._digest = _digest(secret)

    def find(self, secret: str) -> Holder | None:
        """The holder of a token; None where it is not valid."""
        same = hmac.compare_digest(self._digest, _digest(secret))
        return Holder(id=0, owner=LOCAL) if same else None

    def live(self, ids: Collection[int]) -> set[int]:
        """Those of some tokens that are valid still."""
        return set(ids)


class TokenStore:
    """The tokens of one data folder. Several processes may have it open; any thread may call.

    Args:
        folder: The data folder; made where it is absent, for its owner alone.
        clock: Unix seconds.

    Raises:
        InputError: If the folder cannot be made, or its database not be opened.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = folder / DATABASE
        self._clock, self._lock = clock, threading.Lock()
        try:
            _make_private(folder, self.path)
            self._db = sqlite3.connect(
                self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"could not open {self.path} ({_reason(error)}); choose a folder of your own "
                "with --data-dir"
            ) from error
        try:
            with self._database() as db:
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=NORMAL")
                db.execute(_TABLE)
        except BackendError:
            self._db.close()
            raise

    def __enter__(self) -> TokenStore:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def create(
        self,
        name: str,
        *,
        scope: str = "jobs",
        days: float | None = None,
        replace: bool = False,
    ) -> str:
        """Make a token.

        Args:
            name: Who it is for; jobs are kept under this name.
            scope: What it is good for.
            days: How long it is valid; for ever where None.
            replace: Give the name a new token in place of its old one, and so its jobs.

        Returns:
            The token itself, which is not kept.

        Raises:
            InputError: If the name is taken or not a name, or another value is not right.
        """
        _check_name(name)
        if scope not in SCOPES:
            raise InputError(f"scope must be one of {', '.join(SCOPES)}, got {scope!r}")
        if days is not None and not 0 < days <= 36_500:
            raise InputError(f"a token is valid for 0 to 36,500 days, got {days:g}")
        secret, now = _PREFIX + secrets.token_urlsafe(32), self._clock()
        expires = None if days is None else now + days * 86_400
        with self._transaction() as db:
            taken = db.execute("SELECT 1 FROM tokens WHERE name = ?", (name,)).fetchone()
            if taken and not replace:
                raise InputError(
                    f"there is a token of the name {name} already, valid or revoked, and the name "
                    "owns its jobs; choose another, or add --replace to hand them to a new token"
                )
            db.execute("DELETE FROM tokens WHERE name = ?", (name,))
            db.execute(
                "INSERT INTO tokens (name, hash, scope, created, expires) VALUES (?, ?, ?, ?, ?)",
                (name, _digest(secret), scope, now, expires),
            )
        return secret

    def infos(self) -> list[TokenInfo]:
        """All tokens, by name; revoked ones stay, since their names own jobs."""
        columns = "name, scope, created, expires, revoked, last_used"
        with self._database() as db:
            rows = db.execute(f"SELECT {columns} FROM tokens ORDER BY name").fetchall()
        return [TokenInfo(**dict(zip(columns.split(", "), row, strict=True))) for row in rows]

    def revoke(self, name: str) -> None:
        """End a token; requests that run with it end within a second.

        Raises:
            InputError: If there is none of that name, or it is revoked already.
        """
        with self._transaction() as db:
            row = db.execute("SELECT revoked FROM tokens WHERE name = ?", (name,)).fetchone()
            if row is None:
                known = [r[0] for r in db.execute("SELECT name FROM tokens ORDER BY name")]
                raise InputError(
                    f"there is no token of the name {name[:64]!r}; "
                    f"there are: {', '.join(known) or 'none yet'}"
                )
            if row[0] is not None:
                raise InputError(f"the token {name} is revoked already")
            db.execute("UPDATE tokens SET revoked = ? WHERE name = ?", (self._clock(), name))

    def find(self, secret: str) -> Holder | None:
        """The holder of a token; None where it is not valid.

        Every kept hash is compared, each in constant time, whether or not one fits.
        """
        digest, now, found = _digest(secret), self._clock(), None
        for id_, name, kept, scope, last_used in self._valid(now):
            if hmac.compare_digest(kept, digest):
                found = Holder(id=id_, owner=name, scope=scope), last_used
        if found is None:
            return None
        holder, last_used = found
        if last_used is None or abs(now - last_used) >= _USE_STEP_S:
            self._note_use(holder.id, now)
        return holder

    def live(self, ids: Collection[int]) -> set[int]:
        """Those of some tokens that are valid still."""
        return {row[0] for row in self._valid(self._clock())} & set(ids)

    def revoked(self) -> set[str]:
        """Names whose token was revoked."""
        with self._database() as db:
            return {row[0] for row in db.execute("SELECT name FROM tokens WHERE revoked > 0")}

    def has_valid(self) -> bool:
        """Whether anybody could get in."""
        return bool(self._valid(self._clock()))

    def _valid(self, now: float) -> list[tuple[int, str, bytes, str, float | None]]:
        with self._database() as db:
            return db.execute(
                "SELECT id, name, hash, scope, last_used FROM tokens "
                "WHERE revoked IS NULL AND (expires IS NULL OR expires > ?)",
                (now,),
            ).fetchall()

    def _note_use(self, id_: int, now: float) -> None:
        """Keep when a token was used, unless somebody else is writing: the next use will do."""
        with self._database() as db:
            db.execute("PRAGMA busy_timeout=0")
            try:
                db.execute("UPDATE tokens SET last_used = ? WHERE id = ?", (now, id_))
            except sqlite3.OperationalError:
                pass
            finally:
                db.execute(f"PRAGMA busy_timeout={int(_BUSY_S * 1000)}")

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise BackendError(
                    f"could not use {self.path} ({_reason(error)}); check that it is moedsr's, "
                    "and that the disk is neither full nor read-only"
                ) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._database() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(
            "a token's name is up to 64 letters, digits, dots, dashes and underscores, and begins "
            f"with a letter or digit; got {name[:80]!r}"
        )
    if name.lower() == LOCAL:
        raise InputError(f"the name {LOCAL} stands for work without a token; choose another")


def _make_private(folder: Path, database: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(database, os.O_RDWR | os.O_CREAT, 0o600))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
