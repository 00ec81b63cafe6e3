"""The operator's commands, as they are typed."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys

import pytest
import requests
from backend_support import FakeScience, ThreadWorker

from moedsr_core.backend import serve as lab
from moedsr_core.backend.access.front import Access
from moedsr_core.backend.access.tokens import DATABASE, TokenStore
from moedsr_core.backend.commands import Serve, main
from moedsr_core.backend.data_folder import DataFolder
from moedsr_core.backend.description import Health, JobStatus
from moedsr_core.backend.jobstore import Job
from moedsr_core.backend.live import LiveJob
from moedsr_core.backend.spool import Spool
from moedsr_core.errors import InputError


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def token(folder, *words: str) -> int:
    return main(["token", *words, "--data-dir", str(folder)])


def test_a_token_is_shown_once_and_opens(folder, capsys):
    assert token(folder, "create", "ann") == 0
    shown = capsys.readouterr()
    secret = shown.out.strip()
    assert "once" in shown.err
    with TokenStore(folder) as store:
        assert store.find(secret).owner == "ann"
    assert token(folder, "list") == 0
    assert secret not in capsys.readouterr().out


def test_a_token_is_written_to_a_file_of_its_owner_alone(folder, tmp_path, capsys):
    out = tmp_path / "ann.token"
    assert token(folder, "create", "ann", "--out", str(out)) == 0
    assert os.name == "nt" or stat.S_IMODE(out.stat().st_mode) == 0o600
    secret = out.read_text().strip()
    assert secret not in "".join(capsys.readouterr())
    with TokenStore(folder) as store:
        assert store.find(secret).owner == "ann"
    assert token(folder, "create", "bob", "--out", str(out)) == 2
    assert out.read_text().strip() == secret


def test_a_token_that_cannot_be_made_leaves_no_file(folder, tmp_path, capsys):
    out = tmp_path / "bad.token"
    assert token(folder, "create", "not a name", "--out", str(out)) == 2
    assert not out.exists()
    assert capsys.readouterr().err.count("\n") == 1


def test_tokens_are_listed_and_revoked(folder, capsys):
    for words in (["ann"], ["watcher", "--scope", "metrics", "--days", "3"]):
        assert token(folder, "create", *words) == 0
    assert token(folder, "revoke", "ann") == 0
    capsys.readouterr()
    assert token(folder, "list", "--json") == 0
    ann, watcher = json.loads(capsys.readouterr().out)
    assert (ann["name"], ann["state"], ann["expires"]) == ("ann", "revoked", None)
    assert (watcher["scope"], watcher["state"]) == ("metrics", "valid")
    assert watcher["expires"] - watcher["created"] == pytest.approx(3 * 86_400)
    assert token(folder, "revoke", "ann") == 2


@pytest.mark.parametrize("words", [["list"], ["revoke", "ann"]])
def test_folders_without_tokens_are_not_made(folder, words, capsys):
    assert token(folder, *words) == 2
    assert "moedsr token create" in capsys.readouterr().err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ([], "moedsr token create NAME"),
        (["--host", "0.0.0.0", "--no-token"], "needs tokens"),
        (["--host", "0.0.0.0"], "needs TLS"),
        (["--tls-cert", "a.pem"], "both --tls-cert and --tls-key"),
        (["--tls-cert", "a.pem", "--tls-key", "b.pem"], "a.pem"),
        (["--insecure-no-tokens"], "goes with --no-token"),
        (["--host", "no.such.host.invalid"], "there is no host"),
        (["--port", "70000"], "port"),
        (["--max-atoms", "0"], "max_atoms"),
        (["--keep-gb", "-1"], "keep-gb"),
        (["--devices", "cpu", "gpu"], "--devices are auto, cpu, mps, cuda or cuda:N, got 'gpu'"),
        (["--data-dir", f"{__file__}/data"], "is a file; name another with --data-dir"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_sentence(folder, flags, reason, capsys):
    assert main(["serve", "--data-dir", str(folder), *flags]) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1
    assert not folder.exists()


def test_a_folder_that_another_server_uses_is_told_before_missing_tokens(folder, capsys):
    other = DataFolder(folder)
    assert main(["serve", "--data-dir", str(folder)]) == 3
    other.close()
    assert f"another moedsr server uses {folder}" in capsys.readouterr().err


@pytest.fixture
def quiet(monkeypatch):
    """The log goes where the tests want it."""
    monkeypatch.setattr(lab, "start_logging", lambda log_format: None)


def test_a_device_that_is_not_there_is_refused_though_others_are(folder, quiet):
    class Worker(ThreadWorker):
        def describe(self):
            if self.device == "cuda:7":
                raise InputError("there is no device cuda:7 here")
            return super().describe()

    def make(device):
        worker = Worker(FakeScience())
        worker.device = device
        return worker

    options = Serve(data_dir=folder, port=0, no_token=True, devices=("cpu", "cuda:7"))
    with pytest.raises(InputError, match="there is no device cuda:7 here"):
        lab.serve(options, make)
    DataFolder(folder).close()  # it is free again


def test_a_server_knows_whose_token_was_revoked(folder):
    options, limits = Serve(data_dir=folder), Serve().limits()
    with TokenStore(folder) as store:
        for name in ("ann", "bob", "cid"):
            store.create(name)
        for name in ("ann", "bob"):
            store.revoke(name)
        store.create("bob", replace=True)
        access = Access(keys=store, limits=limits)
        service = lab._service(options, DataFolder(folder), limits, access, store)
        assert service._expelled() == {"ann"}
        service.close()


@pytest.mark.parametrize("words", [["serve"], ["token", "create"]])
def test_no_option_is_the_opposite_of_another(words, capsys):
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    said = capsys.readouterr().out
    assert "--no-no" not in said and "--no-insecure" not in said and "--no-replace" not in said
    assert words == ["token", "create"] or "--no-token" in said


def test_unknown_flags_are_refused_before_bad_values(folder, capsys):
    with pytest.raises(SystemExit) as refused:
        main(["serve", "--data-dir", str(folder), "--max-atoms", "0", "--bogus"])
    assert refused.value.code == 2
    assert "--bogus" in capsys.readouterr().err


def test_every_limit_is_an_option_of_the_same_default():
    served = Serve()
    assert served.limits().max_atoms == served.max_atoms == 60_000
    assert Serve(max_atoms=5).limits().max_atoms == 5


def test_the_operators_commands_load_no_torch():
    code = (
        "import sys, moedsr_core.backend.serve, moedsr_core.backend.commands\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_a_server_without_a_worker_answers_refuses_and_ends_on_a_signal(folder, tmp_path):
    with TokenStore(folder) as store:
        secret = store.create("ann")
    command = [sys.executable, "-m", "moedsr_core", "serve", "--data-dir", str(folder)]
    command += ["--port", "0", "--log-format", "json", "--devices", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = iter(process.stderr.readline, "")
            url = next(json.loads(li)["address"] for li in lines if '"listening"' in li)
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
            bearer = {"Authorization": f"Bearer {secret}"}
            assert requests.get(url + "/v1/health", timeout=60).status_code == 401
            health = requests.get(url + "/v1/health", headers=bearer, timeout=60).json()
            assert (health["name"], health["auth"]) == ("moedsr", True)
            Health.model_validate(health)
            described = requests.get(url + "/v1/openapi.json", headers=bearer, timeout=60).json()
            assert described["security"] == [{"token": []}]
            create = described["paths"]["/v1/jobs"]["post"]
            assert "application/octet-stream" in create["requestBody"]["content"]
            for status in ("201", "401", "413", "422", "429", "507"):
                assert create["responses"][status]["content"]["application/json"]["schema"]
            text = requests.get(url + "/v1/metrics", headers=bearer, timeout=60).text
            assert "moedsr_queue_length 0.0" in text.splitlines()
            answer = requests.post(url + "/v1/jobs", headers=bearer, data=b"no npz", timeout=60)
            assert answer.status_code == 422 and answer.json()["detail"]
            assert token(folder, "revoke", "ann") == 0
            assert requests.get(url + "/v1/jobs", headers=bearer, timeout=60).status_code == 401
        finally:
            process.terminate()
            rest = process.communicate(timeout=60)[1]
    assert process.returncode == 0 or os.name == "nt"
    assert secret not in rest and '"ended"' in rest
    assert (folder / DATABASE).is_file()


def test_a_status_is_as_it_is_described(tmp_path):
    job = Job(
        id="0" * 16, owner="ann", kind="predict", created=0.0, options={}, frames=3, position=0,
        content="",
    )  # fmt: skip
    status = LiveJob(job, Spool(tmp_path)).status(4)
    assert JobStatus.model_validate(status).id == job.id
