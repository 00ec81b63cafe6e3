"""What is known of every job, in SQLite; the records themselves are files (spool.py)."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from moedsr_core.backend.refusals import DiskFullError, is_disk_full
from moedsr_core.errors import BackendError

SCHEMA = 1
FINISHED = ("done", "failed", "cancelled")
_PAGE = 100
_BUSY_S = 10.0
"""How long to wait for another process, such as the one that writes a token [s]."""

_TABLES = """
CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, state TEXT NOT NULL, kind TEXT NOT NULL,
    options TEXT NOT NULL, content TEXT NOT NULL, key TEXT, created REAL NOT NULL, started REAL,
    ended REAL, kept_s REAL NOT NULL, frames INTEGER NOT NULL, frames_done INTEGER NOT NULL,
    records INTEGER NOT NULL, attempts INTEGER NOT NULL, restarts INTEGER NOT NULL, error TEXT,
    summary TEXT NOT NULL, bytes INTEGER NOT NULL, result_of TEXT, idempotency TEXT,
    position INTEGER NOT NULL UNIQUE
);
CREATE INDEX IF NOT EXISTS jobs_owner ON jobs (owner, position);
CREATE INDEX IF NOT EXISTS jobs_state ON jobs (state, position);
CREATE INDEX IF NOT EXISTS jobs_key ON jobs (key);
CREATE INDEX IF NOT EXISTS jobs_result_of ON jobs (result_of);
CREATE TABLE IF NOT EXISTS last_seen (id INTEGER PRIMARY KEY, wall REAL NOT NULL);
"""


@dataclass(kw_only=True)
class Job:
    """One row of the table. Times are unix seconds and only shown, never reckoned with."""

    id: str
    owner: str
    """Whose it is; empty once deleted, while something still needs its records."""
    kind: str
    options: dict[str, Any]
    """Resolved: with the defaults where none were chosen."""
    content: str
    """Hash of the structure."""
    created: float
    position: int
    """Place in the order of arrival."""
    state: str = "queued"
    key: str | None = None
    """Hash of all that the result depends on; None until a worker has resolved the options."""
    started: float | None = None
    ended: float | None = None
    kept_s: float = 0.0
    """How long it has been kept since its end, by the time that servers were seen running [s]."""
    frames: int = 0
    frames_done: int = 0
    records: int = 0
    attempts: int = 0
    """Workers that died with it since its last new frame."""
    restarts: int = 0
    """Servers that did."""
    error: str | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    bytes: int = 0
    result_of: str | None = None
    """Job whose records these are; None for its own."""
    idempotency: str | None = None
    """What the client called its request, so that it can be sent twice."""

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self.state in FINISHED

    @property
    def folder(self) -> str:
        """Name of the folder with its records."""
        return self.result_of or self.id


_COLUMNS = [f.name for f in fields(Job)]
_NAMES = ", ".join(_COLUMNS)
_INSERT = f"INSERT INTO jobs ({_NAMES}) VALUES ({', '.join(':' + name for name in _COLUMNS)})"
_UPDATE = (
    f"UPDATE jobs SET {', '.join(f'{name} = :{name}' for name in _COLUMNS if name != 'kept_s')} "
    "WHERE id = :id"
)
_IS_FINISHED = "state IN ('done', 'failed', 'cancelled')"
_PINNED = "EXISTS (SELECT 1 FROM jobs AS other WHERE other.result_of = jobs.id)"


class JobStore:
    """The table of jobs. Safe to use from any thread.

    Args:
        path: The SQLite file; made if missing.

    Raises:
        BackendError: If it is damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._database = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.executescript(_TABLES)
            self._check_version(path)
        except sqlite3.Error as error:
            raise BackendError(
                f"the job database {path} cannot be used ({error}); free some space if its disk is "
                "full, or move it away to begin anew"
            ) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def insert(self, job: Job) -> None:
        """Add a job.

        Raises:
            DiskFullError: If there is no space.
        """
        self._write(_INSERT, _to_row(job))

    def save(self, job: Job) -> None:
        """Write what has changed of a job.

        Raises:
            DiskFullError: If there is no space.
        """
        self._write(_UPDATE, _to_row(job))

    def delete(self, job_id: str) -> None:
        """Forget a job.

        Raises:
            DiskFullError: If there is no space.
        """
        self._write("DELETE FROM jobs WHERE id = :id", {"id": job_id})

    def get(self, job_id: str) -> Job | None:
        """The job of that name, if there is one."""
        return next(self._jobs("WHERE id = ?", job_id), None)

    def of_owner(self, owner: str) -> Iterator[Job]:
        """Jobs of an owner, newest first; they are read a page at a time."""
        before = 1 << 62
        where = f"WHERE owner = ? AND position < ? ORDER BY position DESC LIMIT {_PAGE}"
        while page := list(self._jobs(where, owner, before)):
            yield from page
            before = page[-1].position

    def unfinished(self) -> list[Job]:
        """Jobs that wait or run, in the order of arrival."""
        return list(self._jobs("WHERE state IN ('queued', 'running') ORDER BY position"))

    def done_with_key(self, key: str) -> Job | None:
        """A finished job whose result is the one that a key stands for."""
        return next(self._jobs("WHERE key = ? AND state = 'done' ORDER BY position", key), None)

    def with_idempotency(self, owner: str, name: str) -> Job | None:
        """The job that an owner's request of that name has made."""
        return next(self._jobs("WHERE owner = ? AND idempotency = ?", owner, name), None)

    def next_position(self) -> int:
        """A place behind all others."""
        return int(self._value("SELECT COALESCE(MAX(position), 0) + 1 FROM jobs"))

    def total_bytes(self) -> int:
        """Size of everything kept of finished jobs [bytes]."""
        return int(self._value(f"SELECT COALESCE(SUM(bytes), 0) FROM jobs WHERE {_IS_FINISHED}"))

    def count_states(self) -> dict[str, int]:
        """Number of jobs in each state."""
        query = "SELECT state, COUNT(*) FROM jobs WHERE owner != '' GROUP BY state"
        with self._lock, closing(self._database.execute(query)) as cursor:
            return dict(cursor.fetchall())

    def removable(self) -> list[tuple[str, float, str]]:
        """Id, time kept [s] and owner of finished jobs that no other needs, oldest first."""
        query = (
            f"SELECT id, kept_s, owner FROM jobs WHERE {_IS_FINISHED} AND NOT {_PINNED} "
            "ORDER BY kept_s DESC, position"
        )
        with self._lock, closing(self._database.execute(query)) as cursor:
            return cursor.fetchall()

    def ids(self) -> set[str]:
        """Ids of all jobs."""
        with self._lock, closing(self._database.execute("SELECT id FROM jobs")) as cursor:
            return {row[0] for row in cursor}

    def add_age(self, seconds: float) -> None:
        """Let finished jobs be older by some seconds.

        Raises:
            DiskFullError: If there is no space.
        """
        query = f"UPDATE jobs SET kept_s = kept_s + :seconds WHERE {_IS_FINISHED}"
        self._write(query, {"seconds": seconds})

    def last_seen(self) -> float | None:
        """When a server last noted that it ran [unix s]."""
        return self._value("SELECT MAX(wall) FROM last_seen")

    def note_seen(self, wall: float) -> None:
        """Note when a server runs.

        Raises:
            DiskFullError: If there is no space.
        """
        self._write("INSERT OR REPLACE INTO last_seen VALUES (1, :wall)", {"wall": wall})

    @contextmanager
    def together(self) -> Iterator[None]:
        """Do several changes as one.

        Raises:
            DiskFullError: If there is no space; none of them is done then.
        """
        with self._lock:
            self._write("BEGIN IMMEDIATE", {})
            try:
                yield
                self._write("COMMIT", {})
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def _jobs(self, where: str, *values: Any) -> Iterator[Job]:
        query = f"SELECT {_NAMES} FROM jobs {where}"
        with self._lock, closing(self._database.execute(query, values)) as cursor:
            rows = cursor.fetchall()
        return map(_from_row, rows)

    def _value(self, query: str) -> Any:
        with self._lock, closing(self._database.execute(query)) as cursor:
            return cursor.fetchone()[0]

    def _write(self, query: str, values: dict[str, Any]) -> None:
        try:
            with self._lock:
                self._database.execute(query, values).close()
        except sqlite3.Error as error:
            if is_disk_full(error):
                raise DiskFullError() from error
            raise BackendError(f"the job database cannot be written ({error})") from error

    def _check_version(self, path: Path) -> None:
        held = self._value("SELECT MAX(version) FROM schema_version")
        if held is None:
            self._write("INSERT INTO schema_version VALUES (:version)", {"version": SCHEMA})
        elif held != SCHEMA:
            raise BackendError(
                f"the job database {path} is of version {held}, this moedsr reads {SCHEMA}; "
                "choose another data folder, or use the moedsr that wrote it"
            )


def _to_row(job: Job) -> dict[str, Any]:
    row = asdict(job)
    for name in ("options", "summary"):
        row[name] = json.dumps(row[name], allow_nan=False)
    return row


def _from_row(row: tuple[Any, ...]) -> Job:
    values = dict(zip(_COLUMNS, row, strict=True))
    for name in ("options", "summary"):
        values[name] = json.loads(values[name])
    return Job(**values)
