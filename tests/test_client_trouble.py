"""The client of servers: every failure is one sentence with a cure."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
import requests
from certificates import Certificate, make_certificate, make_expired
from client_support import ATOMS, FRAMES, OPTIONS, QUICK, client_of, starts
from pymol_support import FakeBackend

from moedsr_core.backend.client import (
    Address,
    BackendClient,
    BackendError,
    Follower,
    Needs,
    Patience,
    RefusedError,
    StoppedError,
    UnreachableError,
    checked_health,
)
from moedsr_core.backend.client.explain import network_error


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
