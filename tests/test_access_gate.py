"""Who gets in, under which name, how often, and for how long."""

from __future__ import annotations

import asyncio
import time

import pytest
import requests

from moedsr_core.backend.access.front import Access
from moedsr_core.backend.access.gate import TokenGate, _network
from moedsr_core.backend.access.tokens import Holder, TokenStore
from moedsr_core.backend.access.watch import HEADERS
from tests.served import bearer, call, served

ROUTES = [
    ("GET", "/v1/health"), ("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", "/v1/jobs/1/stream"),
    ("GET", "/v1/metrics"), ("GET", "/v1/openapi.json"), ("GET", "/"), ("GET", "/v1/nothing"),
    ("DELETE", "/v1/jobs/0123456789abcdef"), ("PUT", "/%2e%2e/etc/passwd"), ("OPTIONS", "/v1/jobs"),
]  # fmt: skip
MANY = 10_000


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    kept = TokenStore(tmp_path_factory.mktemp("access") / "data")
    yield kept
    kept.close()


@pytest.fixture(scope="module")
def server(store):
    with served(Access(keys=store), failures_per_minute=MANY) as running:
        yield running


@pytest.fixture(scope="module")
def ann(store):
    return bearer(store.create("ann"))


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("moedsr_wrong"),
        {"Authorization": "Basic YW5uOmFubg=="},
        {"Authorization": "Bearer"},
        bearer("x" * 5000),
    ],
    ids=["none", "wrong", "another scheme", "no token", "too long"],
)
def test_every_path_asks_for_a_token(server, method, path, headers):
    answer = call(server, method, path, headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    if method != "HEAD":
        assert "valid token" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_revoked_tokens_open_nothing(server, store, method, path):
    secret = store.create("gone", replace=True)
    store.revoke("gone")
    assert call(server, method, path, bearer(secret)).status_code == 401


def test_a_token_given_twice_opens_nothing(server, store):
    secret = store.create("twice")
    with server.connect() as client:
        line = f"Authorization: Bearer {secret}\r\n"
        client.sendall(f"GET /v1/jobs HTTP/1.1\r\nHost: h\r\n{line}{line}\r\n".encode())
        assert client.recv(20).startswith(b"HTTP/1.1 401")


def test_a_valid_token_sets_the_owner(server, ann):
    assert call(server, "GET", "/v1/jobs", ann).json() == {"owner": "ann"}
    lower = {"Authorization": ann["Authorization"].replace("Bearer", "bearer")}
    assert call(server, "GET", "/v1/jobs", lower).json() == {"owner": "ann"}


def test_the_description_is_there_for_those_with_a_token(server, ann):
    assert "/v1/jobs" in call(server, "GET", "/v1/openapi.json", ann).json()["paths"]


def test_a_token_for_metrics_opens_health_and_metrics_only(server, store):
    token = bearer(store.create("watcher", scope="metrics"))
    assert call(server, "GET", "/v1/metrics", token).status_code == 200
    assert call(server, "GET", "/v1/health", token).status_code == 200
    for method, path in ROUTES:
        if path not in ("/v1/metrics", "/v1/health"):
            assert call(server, method, path, token).status_code == 403


def test_a_running_stream_ends_when_its_token_is_revoked(server, store):
    secret = store.create("streamer")
    server.app.state.streams_ended.clear()
    answer = call(server, "GET", "/v1/jobs/1/stream", bearer(secret), stream=True)
    pieces = answer.iter_content(6)
    assert next(pieces) == b"first\n"
    store.revoke("streamer")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):  # never taken for complete
        next(pieces)
    assert server.app.state.streams_ended.wait(30)


def test_a_running_stream_ends_when_its_token_expires(server, store):
    secret = store.create("hasty", days=1 / 86_400)
    answer = call(server, "GET", "/v1/jobs/1/stream", bearer(secret), stream=True)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        answer.content  # noqa: B018


def test_streams_of_other_tokens_go_on(server, store, ann):
    store.create("short")
    server.app.state.streams_ended.clear()
    with call(server, "GET", "/v1/jobs/1/stream", ann, stream=True) as answer:
        pieces = answer.iter_content(6)
        next(pieces)
        store.revoke("short")
        assert not server.app.state.streams_ended.wait(1)


def test_an_address_that_fails_too_often_waits_but_locks_nobody_out(store, ann):
    with served(Access(keys=store), failures_per_minute=3) as server:
        answers = [call(server, "GET", "/v1/jobs", bearer("wrong")) for _ in range(5)]
        assert [a.status_code for a in answers] == [401, 401, 401, 429, 429]
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 20
        assert call(server, "GET", "/v1/jobs", ann).status_code == 200


def test_tries_are_counted_by_address_and_by_network():
    def of(host):
        return _network({"client": (host, 1)})

    assert of("192.0.2.1") != of("192.0.2.2")
    assert of("2001:db8::1") == of("2001:db8::ffff:1") != of("2001:db8:0:1::1")
    assert of("::ffff:192.0.2.1") == of("192.0.2.1")


def test_a_token_that_asks_too_often_is_told_when_to_come_back(store, ann):
    eve = bearer(store.create("eve"))
    with served(Access(keys=store), rate_per_s=0.1, rate_burst=2) as server:
        answers = [call(server, "GET", "/v1/jobs", ann) for _ in range(3)]
        assert [a.status_code for a in answers] == [200, 200, 429]
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 10
        assert call(server, "GET", "/v1/jobs", eve).status_code == 200


def test_streams_of_one_token_are_counted_and_given_back(store, ann):
    with served(Access(keys=store), max_streams_per_token=1) as server:
        first = call(server, "GET", "/v1/jobs/1/stream", ann, stream=True)
        second = call(server, "GET", "/v1/jobs/1/stream", ann)
        assert second.status_code == 429 and "Retry-After" in second.headers
        assert call(server, "GET", "/v1/jobs", ann).status_code == 200
        first.close()
        assert server.app.state.streams_ended.wait(30)
        deadline, status = time.monotonic() + 30, 429
        while status == 429 and time.monotonic() < deadline:
            with call(server, "GET", "/v1/jobs/1/stream", ann, stream=True) as third:
                status = third.status_code
        assert status == 200


def test_without_tokens_everybody_here_is_local_but_web_pages_are_not():
    with served(Access(keys=None)) as server:
        assert call(server, "GET", "/v1/jobs").json() == {"owner": "local"}
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example:80"}):
            assert call(server, "GET", "/v1/jobs", headers).status_code == 403
        for host in ("127.0.0.1:1", "[::1]:1", "LOCALHOST"):
            assert call(server, "GET", "/v1/jobs", {"Host": host}).status_code == 200


def test_every_answer_carries_the_headers(server, ann):
    for path, headers in (("/v1/jobs", ann), ("/v1/jobs", {}), ("/v1/broken", ann), ("/x", ann)):
        answer = call(server, "GET", path, headers)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "server" not in answer.headers


def test_nothing_but_http_gets_through():
    sent = []

    async def send(message):
        sent.append(message)

    class Nobody:
        def find(self, secret: str) -> Holder | None:
            return None

        def live(self, ids):
            return set()

    async def app(scope, receive, send):
        raise AssertionError("let through")

    gate = TokenGate(app, Nobody(), 1)
    asyncio.run(gate({"type": "websocket", "path": "/", "headers": []}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
