"""``moedsr serve`` with fake workers: measured, killed, and started again at the same place."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from backend_support import Client, wait_until

from moedsr_core.backend.access.tokens import TokenStore
from moedsr_core.backend.client import BackendClient, Follower, Patience

TESTS = Path(__file__).resolve().parents[1]
PATH = os.pathsep.join(filter(None, [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH")]))
HOSTILE = {"rate-per-s": 10_000, "rate-burst": 100_000, "failures-per-minute": 100_000}
"""Limits under which a thousand bad requests are all looked at."""


@dataclass(frozen=True)
class Footprint:
    """What a server takes."""

    memory: int
    """Resident memory [bytes]; 0 where that cannot be told."""
    disk: int
    """Size of the data folder [bytes]."""
    entries: frozenset[str]
    """Files and folders of jobs and of what passes."""


class Lab:
    """A server process on a folder; :func:`running_lab` starts one.

    Args:
        folder: Its data folder.
        frame_s: How long its workers take for a frame [s].
        log: Where it logs; beside the folder by default.
        flags: Further flags of ``moedsr serve``.
    """

    def __init__(
        self, folder: Path, frame_s: float, log: Path | None = None, **flags: object
    ) -> None:
        self.folder, self.port = folder, 0
        self._frame_s, self._flags = frame_s, flags
        self._log = log or folder.with_name(folder.name + ".log")
        self.process: subprocess.Popen | None = None
        self._secrets: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that its servers have logged."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start a server, and wait until it listens."""
        flags = {"data-dir": self.folder, "port": self.port, **HOSTILE, **self._flags}
        words = [f"--{name}={value}" for name, value in flags.items()]
        with self._log.open("ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "real_servers", "serve", *words], stderr=log,
                env={**os.environ, "PYTHONPATH": PATH, "FAKE_FRAME_S": str(self._frame_s)},
            )  # fmt: skip
        listening = re.compile(r"listening address=\S+:(\d+)\s")

        def listens() -> bool:
            found = listening.search(self.log, begin)
            self.port = int(found[1]) if found else self.port
            return found is not None or self.process.poll() is not None

        wait_until(listens, "the server listens")
        assert self.process.poll() is None, self.log[begin:]

    def kill(self) -> None:
        """End it without a warning, if there is one."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def token(self, owner: str) -> str:
        """The owner's token, made at the first call."""
        with self._lock:
            if owner not in self._secrets:
                with TokenStore(self.folder) as store:
                    self._secrets[owner] = store.create(owner, replace=True)
            return self._secrets[owner]

    def revoke(self, owner: str) -> str:
        """End the owner's token, and forget it; returns it."""
        with TokenStore(self.folder) as store:
            store.revoke(owner)
        return self._secrets.pop(owner)

    def client(self, owner: str = "ann") -> Client:
        """A connection with the owner's token."""
        return Client(self.port, self.token(owner))

    def warm_up(self) -> None:
        """Have everything done once, so that what is loaded then is not taken for a leak."""
        client = self.client()
        wait_until(lambda: client("GET", "/models").status_code == 200, "a worker is up")
        job = client.create(frames=2)
        assert client.end(job)["state"] == "done"
        for path in (f"/jobs/{job}/result", "/jobs", "/health", "/metrics", "/openapi.json"):
            assert client("GET", path).status_code == 200
        assert client("DELETE", f"/jobs/{job}").status_code == 204

    def rows(self, query: str) -> list[tuple]:
        """What the database says."""
        with closing(sqlite3.connect(self.folder / "moedsr.sqlite")) as database:
            return database.execute(query).fetchall()

    def footprint(self) -> Footprint:
        """What it takes now."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        passing = [*(self.folder / "jobs").rglob("*"), *(self.folder / "scratch").rglob("*")]
        return Footprint(
            memory=self.memory(),
            disk=sum(path.stat().st_size for path in files),
            entries=frozenset(str(path.relative_to(self.folder)) for path in passing),
        )

    def memory(self, peak: bool = False) -> int:
        """Resident memory now, or the most since :meth:`forget_peak` [bytes]."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.is_file():
            return 0
        found = re.search(rf"Vm{'HWM' if peak else 'RSS'}:\s+(\d+) kB", status.read_text())
        return int(found[1]) << 10 if found else 0

    def forget_peak(self) -> None:
        """Measure the most memory from now on."""
        path = Path(f"/proc/{self.process.pid}/clear_refs")
        if path.is_file():
            path.write_text("5")


@contextmanager
def running_lab(folder: Path, frame_s: float, **more: object) -> Iterator[Lab]:
    """A server that has done everything once, until the block ends; arguments of :class:`Lab`."""
    lab = Lab(folder, frame_s, **more)
    lab.token("ann")  # without any token it would not start
    try:
        lab.start()
        lab.warm_up()
        yield lab
    finally:
        lab.kill()


def follow(client: BackendClient, job: str, patience: Patience) -> list[bytes]:
    """All that the client makes of a job's stream: each array of each record, and its end."""
    follower, found = Follower(client.again, job, patience=patience), []
    for record in follower.records():
        found += [name.encode() + array.tobytes() for name, array in record.arrays.items()]
    assert record.fields["state"] == "done", record.fields
    return found
