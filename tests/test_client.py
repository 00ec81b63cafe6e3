"""The client of servers: every failure is got over, or is one sentence with a cure."""

from __future__ import annotations

import io
import json
import random
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from certificates import Certificate, make_certificate, make_expired
from pymol_support import RADIUS, FakeBackend, ball, displacement, record, triangles

from moedsr_core.backend.client import (
    Address,
    BackendClient,
    BackendError,
    Follower,
    Needs,
    Patience,
    Record,
    RefusedError,
    StoppedError,
    UnreachableError,
    UserError,
    checked_health,
    pack_request,
    read_token,
)
from moedsr_core.backend.client import follow as follow_module
from moedsr_core.backend.client.explain import network_error

FRAMES = 6
QUICK = Patience(
    connect_s=2.0, silence_s=2.0, retries=2, first_wait_s=0.001, longest_wait_s=0.002, busy_s=1.0
)
ATOMS = {"coords": np.arange(12.0).reshape(4, 3), "elements": np.array(["C"] * 4)}
OPTIONS = {"kind": "predict", "frames": FRAMES}


def client_of(fake: FakeBackend, patience: Patience = QUICK, **more: Any) -> BackendClient:
    return BackendClient(Address(fake.url, **{"token": fake.token, **more}), patience)


def followed(fake: FakeBackend, job: str, patience: Patience = QUICK, **more: Any) -> list[Record]:
    client = client_of(fake, patience)
    return list(Follower(client.again, job, patience=patience, **more).records())


def lasting(records: list[Record]) -> list[Any]:
    """What a job gives however its stream went: all but signs of progress."""
    return [
        (record.kind, record.fields, {k: v.tobytes() for k, v in record.arrays.items()})
        for record in records
        if record.kind != "progress"
    ]


def starts(fake: FakeBackend) -> list[int]:
    return [int(line.split("=")[1]) for line in fake.requests if "stream" in line]


def test_a_stream_that_is_cut_anywhere_gives_the_same_records():
    with FakeBackend() as fake:
        job = client_of(fake).create(ATOMS, OPTIONS)
        whole = followed(fake, job)
        assert [r.index for r in whole if r.kind == "frame"] == list(range(FRAMES))
        length, draw = fake.sent[0], random.Random(0)
        for position in [draw.randrange(length) for _ in range(20)]:
            fake.behaviour["cuts"] = [position]
            assert lasting(followed(fake, job)) == lasting(whole), position
    assert len(fake.sent) == 41  # each was cut once and taken up once


