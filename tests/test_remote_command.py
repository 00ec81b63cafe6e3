"""The shell's commands for servers, against a stand-in."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymol_support import FakeBackend, ball, record

from moedsr_core import prediction_files, remote
from moedsr_core.backend.client import Address, BackendClient, Patience
from moedsr_core.errors import BackendError, CancelledError, InputError
from moedsr_core.mesh_trajectory import Frame, MeshTrajectory, load_trajectory
from moedsr_core.predict_options import PredictOptions
from moedsr_core.structure_io import read_structure

FRAMES = 3
TOKEN = "one-token-of-many-0123456789"


def trajectory() -> MeshTrajectory:
    unit, faces = ball()
    n, float32 = len(unit), np.float32
    normals, still = unit.astype(float32), np.zeros(n, float32)
    frames = [Frame((unit * (5 + k)).astype(float32), faces, normals, still) for k in range(FRAMES)]
    return MeshTrajectory(
        frames=tuple(frames),
        times=np.linspace(-1.0, 1.0, FRAMES),
        lags_ps=np.arange(FRAMES, dtype=float),
        fluctuation=still,
        mean_displacement=still,
        atom=np.arange(n, dtype=np.int32) % 3,
        expert=np.ones((n, 1), float32),
        metadata={"program": "moedsr", "frames": FRAMES, "vertices": n, "seconds": 1.0},
    )


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBackend]:
    trajectory().save(tmp_path / "made.npz")
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    monkeypatch.setenv("MOEDSR_TOKEN_FILE", str(tmp_path / "token"))
    with FakeBackend(token=TOKEN, result=(tmp_path / "made.npz").read_bytes()) as fake:
        monkeypatch.setenv("MOEDSR_BACKEND", fake.url)
        yield fake


def pdb_line(record: str, name: str, residue: str, chain: str, number: int, x: float) -> str:
    at = f"{x:8.3f}{1.5 * number:8.3f}{0.0:8.3f}  1.00  0.00          {name[0]:>2}"
    return f"{record:6}{number:5} {name:^4} {residue} {chain}{number:4}    {at}\n"


@pytest.fixture
def pdb(tmp_path: Path) -> Path:
    """Three glycines behind a water."""
    lines = [pdb_line("HETATM", "O", "HOH", "W", 900, 50.0)]
    for number in (1, 2, 3):
        for x, name in enumerate(("N", "CA", "C", "O")):
            lines.append(pdb_line("ATOM", name, "GLY", "A", number, 1.4 * x))
    path = tmp_path / "peptide.pdb"
    path.write_text("".join(lines), encoding="ascii")
    return path


def predicted(pdb: Path, tmp_path: Path, **options: Any) -> MeshTrajectory:
    said: list[Any] = []
    made = remote.predict_remotely(
        read_structure(pdb), PredictOptions(frames=FRAMES, **options), remote.Remote(), tmp_path,
        lambda *what: said.append(what),
    )  # fmt: skip
    assert ("fetching the result", FRAMES, FRAMES) in said
    return made


def test_a_server_is_sent_the_polymer_and_its_atoms_are_told_as_ours(server, pdb, tmp_path):
    made = predicted(pdb, tmp_path, seed=7)
    sent = server.jobs["job0"]
    structure = read_structure(pdb)
    assert (np.abs(sent["arrays"]["coords"]).max() < 50) and len(structure) > len(
        sent["arrays"]["coords"]
    )
    assert sent["options"] == {"kind": "predict", "frames": FRAMES, "seed": 7}
    np.testing.assert_array_equal(
        structure.coords[made.atom], sent["arrays"]["coords"][trajectory().atom]
    )
    assert "GET /v1/jobs/job0/stream?from=3" in server.requests  # frames come once, as a whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made.npz", "peptide.pdb", "token"]


def test_what_a_server_does_not_take_is_refused_before_anything_is_sent(server, pdb, tmp_path):
    with pytest.raises(InputError, match="a server does not take n_points, got 500; leave it out"):
        predicted(pdb, tmp_path, n_points=500)
    assert server.requests == []


def test_a_refusal_is_bad_input_and_a_failure_is_the_servers(server, pdb, tmp_path):
    server.behaviour["refuse"] = "unknown model 'x'; choose fake"
    with pytest.raises(InputError, match="unknown model 'x'; choose fake"):
        predicted(pdb, tmp_path, model="x")
    del server.behaviour["refuse"]
    server.behaviour["fails"] = "it ran out of memory"
    with pytest.raises(BackendError, match="job job0 failed: it ran out of memory"):
        predicted(pdb, tmp_path)
    assert not list(tmp_path.glob("job*"))


@pytest.mark.parametrize(
    ("reason", "code", "sentence"),
    [(None, 130, "job0 was cancelled"), ("somebody deleted it", 3, "cancelled: somebody deleted")],
)
def test_a_job_that_is_cancelled_is_told_from_one_that_is_deleted(
    server, tmp_path, capsys, reason, code, sentence
):
    BackendClient(Address(server.url, TOKEN)).create({"coords": np.eye(3)}, {"kind": "predict"})
    server.behaviour["say"] = record("end", state="cancelled", error=reason, summary={})
    assert remote.main(["fetch", "job0", "--out", str(tmp_path / "out")]) == code
    said = capsys.readouterr().err
    assert sentence in said and not (tmp_path / "out").exists()


def test_while_a_job_waits_its_place_is_told_and_no_time(server, tmp_path, capsys, monkeypatch):
    clock = itertools.count(0.0, 10.0)
    monkeypatch.setattr(prediction_files.time, "monotonic", lambda: next(clock))
    places = [("queued", 0, 2), ("queued", 0, 0), ("frames", 2, None), ("frames", 4, None)]
    server.behaviour["say"] = b"".join(
        record("progress", stage=stage, frames_done=done, frames=9, queue_position=place)
        for stage, done, place in [*places, ("queued", 4, None)]
    )
    client = BackendClient(Address(server.url, TOKEN), Patience(first_wait_s=0.01))
    server.behaviour["cuts"] = [len(server.behaviour["say"]) + 200]
    job = client.create({"coords": np.eye(3)}, {"kind": "predict", "frames": 9})
    with prediction_files.progress(9) as tell:
        remote.fetch_result(client, job, tmp_path, tell, 9)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:7] == [
        "waiting, 2 before it: 0 of 9 frames",
        "waiting: 0 of 9 frames",
        "frames: 2 of 9 frames",
        "frames: 4 of 9 frames, 25 s left",
        "waiting: 4 of 9 frames",
        "waiting for the server: 4 of 9 frames",
    ]


def test_ctrl_c_ends_the_waiting_but_not_the_job(server, pdb, tmp_path, monkeypatch):
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(remote, "load_trajectory", interrupt)
    with pytest.raises(CancelledError, match=r"'moedsr fetch job0' gets the prediction"):
        predicted(pdb, tmp_path)
    assert not [line for line in server.requests if "cancel" in line or "DELETE" in line]


def test_jobs_are_listed_fetched_and_cancelled(server, pdb, tmp_path, capsys):
    predicted(pdb, tmp_path)
    assert remote.main(["jobs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == "job0"
    assert remote.main(["jobs"]) == 0
    assert "job0" in capsys.readouterr().out
    out = tmp_path / "out"
    assert remote.main(["fetch", "job0", "--out", str(out), "--format", "obj"]) == 0
    fetched = load_trajectory(out / "trajectory.npz")
    assert fetched.frames[2].vertices.tobytes() == trajectory().frames[2].vertices.tobytes()
    assert sorted(p.name for p in out.iterdir()) == ["frames", "summary.json", "trajectory.npz"]
    assert sorted(p.name for p in (out / "frames").iterdir())[0] == "frame_0000.obj"
    assert json.loads((out / "summary.json").read_text())["job"] == "job0"
    assert remote.main(["cancel", "job0"]) == 0
    assert "POST /v1/jobs/job0/cancel" in server.requests


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["fetch", "nojob"], 3, "there is no such job"),
        (["cancel", "../up"], 3, "there is no job '../up'"),
        (["jobs", "--token-file", "/no/such"], 2, "the token cannot be read from '/no/such'"),
        (["jobs", "--ca-file", "/no/such"], 2, "give --ca-file FILE the server's certificate"),
        (["jobs", "--backend", "http://127.0.0.1:9"], 3, "nobody listens at http://127.0.0.1:9"),
        (["jobs", "--backend", "lab:1"], 2, "an address is written https://host:port"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(server, tmp_path, capsys, arguments, code, sentence):
    assert remote.main(arguments) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("moedsr: ") and sentence in said


def test_without_an_address_there_is_no_server(monkeypatch, capsys):
    monkeypatch.delenv("MOEDSR_BACKEND", raising=False)
    assert remote.main(["jobs"]) == 2
    assert "--backend https://host:port, or MOEDSR_BACKEND" in capsys.readouterr().err


def test_a_wrong_token_is_told_with_the_shells_flag(server, tmp_path, capsys):
    server.token = "another"
    assert remote.main(["jobs"]) == 3
    assert capsys.readouterr().err == (
        f"moedsr: {server.url} does not accept this token, which is wrong, has expired or was "
        "revoked; ask its keeper for another, and name its file with --token-file FILE\n"
    )


def test_predict_writes_the_same_files_from_a_server(server, pdb, tmp_path, monkeypatch, capsys):
    from moedsr_core import cli

    monkeypatch.setattr(cli, "predict", None)  # nothing is computed here
    out = tmp_path / "out"
    arguments = ["predict", str(pdb), "--frames", str(FRAMES), "--out", str(out)]
    assert cli.main([*arguments, "--backend", server.url]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["frames", "summary.json", "trajectory.npz"]
    assert json.loads((out / "summary.json").read_text())["input"] == str(pdb)
    assert f"{FRAMES} frames" in capsys.readouterr().out
