"""The client and the plugin with the real servers, whose workers make numbers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certificates import Certificate, make_certificate
from pymol import CmdException
from pymol_support import TESTS, call, open_pymol

from moedsr_core.backend.access.tokens import TokenStore
from moedsr_core.backend.client import Address, BackendClient, BackendError, Follower, Patience
from moedsr_pymol import backends, receiver
from moedsr_pymol.local_backend import LocalBackend
from moedsr_pymol.workspace import Workspace

FRAMES = 60
QUICK = Patience(first_wait_s=0.05, longest_wait_s=0.2, outage_s=120.0)
PATH = os.pathsep.join(filter(None, [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH")]))


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", PATH)
    monkeypatch.setenv("MOEDSR_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("MOEDSR_JOBS_DIR", str(tmp_path / "jobs"))
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.setattr(receiver, "PATIENCE", QUICK)


class LabServer:
    """``moedsr serve`` on loopback with TLS and tokens; can be killed and started again."""

    def __init__(self, folder: Path, certificate: Certificate) -> None:
        self.folder, self.certificate = folder, certificate
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        with TokenStore(folder) as store:
            self.token = store.create("anna")
        self.start()

    def start(self) -> None:
        flags = {"data-dir": self.folder, "port": self.port, "tls-cert": self.certificate.file}
        flags["tls-key"] = self.certificate.key
        words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "real_servers", "serve", *words], stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def client(self, token: str | None = None) -> BackendClient:
        address = Address(self.url, token or self.token, str(self.certificate.file))
        return BackendClient(address, Patience(retries=200, longest_wait_s=0.5))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[LabServer]:
    (tmp_path / "certificate").mkdir()
    (tmp_path / "lab").mkdir()
    server = LabServer(tmp_path / "lab", make_certificate(tmp_path / "certificate"))
    yield server
    server.kill()


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalBackend]:
    backend = LocalBackend(sys.executable, "real_servers")
    monkeypatch.setitem(backends.BACKENDS, "local", backend)
    yield backend
    backend.stop()


def frames_of(cmd: Any, name: str) -> list[bytes]:
    return [frame.vertices.tobytes() for frame in Workspace.of(cmd).surface(name).frames]


def when_frame(monkeypatch: pytest.MonkeyPatch, index: int, act: Any) -> None:
    """Have something done in PyMOL's thread once a frame has come."""
    from moedsr_pymol import jobs

    original = jobs.Job._on_frame

    def on_frame(job: Any, frame: Any) -> None:
        original(job, frame)
        if len(job.surface.frames) == index:
            act()

    monkeypatch.setitem(jobs._EVENTS, "frame", on_frame)


def test_a_job_goes_on_through_the_death_of_the_local_backend(local, monkeypatch):
    with open_pymol() as cmd:
        when_frame(monkeypatch, 5, lambda: os.kill(local.pid, signal.SIGKILL))
        call(cmd, "moedsr_predict", "prot", frames=FRAMES, name="killed", seed=3)
        when_frame(monkeypatch, -1, lambda: None)
        call(cmd, "moedsr_fetch", _only_job(cmd), name="whole")
        assert len(frames_of(cmd, "killed")) == FRAMES
        assert frames_of(cmd, "killed") == frames_of(cmd, "whole")


def _only_job(cmd: Any) -> str:
    (row,) = call(cmd, "moedsr_jobs")
    assert row["state"] == "done" and row["object"] == "prot"
    return row["id"]


def test_a_local_job_goes_on_at_the_next_start(local, monkeypatch):
    with open_pymol() as cmd:
        when_frame(monkeypatch, 5, local.stop)
        with pytest.raises(CmdException, match=r"the backend was stopped; 'moedsr_fetch \w+' goes"):
            call(cmd, "moedsr_predict", "prot", frames=FRAMES)
    when_frame(monkeypatch, -1, lambda: None)
    with open_pymol() as later:
        (row,) = call(later, "moedsr_jobs")
        assert row["state"] in ("queued", "running") and row["frames_done"] >= 5
        call(later, "moedsr_fetch", row["id"])
        assert later.count_states("prot_surf") == FRAMES


def test_a_lab_server_is_killed_and_started_again_in_mid_job(lab, tmp_path, monkeypatch):
    (tmp_path / "token").write_text(lab.token)
    (tmp_path / "token").chmod(0o600)
    lab.client().health()  # waits until it listens

    def restart() -> None:
        lab.kill()
        lab.start()

    with open_pymol() as cmd:
        files = {"token_file": str(tmp_path / "token"), "ca_file": str(lab.certificate.file)}
        state = call(cmd, "moedsr_backend", lab.url, name="lab", **files)
        assert state["protocol"] == 2
        when_frame(monkeypatch, 5, restart)
        call(cmd, "moedsr_predict", "prot", frames=FRAMES, name="killed", seed=3)
        when_frame(monkeypatch, -1, lambda: None)
        call(cmd, "moedsr_fetch", _only_job(cmd), name="whole")
        assert len(frames_of(cmd, "killed")) == FRAMES
        assert frames_of(cmd, "killed") == frames_of(cmd, "whole")


def test_a_token_that_is_revoked_in_mid_job_ends_the_stream_in_one_sentence(lab):
    client = lab.client()
    arrays = _peptide()
    job = client.create(arrays, {"kind": "predict", "frames": 1000})
    follower = Follower(client.again, job, patience=QUICK)
    with pytest.raises(BackendError, match=r"does not accept this token, .* ask its keeper"):
        for record in follower.records():
            if record.index == 3:
                with TokenStore(lab.folder) as store:
                    store.revoke("anna")


def test_another_owners_job_is_no_job_at_all(lab):
    job = lab.client().create(_peptide(), {"kind": "predict", "frames": 2})
    with TokenStore(lab.folder) as store:
        other = lab.client(store.create("bert"))
    assert other.jobs() == []
    for ask in (other.status, other.cancel, other.delete, lambda j: list(other.stream(j))):
        with pytest.raises(BackendError, match="there is no job"):
            ask(job)


def _peptide() -> dict[str, np.ndarray]:
    names = np.array(["N", "CA", "C", "O"] * 3)
    return {
        "coords": np.random.default_rng(0).normal(size=(12, 3)) * 5,
        "elements": np.array(["N", "C", "C", "O"] * 3),
        "atom_names": names,
        "residue_names": np.array(["GLY"] * 12),
        "residue_ids": np.repeat(["1", "2", "3"], 4),
        "chain_ids": np.array(["A"] * 12),
        "residue_index": np.repeat([0, 1, 2], 4),
    }
