"""Slow and greedy clients, with real sockets."""

from __future__ import annotations

import ssl
import time

import pytest
import requests
import trustme

from moedsr_core.backend.access.front import Access
from tests.served import read_all, read_answer, served

OPEN = Access(keys=None)
GET = b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n"


def head(*lines: str) -> bytes:
    return POST + "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET[:-2]], ids=["none", "line", "all but end"])
def test_headers_that_do_not_arrive_end_the_connection(sent):
    with served(OPEN, header_timeout_s=0.2) as server, server.connect() as client:
        client.sendall(sent)
        assert read_all(client).startswith(b"HTTP/1.1 408 ")


def test_headers_that_dribble_in_for_ever_end_the_connection():
    with served(OPEN, header_timeout_s=0.3) as server, server.connect() as client:
        client.settimeout(0.02)
        got = b""
        for _ in range(500):
            try:
                client.sendall(b"G")
                got += client.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                break
            if got:
                break
        assert got.startswith(b"HTTP/1.1 408 ")


def test_headers_of_a_second_request_must_arrive_too():
    with served(OPEN, header_timeout_s=0.2) as server, server.connect() as client:
        client.sendall(GET)
        assert read_answer(client).startswith(b"HTTP/1.1 200 ")
        client.sendall(b"GET /v1/he")
        assert read_all(client).startswith(b"HTTP/1.1 408 ")


def test_a_quiet_connection_stays_open_between_requests():
    with served(OPEN, header_timeout_s=0.1, keep_alive_s=60) as server, server.connect() as client:
        for _ in range(2):
            client.sendall(GET)
            assert read_answer(client).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.4)  # longer than headers may take


def test_a_stream_that_is_silent_is_not_taken_for_slow():
    with served(OPEN, header_timeout_s=0.1, write_timeout_s=0.1) as server:
        answer = requests.get(server.url + "/v1/jobs/1/stream", stream=True, timeout=30)
        pieces = answer.iter_content(6)
        assert next(pieces) == b"first\n"
        assert not server.app.state.streams_ended.wait(0.6)
        answer.close()


def test_a_body_slower_than_the_floor_is_cut(monkeypatch):
    monkeypatch.setattr("moedsr_core.backend.access.connections.BODY_WINDOW_S", 0.2)
    with served(OPEN, min_body_kb_per_s=10) as server, server.connect() as client:
        client.sendall(head("Content-Length: 100000") + b"x" * 100)
        assert read_all(client).startswith(b"HTTP/1.1 408 ")


def test_ten_gigabytes_are_refused_before_they_are_read():
    with served(OPEN) as server, server.connect() as client:
        client.sendall(head("Content-Length: 10737418240"))
        assert read_answer(client).startswith(b"HTTP/1.1 413 ")
        assert read_all(client) == b""


def test_a_refused_body_is_not_read_for_ever():
    with served(OPEN) as server, server.connect() as client:
        client.sendall(head("Content-Length: 10737418240"))
        deadline, ended = time.monotonic() + 30, False
        while not ended and time.monotonic() < deadline:
            try:
                client.sendall(b"x" * 4096)
            except OSError:
                ended = True
            time.sleep(0.01)
        assert ended


def test_a_chunked_body_is_cut_at_the_limit():
    with served(OPEN, max_body_mb=1) as server, server.connect() as client:
        client.sendall(head("Transfer-Encoding: chunked"))
        for _ in range(17):
            client.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        assert read_answer(client).startswith(b"HTTP/1.1 413 ")


def test_a_body_at_the_limit_is_taken():
    with served(OPEN, max_body_mb=1) as server:
        answer = requests.post(server.url + "/v1/jobs", data=b"x" * 2**20, timeout=30)
        assert answer.json() == {"bytes": 2**20}


def test_a_reader_that_does_not_read_is_cut():
    with served(OPEN, write_timeout_s=0.3) as server, server.connect(4096) as client:
        client.sendall(b"GET /v1/jobs/endless/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert server.app.state.streams_ended.wait(30)
        assert client.recv(10).startswith(b"HTTP/1.1 2")


def test_connections_beyond_the_most_are_turned_away_and_room_is_made_again():
    with served(OPEN, max_connections=2) as server:
        held = [server.connect() for _ in range(2)]
        for client in held:
            client.sendall(GET)
            assert read_answer(client).startswith(b"HTTP/1.1 200 ")
        with server.connect() as third:
            third.sendall(GET)
            assert read_answer(third).startswith(b"HTTP/1.1 503 ")
        for client in held:
            client.close()
        deadline = time.monotonic() + 30
        while server.server.server_state.connections and time.monotonic() < deadline:
            time.sleep(0.01)
        assert requests.get(server.url + "/v1/health", timeout=30).status_code == 200


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_a_handshake_that_does_not_come_is_cut(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with served(OPEN, context=context, header_timeout_s=0.2) as server, server.connect() as client:
        assert read_all(client) == b""
        with authority.cert_pem.tempfile() as trusted:
            answer = requests.get(server.url + "/v1/health", verify=trusted, timeout=30)
        assert answer.json() == {"name": "moedsr"}