@pytest.mark.parametrize("behaviour", [{}, {"remesh": True}])
def test_a_stream_that_is_cut_again_and_again_goes_on_at_the_next_frame(behaviour):
    with FakeBackend(**behaviour) as fake:
        job = client_of(fake).create(ATOMS, {**OPTIONS, "frames": 40})
        whole = followed(fake, job)
        draw = random.Random(1)
        fake.behaviour["cuts"] = [draw.randrange(fake.sent[0] // 20) for _ in range(20)]
        fake.requests.clear()
        assert lasting(followed(fake, job)) == lasting(whole)
    assert starts(fake) == sorted(starts(fake)) and len(starts(fake)) == 21


def test_frames_are_plain_arrays_to_whoever_follows():
    with FakeBackend() as fake:
        records = followed(fake, client_of(fake).create(ATOMS, OPTIONS))
    frames = [record.arrays for record in records if record.kind == "frame"]
    unit, faces = ball()
    for k, frame in enumerate(frames):
        sent = ATOMS["coords"].mean(axis=0) + (RADIUS + displacement(k, FRAMES)) * unit
        assert np.linalg.norm(frame["vertices"] - sent, axis=1).max() < 0.01
        assert {frame[name].dtype.str for name in frame if name != "faces"} == {"<f4"}
    assert ["faces" in frame for frame in frames] == [True] + [False] * (FRAMES - 1)
    assert triangles(frames[0]["faces"]) == triangles(faces)


def test_a_damaged_frame_is_one_sentence():
    damaged = record("frame", {"vertices": np.zeros(7, np.uint8)}, index=0)
    with FakeBackend(say=damaged) as fake:
        job = client_of(fake).create(ATOMS, OPTIONS)
        with pytest.raises(BackendError, match=r"sent a frame that cannot be read; update or"):
            followed(fake, job)


def test_a_silent_stream_is_taken_up_again():
    patience = Patience(silence_s=0.2, first_wait_s=0.001)
    with FakeBackend(silent_at=3, silent_once=True) as fake:
        job = client_of(fake).create(ATOMS, OPTIONS)
        records = followed(fake, job, patience)
    assert [r.index for r in records if r.kind == "frame"] == list(range(FRAMES))
    assert 3 in starts(fake) and starts(fake) == sorted(starts(fake))


def test_a_server_that_restarts_in_mid_job_is_waited_for():
    first = FakeBackend(cuts=[5_000])
    second: list[FakeBackend] = []
    reasons: list[str] = []

    def report(reason: str, waited: float) -> None:
        reasons.append(reason)
        if len(reasons) == 1:
            first.__exit__()
        elif len(reasons) == 3:
            second.append(FakeBackend(port=first.port, jobs=first.jobs).__enter__())

    first.__enter__()
    job = client_of(first).create(ATOMS, OPTIONS)
    records = followed(first, job, report=report)
    second[0].__exit__()
    assert "broke off" in reasons[0] and "nobody listens" in reasons[2]
    assert [r.index for r in records if r.kind == "frame"] == list(range(FRAMES))
    assert starts(second[0])[0] > 0


def test_a_server_that_stays_away_is_given_up_in_one_sentence():
    with FakeBackend(cuts=[5_000]) as fake:
        job = client_of(fake).create(ATOMS, OPTIONS)
    patience = Patience(first_wait_s=0.01, longest_wait_s=0.01, outage_s=0.05)
    with pytest.raises(BackendError, match=r"nobody listens .* may still be fetched later"):
        followed(fake, job, patience)


def test_the_sleep_of_this_computer_does_not_count_as_the_servers_absence(monkeypatch):
    clock = iter(range(0, 10**9, 36_000))  # ten hours between any two looks
    monkeypatch.setattr(follow_module.time, "monotonic", lambda: float(next(clock)))
    with FakeBackend(cuts=[0, 0, 0]) as fake:
        job = client_of(fake).create(ATOMS, OPTIONS)
        records = followed(fake, job)
    assert records[-1].kind == "end" and len(fake.sent) == 4


def test_another_thread_ends_a_wait_at_once():
    with FakeBackend(silent_at=2) as fake:
        client = client_of(fake, Patience(silence_s=250.0))
        follower = Follower(client.again, client.create(ATOMS, OPTIONS))
        seen = []
        with pytest.raises(StoppedError):
            for record in follower.records():
                seen.append(record)
                if record.index == 1:
                    threading.Thread(target=follower.stop).start()
    assert seen[-1].index == 1


def test_a_stop_ends_the_wait_for_an_absent_server():
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    client = BackendClient(Address(url), QUICK)
    patience = Patience(first_wait_s=250.0, longest_wait_s=250.0)
    follower = Follower(client.again, "job0", lambda *_: follower.stop(), patience)
    with pytest.raises(StoppedError):
        list(follower.records())


def test_a_job_is_sent_again_under_the_same_key_where_the_answer_is_lost():
    with FakeBackend(answers={"POST /jobs": [(0, {}, "")]}) as fake:
        assert client_of(fake).create(ATOMS, OPTIONS) == "job0"
    keys = [headers["Idempotency-Key"] for headers in fake.headers]
    assert len(keys) == 2 and keys[0] == keys[1] and len(keys[0]) == 32


def test_a_busy_server_is_left_alone_as_long_as_it_says_within_a_limit():
    busy = {"detail": "20 jobs are waiting"}
    with FakeBackend(answers={"POST /jobs": [(429, {"Retry-After": "0"}, busy)] * 2}) as fake:
        assert client_of(fake).create(ATOMS, OPTIONS) == "job0"
    with FakeBackend(answers={"POST /jobs": [(429, {"Retry-After": "3600"}, busy)]}) as fake:
        with pytest.raises(UnreachableError, match="is busy: 20 jobs are waiting") as error:
            client_of(fake).create(ATOMS, OPTIONS)
    assert error.value.wait_s == 3600 and fake.requests == ["POST /v1/jobs"]


def test_a_refusal_is_not_asked_for_twice():
    with FakeBackend(refuse="the model is unknown; choose fake") as fake:
        with pytest.raises(RefusedError, match=r"^the model is unknown; choose fake$") as error:
            client_of(fake).create(ATOMS, OPTIONS)
    assert error.value.status == 422 and fake.requests == ["POST /v1/jobs"]


def test_a_proxy_in_trouble_is_asked_again():
    answer = (502, {"Content-Type": "text/html"}, "<html>Bad Gateway</html>")
    with FakeBackend(answers={"GET /models": [answer, answer]}) as fake:
        assert client_of(fake).models()[0]["name"] == "fake"


def test_no_redirect_is_followed_so_that_the_token_stays_here():
    with FakeBackend() as other:
        there = {"Location": f"{other.url}/v1/health?secret=1"}
        with FakeBackend(answers={"GET /health": [(307, there, "")]}) as fake:
            with pytest.raises(BackendError, match=f"sends us on to {other.url}/v1/health;"):
                client_of(fake).health()
    assert other.requests == []


def test_no_password_of_the_users_netrc_takes_the_tokens_place(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(Address, "is_loopback", False)  # as if it were elsewhere
    monkeypatch.setattr(Address, "is_encrypted", True)
    with FakeBackend() as fake:
        assert client_of(fake).models()
        with pytest.raises(RefusedError, match="wants a token"):
            client_of(fake, token="").models()
    assert [headers.get("Authorization") for headers in fake.headers] == [
        f"Bearer {fake.token}",
        None,
    ]


def test_loopback_is_asked_past_any_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with FakeBackend() as fake:
        assert client_of(fake).health()["name"] == "moedsr"


def test_a_proxy_that_lets_nobody_through_is_named_without_its_password(monkeypatch):
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with FakeBackend() as proxy:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.url.replace("//", "//me:secret@"))
        with pytest.raises(UnreachableError) as error:
            BackendClient(Address("https://gpu.example:8642", "t"), QUICK).health()
    assert f"the proxy {proxy.url} does not let us through to https://gpu.example:8642" in str(
        error.value
    )
    assert "NO_PROXY=gpu.example" in str(error.value) and "secret" not in str(error.value)


ANSWERS = [
    ((401, {}, "no"), "for another, and name its file with token_file=FILE$"),
    ((404, {"Content-Type": "text/html"}, "<html>"), "is not a moedsr server .HTTP 404, text/html"),
    ((200, {"Content-Type": "text/html"}, "<html>hi"), "is not a moedsr server .HTTP 200"),
    ((200, {}, {"name": "grafana"}), "is not a moedsr server"),
    ((200, {}, ["moedsr"]), "is not a moedsr server"),
    ((404, {}, {"detail": "Not Found"}), "is not a moedsr server .it knows no /v1/health"),
    ((413, {}, {"detail": "64 MB at most"}), "takes no request of this size: 64 MB at most"),
    ((507, {}, {"detail": "no space"}), "the disk of .* is full .no space.; delete old jobs"),
    ((403, {}, {"detail": "this token reads metrics only"}), "this token reads metrics only"),
    ((407, {}, "login"), "the proxy .*wants a login"),
    ((503, {}, "x"), "is not ready .HTTP 503.; wait, or tell its keeper"),
    ((500, {}, {"detail": "internal error: KeyError"}), "internal error: KeyError"),
]


@pytest.mark.parametrize(("answer", "sentence"), ANSWERS)
def test_an_answer_that_is_no_success_is_one_sentence(answer, sentence):
    with FakeBackend(answers={"GET /health": [answer] * 3}) as fake:
        with pytest.raises(BackendError, match=sentence) as error:
            client_of(fake).health()
    assert "\n" not in str(error.value) and fake.token not in str(error.value)


NEEDS = Needs("this plugin", (2, 3), ("0.1.0", "0.3.0"))


@pytest.mark.parametrize(
    ("health", "sentence"),
    [
        ({"protocol": 4}, "speaks protocol 4, this plugin 2 to 3; update this plugin"),
        ({"protocol": 1}, "speaks protocol 1, this plugin 2 to 3; update that server"),
        ({"protocol": None}, "does not say which protocol it speaks; update that server"),
        ({"protocol": 2, "version": "0.0.9"}, "moedsr 0.0.9, .* update that server"),
        ({"protocol": 2, "version": "0.3.0"}, "moedsr 0.3.0, .* update this plugin"),
        ({"protocol": 2, "version": ""}, "of no known version, .* update that server"),
    ],
)
def test_of_two_that_do_not_fit_the_older_is_named(health, sentence):
    with FakeBackend(health=health) as fake, pytest.raises(BackendError, match=sentence) as error:
        checked_health(client_of(fake), NEEDS)
    assert fake.url in str(error.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def test_a_certificate_that_is_named_is_trusted(certificate):
    with FakeBackend(certificate=certificate) as fake:
        client = client_of(fake, ca_file=str(certificate.file))
        job = client.create(ATOMS, OPTIONS)
        fake.behaviour["cuts"] = [5_000]
        records = list(Follower(client.again, job, patience=QUICK).records())
    assert [r.index for r in records if r.kind == "frame"] == list(range(FRAMES))
    assert len(starts(fake)) == 2


def test_a_stop_ends_an_encrypted_wait_too(certificate):
    with FakeBackend(certificate=certificate, silent_at=1) as fake:
        client = client_of(fake, Patience(silence_s=250.0), ca_file=str(certificate.file))
        follower = Follower(client.again, client.create(ATOMS, OPTIONS))
        with pytest.raises(StoppedError):
            for record in follower.records():
                if record.kind == "attributes":
                    threading.Thread(target=follower.stop).start()


def test_a_certificate_that_nobody_vouches_for_is_refused_with_the_way_out(
    certificate, tmp_path, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.file))  # loopback looks at no such
    other = make_certificate(tmp_path)
    with FakeBackend(certificate=certificate) as fake:
        with pytest.raises(BackendError, match=r"not trusted by this computer; .* ca_file=FILE"):
            client_of(fake).health()
        with pytest.raises(BackendError, match=r"not one that '.*cert.pem' vouches for"):
            client_of(fake, ca_file=str(other.file)).health()
    assert fake.requests == []


def test_a_certificate_for_another_name_is_refused(tmp_path):
    other = make_certificate(tmp_path, "DNS:gpu.example")
    with FakeBackend(certificate=other) as fake:
        with pytest.raises(BackendError, match=r"is not for the name '127.0.0.1'; use the name"):
            client_of(fake, ca_file=str(other.file)).health()
    assert fake.requests == []


def test_a_certificate_whose_time_is_over_is_refused(tmp_path):
    old = make_expired(tmp_path)
    with FakeBackend(certificate=old) as fake:
        with pytest.raises(BackendError, match=r"has expired; ask the server's keeper to renew it"):
            client_of(fake, ca_file=str(old.file)).health()


def test_tls_where_there_is_none_and_none_where_there_is_are_told_apart(certificate):
    with FakeBackend() as fake:
        address = Address(fake.url.replace("http:", "https:"), "t")
        with pytest.raises(BackendError, match=r"does not speak TLS on that port; write http://"):
            BackendClient(address, QUICK).health()
    with FakeBackend(certificate=certificate) as fake:
        address = Address(fake.url.replace("https:", "http:"), "t")
        with pytest.raises(BackendError, match=r"speaks TLS; write https://127.0.0.1"):
            BackendClient(address, QUICK).health()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (requests.ConnectTimeout(), "cannot be reached .time-out.; check the address, and that no"),
        (requests.ReadTimeout(), "has stopped answering"),
        (OSError(101, "Network is unreachable"), "no way to .* check this computer's network"),
        (requests.exceptions.InvalidHeader("x"), "check the address"),
    ],
)
def test_failures_of_the_network_are_told_apart(error, sentence):
    found = network_error(error, Address("https://gpu.example"))
    assert "https://gpu.example" in str(found)
    with pytest.raises(BackendError, match=sentence):
        raise found


def test_a_name_that_nobody_knows_is_one_sentence(monkeypatch):
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(UnreachableError, match=r"no computer named 'gpu.exmaple' .* spelling"):
        BackendClient(Address("https://gpu.exmaple:8642"), QUICK).health()


@pytest.mark.parametrize(
    ("url", "more", "sentence"),
    [
        ("gpu.example:8642", {}, "an address is written https://host:port, got 'gpu.example:8642'"),
        ("ftp://gpu.example", {}, "an address is written"),
        ("https://", {}, "an address is written"),
        ("https://gpu.example:99999", {}, "an address is written"),
        ("https://me:secret@gpu.example", {}, "holds no user and password"),
        ("http://gpu.example", {"token": "t"}, "is not encrypted, so everybody .* read the token"),
        ("https://gpu.example", {"token": "a\nb"}, "plain characters on one line"),
        ("https://gpu.example", {"ca_file": "/no/such"}, "no file of certificates at '/no/such'"),
        ("https://gpu.example", {"ca_file": __file__}, "holds no certificate that can be read"),
    ],
)
def test_an_address_that_cannot_work_is_refused_before_anything_is_sent(url, more, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        Address(url, **more)
    assert "secret" not in str(error.value)


def test_an_address_is_written_one_way_and_hides_its_token():
    address = Address(" https://GPU.example:8642/v1/ ", "topsecret")
    assert address.url == "https://gpu.example:8642" and address.port == 8642
    assert "topsecret" not in f"{address} {address!r}"
    assert Address("http://[::1]:1", "t").is_loopback and Address("http://localhost", "t").token


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_token_that_others_can_read_is_refused_with_the_cure(tmp_path):
    file = tmp_path / "token"
    file.write_text("abcdefgh\nsecond line\n")
    file.chmod(0o640)
    with pytest.raises(UserError, match=f"chmod 600 {file}"):
        read_token(str(file))
    file.chmod(0o600)
    assert read_token(str(file)) == "abcdefgh"


@pytest.mark.parametrize("content", [b"", b"two words\n", "Schlüssel\n".encode(), b"\n"])
def test_a_file_that_holds_no_token_is_refused(tmp_path, content):
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(UserError, match=r"first line of .* must be a token"):
        read_token(str(file))
    with pytest.raises(UserError, match=r"cannot be read .*No such file"):
        read_token(str(tmp_path / "none"))


def test_a_request_holds_arrays_and_options_and_no_pickle():
    arrays = {"coords": np.zeros((2, 3)), "elements": np.array(["C", "N"])}
    with np.load(io.BytesIO(pack_request(arrays, {"frames": 3})), allow_pickle=False) as body:
        assert json.loads(str(body["options"])) == {"frames": 3}
        assert body["elements"].tolist() == ["C", "N"] and body["coords"].shape == (2, 3)


def test_jobs_are_listed_inspected_cancelled_and_deleted():
    with FakeBackend() as fake:
        client = client_of(fake)
        first, second = client.create(ATOMS, OPTIONS), client.create(ATOMS, OPTIONS)
        assert [row["id"] for row in client.jobs()] == [second, first]
        fake.jobs[first]["status"]["state"] = "running"
        assert client.cancel(first) == f"job {first} is cancelled"
        client.delete(second)
        assert client.status(first)["state"] == "cancelled"
        fake.jobs[first]["status"]["state"] = "done"
        assert client.cancel(first) == f"job {first} had ended already (done)"
        with pytest.raises(RefusedError, match="there is no such job"):
            client.status("other")
        with pytest.raises(RefusedError, match="there is no job"):
            client.status("../health")


def test_a_result_comes_whole_although_its_download_broke_off(tmp_path):
    data = random.Random(2).randbytes(300_000)
    with FakeBackend(result=data, answers={"GET /jobs/job0/result": [(0, {}, "")]}) as fake:
        client = client_of(fake)
        client.create(ATOMS, OPTIONS)
        with Path(tmp_path / "result").open("w+b") as file:
            client.result("job0", file)
        assert (tmp_path / "result").read_bytes() == data


def test_the_client_needs_nothing_else_of_the_core():
    import subprocess

    code = (
        "import sys, moedsr_core.backend.client\n"
        "ours = {m for m in sys.modules if m.startswith('moedsr_core.')}\n"
        "allowed = ('moedsr_core.backend.client', 'moedsr_core.backend.wire')\n"
        "print([m for m in ours if m != 'moedsr_core.backend' and not m.startswith(allowed)])\n"
        "print([m for m in ('torch', 'scipy', 'fastapi') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]
